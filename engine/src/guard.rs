//! Accesses past the end of a buffer, and loop turns, detected on the device.
//!
//! A driver may hide that a kernel reads or writes past the end of its binding: reads give 0, writes
//! vanish (Vulkan's robust buffer access), or the memory of another tensor is used. So every buffer here has
//! a tail inside its binding, filled with a NaN pattern that no other buffer has. A read there makes the
//! result NaN; a write there is detected after the run. A parameter, statistic or gradient is a part of a
//! flat buffer with neighbours: kernels get a copy with a tail instead, and their writes to the copy are
//! copied back.
//!
//! In checked mode the kernels also count their loop turns, and the counts are compared with those that the
//! plan declares.

use crate::dispatch::{BufferId, Dispatch, Memory, ROW_BYTES};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::pipelines::turns_layout;
use crate::plan::Plan;
use crate::store::Store;
use std::collections::BTreeMap;

/// Bytes after each buffer: one row of a texture.
pub(crate) const TAIL: u64 = ROW_BYTES;

/// Dispatches start at multiples of this in the buffer of counts.
const COUNT: u64 = 256;

/// A part of a flat buffer, and the copy that kernels get in its place.
struct Part {
    flat: wgpu::Buffer,
    offset: u64,
    bytes: u64,
    copy: Store,
}

/// The state that a session needs to detect such accesses.
#[derive(Default)]
pub(crate) struct Guard {
    parts: BTreeMap<BufferId, Part>,
    turns: Option<Turns>,
}

/// The counted turns of every dispatch.
struct Turns {
    buffer: wgpu::Buffer,
    group: wgpu::BindGroup,
}

/// The pattern of a buffer's tail: a signalling NaN, which arithmetic never gives, and two 16-bit floats
/// that are NaN. Each buffer has its own pattern, because a kernel may copy values that it reads past an end.
fn pattern(id: BufferId) -> u32 {
    let (low, high) = (id.0 % 0x1ff, id.0 / 0x1ff % 0x3f);
    (0x7f80 + high) << 16 | (0x7c01 + low)
}

impl Guard {
    /// With counts of the turns of `dispatches` dispatches if `gpu` is checked.
    pub fn new(gpu: &Gpu, dispatches: usize) -> Result<Self> {
        if !gpu.is_checked() {
            return Ok(Self::default());
        }
        let buffer = gpu.storage("counted turns", COUNT * dispatches as u64)?;
        let size = std::num::NonZeroU64::new(4);
        let resource =
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &buffer, offset: 0, size });
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("counted turns"),
            layout: &turns_layout(&gpu.device),
            entries: &[wgpu::BindGroupEntry { binding: 0, resource }],
        });
        Ok(Self { parts: BTreeMap::new(), turns: Some(Turns { buffer, group }) })
    }

    /// Gives kernels a copy of `bytes` of `flat` from `offset` on as the buffer `id`.
    pub fn copy(
        &mut self,
        gpu: &Gpu,
        id: BufferId,
        label: &str,
        flat: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<()> {
        let copy = Store::new(gpu, label, bytes + TAIL, Memory::Buffer)?;
        fill(gpu, id, &copy, bytes);
        self.parts.insert(id, Part { flat: flat.clone(), offset, bytes, copy });
        Ok(())
    }

    /// The copy that kernels get as the buffer `id`, if it is a part of a flat buffer.
    pub fn part(&self, id: BufferId) -> Option<&Store> {
        self.parts.get(&id).map(|part| &part.copy)
    }

    /// All copies, with their size without the tail.
    pub fn parts(&self) -> impl Iterator<Item = (BufferId, &Store, u64)> {
        self.parts.iter().map(|(id, part)| (*id, &part.copy, part.bytes))
    }

    /// Records the work before a dispatch: its parts of flat buffers are copied.
    pub fn before(&self, dispatch: &Dispatch, encoder: &mut wgpu::CommandEncoder) {
        for part in dispatch.used().filter_map(|id| self.parts.get(&id)) {
            if let Store::Buffer(copy) = &part.copy {
                encoder.copy_buffer_to_buffer(&part.flat, part.offset, copy, 0, part.bytes);
            }
        }
    }

    /// Records the work after a dispatch: the parts that it wrote are copied back.
    pub fn after(&self, dispatch: &Dispatch, encoder: &mut wgpu::CommandEncoder) {
        for part in dispatch.written().filter_map(|id| self.parts.get(&id)) {
            if let Store::Buffer(copy) = &part.copy {
                encoder.copy_buffer_to_buffer(copy, 0, &part.flat, part.offset, part.bytes);
            }
        }
    }

    /// Makes the dispatch at `at` count its turns.
    pub fn count(&self, at: usize, pass: &mut wgpu::ComputePass<'_>) {
        if let Some(turns) = &self.turns {
            pass.set_bind_group(1, &turns.group, &[(at as u64 * COUNT) as u32]);
        }
    }

    /// The turns counted so far for each of `dispatches` dispatches, the maximum over invocations and runs;
    /// waits for them. `None` unless turns are counted.
    pub fn counted(&self, gpu: &Gpu, dispatches: usize) -> Result<Option<Vec<u64>>> {
        let Some(turns) = &self.turns else { return Ok(None) };
        let bytes = gpu.read_bytes(&turns.buffer, 0, COUNT * dispatches as u64)?;
        let count = |at: &[u8]| u64::from(u32::from_le_bytes([at[0], at[1], at[2], at[3]]));
        Ok(Some(bytes.chunks_exact(COUNT as usize).map(count).collect()))
    }

    /// Compares the counts with those that `plan` declares.
    pub fn check_turns(&self, gpu: &Gpu, plan: &Plan) -> Result<()> {
        let counted = self.counted(gpu, plan.dispatches.len())?.unwrap_or_default();
        match plan.dispatches.iter().zip(counted).find(|(dispatch, counted)| *counted > dispatch.turns) {
            None => Ok(()),
            Some((dispatch, counted)) => Err(Error::Turns {
                kernel: dispatch.variant.kernel.name(),
                layer: dispatch.layer.clone(),
                counted,
                declared: dispatch.turns,
            }),
        }
    }
}

/// Checks the tails of `stores`, each given with its buffer and its size without the tail; waits for earlier
/// work. A tail that was written is filled again.
pub(crate) fn check_tails(gpu: &Gpu, plan: &Plan, stores: &[(BufferId, &Store, u64)]) -> Result<()> {
    // The offset of each tail in the buffer in which they are gathered.
    let mut starts = vec![0];
    starts.extend(stores.iter().scan(0, |end, (_, store, bytes)| {
        *end += tail_bytes(store, *bytes);
        Some(*end)
    }));
    let total = starts[stores.len()];
    if total == 0 {
        return Ok(());
    }
    let gathered = gpu.storage("tails", total)?;
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    for ((_, store, bytes), start) in stores.iter().zip(&starts) {
        gather(&mut encoder, store, *bytes, &gathered, *start);
    }
    gpu.submit(encoder, "gathering tails");
    let values = gpu.read_bytes(&gathered, 0, total)?;
    let mut first = None;
    for ((id, store, bytes), range) in stores.iter().zip(starts.windows(2)) {
        let tail = &values[range[0] as usize..range[1] as usize];
        if let Some(word) = tail.chunks_exact(4).position(|word| *word != pattern(*id).to_le_bytes()) {
            fill(gpu, *id, store, *bytes);
            first.get_or_insert(out_of_bounds(plan, *id, *bytes, 4 * word as u64));
        }
    }
    first.map_or(Ok(()), Err)
}

fn out_of_bounds(plan: &Plan, id: BufferId, bytes: u64, past: u64) -> Error {
    let writers = plan.dispatches.iter().filter(|dispatch| dispatch.written().any(|written| written == id));
    let kernels = writers.map(Dispatch::label).collect::<Vec<_>>().join(", ");
    Error::OutOfBounds { buffer: plan.buffers[id.0 as usize].label.clone(), bytes, past, kernels }
}

/// Size of the tail of a store whose first `bytes` are in use: for a texture, the rest of its rows.
fn tail_bytes(store: &Store, bytes: u64) -> u64 {
    match store {
        Store::Buffer(_) => TAIL,
        Store::Texture { .. } | Store::Aliased { .. } => bytes.next_multiple_of(ROW_BYTES) - bytes + TAIL,
    }
}

/// Fills the tail of the buffer `id` with its pattern; the first `bytes` of `store` are in use.
pub(crate) fn fill(gpu: &Gpu, id: BufferId, store: &Store, bytes: u64) {
    let pattern = vec![pattern(id); (tail_bytes(store, bytes) / 4) as usize];
    let pattern: &[u8] = bytemuck::cast_slice(&pattern);
    match store {
        Store::Buffer(buffer) | Store::Aliased { buffer, .. } => {
            gpu.queue.write_buffer(buffer, bytes, pattern)
        }
        Store::Texture { texture, .. } => {
            for (target, extent, start) in rows(texture, bytes) {
                let layout = wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(16 * extent.width),
                    rows_per_image: None,
                };
                gpu.queue.write_texture(target, &pattern[start as usize..], layout, extent);
            }
        }
    }
}

/// Copies the tail of `store`, whose first `bytes` are in use, into `gathered` from `start` on.
fn gather(
    encoder: &mut wgpu::CommandEncoder,
    store: &Store,
    bytes: u64,
    gathered: &wgpu::Buffer,
    start: u64,
) {
    match store {
        Store::Buffer(buffer) | Store::Aliased { buffer, .. } => {
            encoder.copy_buffer_to_buffer(buffer, bytes, gathered, start, tail_bytes(store, bytes))
        }
        Store::Texture { texture, .. } => {
            for (source, extent, offset) in rows(texture, bytes) {
                let offset = start + offset;
                // One row each, which needs no distance between rows.
                let layout =
                    wgpu::TexelCopyBufferLayout { offset, bytes_per_row: None, rows_per_image: None };
                let target = wgpu::TexelCopyBufferInfo { buffer: gathered, layout };
                encoder.copy_texture_to_buffer(source, target, extent);
            }
        }
    }
}

/// The rows, or parts of one, after the first `bytes` of a texture, and the offset of each in its tail.
fn rows(texture: &wgpu::Texture, bytes: u64) -> Vec<(wgpu::TexelCopyTextureInfo<'_>, wgpu::Extent3d, u64)> {
    let (width, used) = ((ROW_BYTES / 16) as u32, (bytes % ROW_BYTES / 16) as u32);
    let row = |x: u32, y: u64, start: u64| {
        let origin = wgpu::Origin3d { x, y: y as u32, z: 0 };
        let place = wgpu::TexelCopyTextureInfo { origin, ..texture.as_image_copy() };
        (place, wgpu::Extent3d { width: width - x, height: 1, depth_or_array_layers: 1 }, start)
    };
    let (last, rest) = (bytes / ROW_BYTES, bytes.next_multiple_of(ROW_BYTES) - bytes);
    match used {
        0 => vec![row(0, last, 0)],
        _ => vec![row(used, last, 0), row(0, last + 1, rest)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use std::collections::BTreeSet;

    #[test]
    fn every_pattern_is_nan_in_both_formats_and_no_two_are_alike() {
        let all: Vec<u32> = (0..30_000).map(|id| pattern(BufferId(id))).collect();
        for word in &all {
            assert!(f32::from_bits(*word).is_nan(), "{word:x}");
            assert!(
                f16::from_bits(*word as u16).is_nan() && f16::from_bits((word >> 16) as u16).is_nan(),
                "{word:x}"
            );
            assert_eq!(word >> 22 & 1, 0, "{word:x} is quiet");
        }
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
