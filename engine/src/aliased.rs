//! Memory that is a texture and a storage buffer: a linear image and a buffer, bound to the same memory.
//!
//! llvmpipe reads a storage texture five times as fast as a storage buffer, and writes a buffer almost twice as
//! fast as a texture (`ARCHITECTURE.md`, "Why textures"). wgpu has no such memory, so it is made by Vulkan and
//! given to wgpu as one buffer and one texture.
//!
//! In Vulkan, a linear image in the layout GENERAL and a buffer can share memory, so that both contain the
//! same bytes. wgpu does not connect the two, so it puts no barrier between a dispatch that writes the buffer
//! and one that reads the texture. Therefore this is only for Mesa's software driver, which runs a queue's
//! dispatches one after the other and has no caches to flush.

use crate::dispatch::ROW_BYTES;
use ash::vk;
use frostline_shaders::TEXELS_PER_ROW;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wgpu::hal::api::Vulkan;

/// The Vulkan objects that wgpu gets, freed when both the buffer and the texture are dropped.
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
        // SAFETY: wgpu drops these objects before it destroys the device, and after all work that uses them.
        // Objects that were not created are null, which Vulkan ignores.
        unsafe {
            self.device.destroy_image(self.image, None);
            self.device.destroy_buffer(self.buffer, None);
            self.device.free_memory(self.memory, None);
        }
        self.in_use.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Block {
    /// Zeroed memory of `rows` rows of texels, with an image and a buffer bound to it. An error if Vulkan refuses
    /// a part of it, or lays out linear images in another way.
    fn new(hal: &wgpu::hal::vulkan::Device, rows: u32, in_use: &Arc<AtomicU64>) -> Result<Self, vk::Result> {
        let raw = hal.raw_device();
        let bytes = ROW_BYTES * u64::from(rows);
        in_use.fetch_add(bytes, Ordering::Relaxed);
        let (buffer, image, memory) = Default::default();
        let mut block = Self { device: raw.clone(), buffer, image, memory, bytes, in_use: in_use.clone() };
        let image_info = vk::ImageCreateInfo::default()
            .image_type(vk::ImageType::TYPE_2D)
            .format(vk::Format::R32G32B32A32_SFLOAT)
            .extent(vk::Extent3D { width: TEXELS_PER_ROW, height: rows, depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .tiling(vk::ImageTiling::LINEAR)
            .usage(vk::ImageUsageFlags::STORAGE);
        let buffer_info = vk::BufferCreateInfo::default().size(bytes).usage(
            vk::BufferUsageFlags::STORAGE_BUFFER
                | vk::BufferUsageFlags::TRANSFER_SRC
                | vk::BufferUsageFlags::TRANSFER_DST,
        );
        // SAFETY: every object is of this device and used as it was created. The memory is mapped only here,
        // while it is cleared.
        unsafe {
            block.image = raw.create_image(&image_info, None)?;
            let color =
                vk::ImageSubresource { aspect_mask: vk::ImageAspectFlags::COLOR, ..Default::default() };
            let layout = raw.get_image_subresource_layout(block.image, color);
            if (layout.offset, layout.row_pitch) != (0, ROW_BYTES) {
                return Err(vk::Result::ERROR_FEATURE_NOT_PRESENT);
            }
            block.buffer = raw.create_buffer(&buffer_info, None)?;
            let needs = [
                raw.get_image_memory_requirements(block.image),
                raw.get_buffer_memory_requirements(block.buffer),
            ];
            let kinds = hal
                .shared_instance()
                .raw_instance()
                .get_physical_device_memory_properties(hal.raw_physical_device());
            let visible = vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
            let fits = |kind: &u32| {
                kinds.memory_types[*kind as usize].property_flags.contains(visible)
                    && needs.iter().all(|need| need.memory_type_bits & 1 << kind != 0)
            };
            let kind = (0..kinds.memory_type_count).find(fits);
            let info = vk::MemoryAllocateInfo::default()
                .allocation_size(needs[0].size.max(needs[1].size))
                .memory_type_index(kind.ok_or(vk::Result::ERROR_FEATURE_NOT_PRESENT)?);
            block.memory = raw.allocate_memory(&info, None)?;
            raw.bind_image_memory(block.image, block.memory, 0)?;
            raw.bind_buffer_memory(block.buffer, block.memory, 0)?;
            let start = raw.map_memory(block.memory, 0, bytes, vk::MemoryMapFlags::empty())?;
            start.cast::<u8>().write_bytes(0, bytes as usize);
            raw.unmap_memory(block.memory);
        }
        Ok(block)
    }
}

/// Whether `device` supports such memory, and its kernels write 64-bit words there correctly. Only for
/// adapters that run dispatches one after the other.
pub(crate) fn is_possible(device: &wgpu::Device) -> bool {
    device.features().contains(wgpu::Features::SHADER_INT64)
        && create(device, "a trial", 2, &Arc::default()).is_some()
}

/// A zeroed buffer of `rows` rows of texels, and the texture of the same memory. `None` if there is no
/// memory, or none that can be both.
///
/// `in_use` counts the bytes for as long as they are held.
pub(crate) fn create(
    device: &wgpu::Device,
    purpose: &str,
    rows: u32,
    in_use: &Arc<AtomicU64>,
) -> Option<(wgpu::Buffer, wgpu::Texture)> {
    // SAFETY: the device is not destroyed through this handle.
    let hal = unsafe { device.as_hal::<Vulkan>() }?;
    let block = Arc::new(Block::new(&hal, rows, in_use).ok()?);
    let descriptor = wgpu::TextureDescriptor {
        label: Some(purpose),
        size: wgpu::Extent3d { width: TEXELS_PER_ROW, height: rows, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba32Float,
        usage: wgpu::TextureUsages::STORAGE_BINDING,
        view_formats: &[],
    };
    let hal_descriptor = wgpu::hal::TextureDescriptor {
        label: descriptor.label,
        size: descriptor.size,
        mip_level_count: descriptor.mip_level_count,
        sample_count: descriptor.sample_count,
        dimension: descriptor.dimension,
        format: descriptor.format,
        usage: wgpu::TextureUses::STORAGE_READ_ONLY,
        memory_flags: wgpu::hal::MemoryFlags::empty(),
        view_formats: vec![],
    };
    let buffer_descriptor = wgpu::BufferDescriptor {
        label: Some(purpose),
        size: block.bytes,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    };
    let held = || -> wgpu::hal::DropCallback {
        let block = block.clone();
        Box::new(move || drop(block))
    };
    // SAFETY: the descriptors match what was created, and the callbacks hold it until wgpu has finished with it.
    let (buffer, image) = unsafe {
        let memory = wgpu::hal::vulkan::TextureMemory::External;
        (
            wgpu::hal::vulkan::Buffer::from_raw_externally_owned(block.buffer, held()),
            hal.texture_from_raw(block.image, &hal_descriptor, Some(held()), memory),
        )
    };
    drop(hal);
    // SAFETY: both are of this device.
    unsafe {
        let initially = wgpu::TextureUses::UNINITIALIZED;
        Some((
            device.create_buffer_from_hal::<Vulkan>(buffer, &buffer_descriptor),
            device.create_texture_from_hal::<Vulkan>(image, &descriptor, initially),
        ))
    }
}
