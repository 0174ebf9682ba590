//! For platforms without access to Vulkan's objects: no memory can be both a texture and a buffer. See
//! `aliased.rs`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub(crate) fn is_possible(_: &wgpu::Device) -> bool {
    false
}

pub(crate) fn create(
    _: &wgpu::Device,
    _: &str,
    _: u32,
    _: &Arc<AtomicU64>,
) -> Option<(wgpu::Buffer, wgpu::Texture)> {
    None
}
