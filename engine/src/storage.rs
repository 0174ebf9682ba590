//! Storage: which buffers hold 16-bit floats, which are textures, and which are plain buffers of f32.
//!
//! Ops record buffers of f32 and mark some as activations. Once the list of dispatches is finished, this pass
//! chooses the format of each buffer, sets it in every kernel that uses the buffer, and adds up the bytes
//! that the kernels read and write.

use crate::error::Result;
use crate::kernel::reflect;
use crate::loss_scale::LossScale;
use crate::record::{Buffer, BufferId, Dispatch, Home, NOTHING};
use crate::tuning::Tuning;
use frostline_shaders::{Format, TEXELS_PER_ROW};

/// How activations are stored: their values, their gradients, and the copies of weights that
/// kernels read.
///
/// Arithmetic is f32 in any case. So are parameters, their gradients and moments, statistics,
/// logits and the loss, and all that the host reads and writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// As 32-bit floats.
    #[default]
    F32,
    /// As 16-bit floats: half the memory and traffic, 11 significant bits, nothing above 65,504.
    /// The adapter needs 16-bit floats in shaders.
    F16 {
        /// What the gradient of the loss is multiplied by, so that small gradients do not become zero.
        loss_scale: LossScale,
    },
}

impl Storage {
    /// 16-bit floats with a dynamic loss scale ([`LossScale::dynamic`]).
    pub fn f16() -> Self {
        Self::F16 { loss_scale: LossScale::dynamic() }
    }

    /// How gradients are scaled, if they are.
    pub(crate) fn loss_scale(self) -> Option<LossScale> {
        match self {
            Self::F32 => None,
            Self::F16 { loss_scale } => Some(loss_scale),
        }
    }

    /// Refuses a loss scale that cannot work.
    pub(crate) fn check(self) -> Result<()> {
        self.loss_scale().map_or(Ok(()), LossScale::check)
    }

    /// The format that ops record for activations.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::F32 => Format::Single,
            Self::F16 { .. } => Format::Half,
        }
    }
}

/// Gives each buffer of `buffers` its format and size, and each of `dispatches` the formats of its
/// bindings. Only what kernels alone touch, and only as arrays of `vec4f`, has a choice; `host` does
/// not.
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
        for (_, id) in
            dispatch.bindings.iter().filter(|(name, id)| *id != NOTHING && !reflection.texels.contains(*name))
        {
            buffers[id.0 as usize].format = Format::Single;
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
