//! Storage: which buffers are kept as 16-bit floats, which in textures, and which as they are.
//!
//! Ops record buffers of f32, and say of some that they hold activations. Once the list of
//! dispatches is finished this pass decides what each buffer becomes, tells every kernel, and adds
//! up the bytes that it reads and writes.

use crate::error::Result;
use crate::kernel::reflect;
use crate::record::{Buffer, BufferId, Dispatch, Home, NOTHING};
use crate::tuning::Tuning;
use frostline_shaders::{Format, TEXELS_PER_ROW};

/// 16,384 rows of 1,024 texels: what every adapter allows.
const LARGEST_TEXTURE: u64 = 16_384 * 16 * TEXELS_PER_ROW as u64;

/// Gives each buffer of `buffers` its format and size, and each of `dispatches` the formats of its
/// bindings. Only what kernels alone touch, and only as arrays of `vec4f`, has a choice; `host` does
/// not.
pub(crate) fn choose(buffers: &mut [Buffer], dispatches: &mut [Dispatch], tuning: &Tuning, host: &[BufferId]) -> Result<()> {
    for (id, buffer) in buffers.iter_mut().enumerate() {
        let inside = matches!(buffer.home, Home::Pool | Home::Plan) && !host.contains(&BufferId(id as u32));
        buffer.format = if inside && tuning.textures && buffer.bytes <= LARGEST_TEXTURE { Format::Texture } else { Format::Single };
    }
    for dispatch in dispatches.iter() {
        let reflection = reflect(dispatch.variant.kernel)?;
        for (_, id) in dispatch.bindings.iter().filter(|(name, id)| *id != NOTHING && !reflection.texels.contains(*name)) {
            buffers[id.0 as usize].format = Format::Single;
        }
    }
    // What is not used has a format too: one kernel then serves with and without it.
    let absent = if tuning.textures { Format::Texture } else { Format::Single };
    for dispatch in dispatches {
        let reflection = reflect(dispatch.variant.kernel)?;
        for &(name, id) in &dispatch.bindings {
            let written = reflection.written.contains(name);
            let format = match id {
                NOTHING if written || !reflection.texels.contains(name) => Format::Single,
                NOTHING => absent,
                BufferId(id) => buffers[id as usize].format,
            };
            if format != Format::Single {
                dispatch.variant.formats.push((name, format));
            }
            let bytes = if id == NOTHING { 0 } else { buffers[id.0 as usize].bytes };
            *if written { &mut dispatch.bytes_written } else { &mut dispatch.bytes_read } += bytes;
        }
    }
    Ok(())
}
