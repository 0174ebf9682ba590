//! The pass that chooses formats: which buffers hold 16-bit floats, which are textures, and which are plain
//! buffers of f32.
//!
//! Ops record buffers of f32 and mark some as activations. Once the list of dispatches is finished, this pass
//! chooses the format of each buffer, sets it in every kernel that uses the buffer, and adds up the bytes
//! that the kernels read and write.

use crate::dispatch::{Binding, Buffer, BufferId, Dispatch, Home};
use crate::error::Result;
use crate::kernel::reflect;
use crate::tuning::Tuning;
use frostline_shaders::{Format, TEXELS_PER_ROW};

/// Gives each buffer of `buffers` its format and size, and each of `dispatches` the formats of its
/// bindings. Only what kernels alone touch, and only through accessors, has a choice; `host` does not.
pub(crate) fn choose(
    buffers: &mut [Buffer],
    dispatches: &mut [Dispatch],
    tuning: &Tuning,
    host: &[BufferId],
) -> Result<()> {
    let largest_texture = tuning.texture_rows.map(|rows| u64::from(rows) * 16 * u64::from(TEXELS_PER_ROW));
    let texture = if tuning.aliased { Format::Aliased } else { Format::Texture };
    for (id, buffer) in buffers.iter_mut().enumerate() {
        let inside = matches!(buffer.home, Home::Pool | Home::Plan) && !host.contains(&BufferId(id as u32));
        buffer.format = match buffer.format {
            _ if !inside => Format::Single,
            Format::Half => Format::Half,
            _ if largest_texture.is_some_and(|largest| buffer.bytes <= largest) => texture,
            _ => Format::Single,
        };
    }
    for dispatch in dispatches.iter() {
        let reflection = reflect(dispatch.variant.kernel)?;
        for binding in dispatch.bindings.iter().filter(|binding| !reflection.texels.contains(binding.name)) {
            if let Some(id) = binding.buffer {
                buffers[id.index()].format = Format::Single;
            }
        }
    }
    for buffer in buffers.iter_mut().filter(|buffer| buffer.format == Format::Half) {
        buffer.bytes /= 2;
    }
    // What is not used has a format too: one kernel then serves with and without it.
    let absent = match tuning.storage.format() {
        Format::Single if tuning.texture_rows.is_some() => texture,
        format => format,
    };
    for dispatch in dispatches {
        let reflection = reflect(dispatch.variant.kernel)?;
        for &Binding { name, buffer, written } in &dispatch.bindings {
            let format = match buffer {
                Some(id) => buffers[id.index()].format,
                None if written || !reflection.texels.contains(name) => Format::Single,
                None => absent,
            };
            if format != Format::Single {
                dispatch.variant.formats.push((name, format));
            }
            let bytes = buffer.map_or(0, |id| buffers[id.index()].bytes);
            *if written { &mut dispatch.bytes_written } else { &mut dispatch.bytes_read } += bytes;
        }
    }
    Ok(())
}
