//! Memory that is a texture and a storage buffer: a linear image and a buffer, bound to the same memory.
//!
//! llvmpipe reads a storage texture five times as fast as a storage buffer, and writes a buffer almost twice as
//! fast as a texture (`ARCHITECTURE.md`, "Why textures"). wgpu has no such memory, so it is made by Vulkan and
//! given to wgpu as one buffer and one texture.
//!
//! Vulkan lets a linear image in the layout GENERAL and a buffer share memory, and both see the same bytes.
//! wgpu does not connect the two, so it puts no barrier between a dispatch that writes the buffer and one that
//! reads the texture. Therefore this is for Mesa's software driver alone, which runs a queue's dispatches one
//! after the other and has no caches to flush.

use crate::store::ROW_BYTES;
use ash::vk;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wgpu::hal::api::Vulkan;

/// What wgpu gets of Vulkan, freed when both the buffer and the texture are gone.
struct Block {
    device: ash::Device,
    buffer: vk::Buffer,
    image: vk::Image,
    memory: vk::DeviceMemory,
    bytes: u64,
    in_use: Arc<AtomicU64>,
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: wgpu drops what it was given before it destroys the device, and after all work that uses it.
        unsafe {
            self.device.destroy_image(self.image, None);
            self.device.destroy_buffer(self.buffer, None);
            self.device.free_memory(self.memory, None);
        }
        self.in_use.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Can `device` make such memory, and do its kernels write it, which takes 64-bit words? Only for adapters that run dispatches one after the other.
pub(crate) fn is_possible(device: &wgpu::Device) -> bool {
    let words = device.features().contains(wgpu::Features::SHADER_INT64);
    words && matches!(create(device, "a trial", 2, &Arc::default()), Some(Ok(_)))
}

/// A zeroed buffer of `rows` rows of texels, and the texture of the same memory; an error if there is no memory.
/// None if `device` is not Vulkan's, or lays out linear images in another way.
///
/// `in_use` counts the bytes for as long as they are held.
pub(crate) fn create(
    device: &wgpu::Device,
    purpose: &str,
    rows: u32,
    in_use: &Arc<AtomicU64>,
) -> Option<Result<(wgpu::Buffer, wgpu::Texture), String>> {
    let bytes = ROW_BYTES * u64::from(rows);
    let size = wgpu::Extent3d { width: (ROW_BYTES / 16) as u32, height: rows, depth_or_array_layers: 1 };
    // SAFETY: the device is not destroyed through this handle.
    let hal = unsafe { device.as_hal::<Vulkan>() }?;
    let raw = hal.raw_device();
    let image_info = vk::ImageCreateInfo::default()
        .image_type(vk::ImageType::TYPE_2D)
        .format(vk::Format::R32G32B32A32_SFLOAT)
        .extent(vk::Extent3D { width: size.width, height: rows, depth: 1 })
        .mip_levels(1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1)
        .tiling(vk::ImageTiling::LINEAR)
        .usage(vk::ImageUsageFlags::STORAGE);
    let buffer_usage = vk::BufferUsageFlags::STORAGE_BUFFER
        | vk::BufferUsageFlags::TRANSFER_SRC
        | vk::BufferUsageFlags::TRANSFER_DST;
    let buffer_info = vk::BufferCreateInfo::default().size(bytes).usage(buffer_usage);

    // SAFETY: every object is used as it was created, and freed by `Block` or on the way out.
    let block = unsafe {
        let image = match raw.create_image(&image_info, None) {
            Ok(image) => image,
            Err(error) => return Some(Err(error.to_string())),
        };
        let color = vk::ImageSubresource { aspect_mask: vk::ImageAspectFlags::COLOR, ..Default::default() };
        let layout = raw.get_image_subresource_layout(image, color);
        if (layout.offset, layout.row_pitch) != (0, ROW_BYTES) {
            raw.destroy_image(image, None);
            return None;
        }
        let buffer = match raw.create_buffer(&buffer_info, None) {
            Ok(buffer) => buffer,
            Err(error) => {
                raw.destroy_image(image, None);
                return Some(Err(error.to_string()));
            }
        };
        let needs = [raw.get_image_memory_requirements(image), raw.get_buffer_memory_requirements(buffer)];
        let kinds = hal
            .shared_instance()
            .raw_instance()
            .get_physical_device_memory_properties(hal.raw_physical_device());
        let visible = vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
        let kind = (0..kinds.memory_type_count).find(|&kind| {
            kinds.memory_types[kind as usize].property_flags.contains(visible)
                && needs.iter().all(|need| need.memory_type_bits & 1 << kind != 0)
        });
        let allocated = kind.map(|kind| {
            let info = vk::MemoryAllocateInfo::default()
                .allocation_size(needs[0].size.max(needs[1].size))
                .memory_type_index(kind);
            raw.allocate_memory(&info, None)
        });
        let memory = match allocated {
            Some(Ok(memory)) => memory,
            failed => {
                raw.destroy_image(image, None);
                raw.destroy_buffer(buffer, None);
                return failed.map(|result| Err(result.err().unwrap_or_default().to_string()));
            }
        };
        in_use.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Block { device: raw.clone(), buffer, image, memory, bytes, in_use: in_use.clone() })
    };
    // SAFETY: as above. The memory is mapped once, here, for as long as it takes to clear it.
    let bound = unsafe {
        raw.bind_image_memory(block.image, block.memory, 0)
            .and_then(|()| raw.bind_buffer_memory(block.buffer, block.memory, 0))
            .and_then(|()| raw.map_memory(block.memory, 0, bytes, vk::MemoryMapFlags::empty()))
            .map(|start| {
                start.cast::<u8>().write_bytes(0, bytes as usize);
                raw.unmap_memory(block.memory);
            })
    };
    if let Err(error) = bound {
        return Some(Err(error.to_string()));
    }

    let format = wgpu::TextureFormat::Rgba32Float;
    let descriptor = wgpu::TextureDescriptor {
        label: Some(purpose),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::STORAGE_BINDING,
        view_formats: &[],
    };
    let hal_descriptor = wgpu::hal::TextureDescriptor {
        label: Some(purpose),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUses::STORAGE_READ_ONLY,
        memory_flags: wgpu::hal::MemoryFlags::empty(),
        view_formats: vec![],
    };
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let buffer_descriptor =
        wgpu::BufferDescriptor { label: Some(purpose), size: bytes, usage, mapped_at_creation: false };
    let [of_buffer, of_texture] = [block.clone(), block.clone()];
    // SAFETY: the descriptors match what was created, and the callbacks hold it until wgpu has finished with
    // it.
    let (buffer, image) = unsafe {
        let buffer = wgpu::hal::vulkan::Buffer::from_raw_externally_owned(
            block.buffer,
            Box::new(move || drop(of_buffer)),
        );
        let callback: wgpu::hal::DropCallback = Box::new(move || drop(of_texture));
        let memory = wgpu::hal::vulkan::TextureMemory::External;
        (buffer, hal.texture_from_raw(block.image, &hal_descriptor, Some(callback), memory))
    };
    drop(hal);
    // SAFETY: both are of this device.
    unsafe {
        let buffer = device.create_buffer_from_hal::<Vulkan>(buffer, &buffer_descriptor);
        let initially = wgpu::TextureUses::UNINITIALIZED;
        Some(Ok((buffer, device.create_texture_from_hal::<Vulkan>(image, &descriptor, initially))))
    }
}
