//! Device memory for a virtual buffer: a buffer, a texture of `vec4f` texels, or memory that is both.

use crate::blocking::block_on;
use crate::dispatch::{Memory, ROW_BYTES};
use crate::error::{Error, Result};
use crate::faults::Place;
use crate::gpu::Gpu;
use frostline_shaders::TEXELS_PER_ROW;

/// Memory on the device.
#[derive(Debug)]
pub(crate) enum Store {
    Buffer(wgpu::Buffer),
    Texture {
        texture: wgpu::Texture,
        view: wgpu::TextureView,
    },
    /// The view is of a texture in the same memory as the buffer.
    Aliased {
        buffer: wgpu::Buffer,
        view: wgpu::TextureView,
    },
}

impl Store {
    pub fn new(gpu: &Gpu, purpose: &str, bytes: u64, memory: Memory) -> Result<Self> {
        let rows = bytes.div_ceil(ROW_BYTES) as u32;
        match memory {
            Memory::Buffer => Ok(Self::Buffer(gpu.storage(purpose, bytes)?)),
            Memory::Texture => {
                let texture = gpu.texture(purpose, TEXELS_PER_ROW, rows)?;
                let view = texture.create_view(&Default::default());
                Ok(Self::Texture { texture, view })
            }
            Memory::Aliased => {
                let (buffer, texture) = gpu.aliased(purpose, rows.max(1))?;
                let view = texture.create_view(&Default::default());
                Ok(Self::Aliased { buffer, view })
            }
        }
    }

    /// Writes `bytes`, whole words, from the start on; for a texture, whole texels.
    pub fn write(&self, gpu: &Gpu, bytes: &[u8]) {
        match self {
            Self::Buffer(buffer) | Self::Aliased { buffer, .. } => gpu.write_bytes(buffer, 0, bytes),
            Self::Texture { texture, .. } => {
                gpu.risk(Place::Write);
                // Whole rows, and the rest of one: bytes after the values stay unchanged.
                let (rows, rest) = (bytes.len() as u64 / ROW_BYTES, bytes.len() as u64 % ROW_BYTES);
                for (row, size) in
                    [(0, extent(rows)), (rows, wgpu::Extent3d { width: (rest / 16) as u32, ..extent(1) })]
                {
                    if size.width == 0 || size.height == 0 {
                        continue;
                    }
                    let origin = wgpu::Origin3d { x: 0, y: row as u32, z: 0 };
                    let target = wgpu::TexelCopyTextureInfo { origin, ..texture.as_image_copy() };
                    let layout = wgpu::TexelCopyBufferLayout {
                        offset: 0,
                        bytes_per_row: Some(16 * size.width),
                        rows_per_image: None,
                    };
                    gpu.queue.write_texture(target, &bytes[(row * ROW_BYTES) as usize..], layout, size);
                }
            }
        }
    }

    /// Reads `count` values from the start on; waits for the work before it.
    pub fn read(&self, gpu: &Gpu, count: usize) -> Result<Vec<f32>> {
        block_on(self.read_async(gpu, count))
    }

    /// [`Store::read`] for callers that must not block.
    pub async fn read_async(&self, gpu: &Gpu, count: usize) -> Result<Vec<f32>> {
        match self {
            Self::Buffer(buffer) | Self::Aliased { buffer, .. } => gpu.read_async(buffer, 0, count).await,
            Self::Texture { texture, .. } => {
                let rows = (4 * count as u64).div_ceil(ROW_BYTES);
                let staging = gpu.storage("a read-back", rows * ROW_BYTES)?;
                let mut encoder = gpu.device.create_command_encoder(&Default::default());
                let layout = wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(ROW_BYTES as u32),
                    rows_per_image: None,
                };
                let target = wgpu::TexelCopyBufferInfo { buffer: &staging, layout };
                encoder.copy_texture_to_buffer(texture.as_image_copy(), target, extent(rows));
                gpu.submit(encoder, "a read-back");
                gpu.read_async(&staging, 0, count).await
            }
        }
    }

    /// Frees the memory when the work that uses it is done. Otherwise a browser frees it only at garbage
    /// collection, which does not account for device memory.
    #[cfg(target_family = "wasm")]
    pub fn destroy(&self) {
        match self {
            Self::Buffer(buffer) | Self::Aliased { buffer, .. } => buffer.destroy(),
            Self::Texture { texture, .. } => texture.destroy(),
        }
    }

    /// The buffer, if it is one.
    pub fn buffer(&self) -> Result<&wgpu::Buffer> {
        match self {
            Self::Buffer(buffer) | Self::Aliased { buffer, .. } => Ok(buffer),
            Self::Texture { .. } => {
                Err(Error::Graph("found a texture where a buffer was planned".to_owned()))
            }
        }
    }
}

fn extent(rows: u64) -> wgpu::Extent3d {
    wgpu::Extent3d { width: TEXELS_PER_ROW, height: rows as u32, depth_or_array_layers: 1 }
}
