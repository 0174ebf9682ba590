//! A dispatch as an op requests it.

use crate::activation::Activation;
use crate::dispatch::{Binding, BufferId, Dispatch, MOST_TURNS, Phase, grid};
use crate::error::{Error, Result};
use crate::kernel::{Kernel, Scalar, Variant, reflect};
use crate::shape::Shape;
use frostline_shaders::Share;

static COPY: Kernel = Kernel { file: "copy", entry: "forward" };
static ADD: Kernel = Kernel { file: "add", entry: "forward" };

/// Rows that one invocation of `add.forward` adds.
const ADDED_ROWS: usize = 8;

/// A dispatch as an op requests it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which kernel.
    pub kernel: Kernel,
    /// Constants that differ from the file's.
    pub constants: Vec<(&'static str, u32)>,
    /// Every binding that the entry point declares; `None` for one that is not used with these constants.
    pub bindings: Vec<(&'static str, Option<BufferId>)>,
    /// Every field of `Params` that it uses.
    pub params: Vec<(&'static str, Scalar)>,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Multiply-accumulates.
    pub macs: u64,
    /// Maximum number of loop turns of one invocation.
    pub turns: u64,
    /// A field of `Params` whose value has more than 32 bits: the plan is refused.
    too_large: Option<(&'static str, usize)>,
}

impl Request {
    /// A request for `kernel` over `grid`; the rest is added by the methods.
    pub fn new(kernel: Kernel, grid: [u32; 3]) -> Self {
        Self {
            kernel,
            constants: vec![],
            bindings: vec![],
            params: vec![],
            grid,
            macs: 0,
            turns: 0,
            too_large: None,
        }
    }

    /// Sets constants.
    pub fn constants(mut self, constants: &[(&'static str, u32)]) -> Self {
        self.constants.extend_from_slice(constants);
        self
    }

    /// Binds buffers by name.
    pub fn bind(self, bindings: &[(&'static str, BufferId)]) -> Self {
        bindings.iter().fold(self, |request, &(name, buffer)| request.bind_if(name, Some(buffer)))
    }

    /// Binds a buffer by name, or nothing if the kernel does not use the binding with the request's
    /// constants.
    pub fn bind_if(mut self, name: &'static str, buffer: Option<BufferId>) -> Self {
        self.bindings.push((name, buffer));
        self
    }

    /// Sets integer fields of `Params`. A negative number, in the form of `usize::wrapping_sub`, becomes an
    /// `i32`. A plan with a value of more than 32 bits is refused.
    pub fn params(mut self, params: &[(&'static str, usize)]) -> Self {
        for &(name, value) in params {
            if u32::try_from(value).is_err() && i32::try_from(value as isize).is_err() {
                self.too_large.get_or_insert((name, value));
            }
            self.params.push((name, Scalar::U32(value as u32)));
        }
        self
    }

    /// Sets a float field of `Params`.
    pub fn float(mut self, name: &'static str, value: f32) -> Self {
        self.params.push((name, Scalar::F32(value)));
        self
    }

    /// Binds the loss scale, if gradients have one.
    pub fn scaled(self, scaler: Option<BufferId>) -> Self {
        self.constants(&[("SCALED", scaler.is_some().into())]).bind_if("scaler", scaler)
    }

    /// Sets the maximum number of loop turns of one invocation: the turns of all its loops that the driver
    /// does not unroll, with nested loops counted every time. A plan with a kernel above [`MOST_TURNS`] is
    /// refused.
    pub fn turns(mut self, turns: usize) -> Self {
        self.turns = turns as u64;
        self
    }

    /// Sets the number of multiply-accumulates.
    pub fn macs(mut self, macs: u64) -> Self {
        self.macs = macs;
        self
    }

    /// The dispatch, of `layer` in `phase`.
    ///
    /// # Errors
    /// [`Error::Shader`] unless bindings and fields match the kernel's WGSL; [`Error::Graph`] for numbers of
    /// more than 32 bits, or too many loop turns.
    pub(crate) fn into_dispatch(self, layer: &str, phase: Phase, share: Share) -> Result<Dispatch> {
        let reflection = reflect(self.kernel)?;
        let wrong = |reason: String| Error::Shader { kernel: self.kernel.name(), reason };
        for name in reflection.bindings.keys().filter(|name| *name != "p") {
            if !self.bindings.iter().any(|(bound, _)| bound == name) {
                return Err(wrong(format!("binding `{name}` was not given")));
            }
        }
        if let Some((name, _)) =
            self.bindings.iter().find(|(name, _)| !reflection.bindings.contains_key(*name))
        {
            return Err(wrong(format!("there is no binding `{name}`")));
        }
        if let Some((name, _)) = self.params.iter().find(|(name, _)| !reflection.fields.contains_key(*name)) {
            return Err(wrong(format!("Params has no field `{name}`")));
        }
        let too_much = |reason: String| {
            let kernel = self.kernel.name();
            Err(Error::Graph(format!("{layer}: {kernel} {reason}: use a smaller batch or image")))
        };
        if let Some((name, value)) = self.too_large {
            return too_much(format!("counts in 32 bits, and {name} would be {value}"));
        }
        if self.turns > MOST_TURNS {
            let turns = self.turns;
            return too_much(format!(
                "would take {turns} loop turns in one invocation, but at most {MOST_TURNS} give right results"
            ));
        }
        let written = |name: &str| reflection.written.contains(name);
        let binding = |(name, buffer)| Binding { name, buffer, written: written(name) };
        Ok(Dispatch {
            bindings: self.bindings.into_iter().map(binding).collect(),
            variant: Variant { kernel: self.kernel, constants: self.constants, share, formats: vec![] },
            layer: layer.to_owned(),
            phase,
            params: self.params,
            grid: self.grid,
            macs: self.macs,
            turns: self.turns,
            bytes_read: 0,
            bytes_written: 0,
        })
    }
}

/// A copy of `bytes` from one buffer to another.
pub(crate) fn copy(from: BufferId, to: BufferId, bytes: u64) -> Request {
    let size4 = (bytes / 16) as usize;
    Request::new(COPY, grid(size4, 64)).bind(&[("x", from), ("y", to)]).params(&[("size4", size4)])
}

/// y = act(a + b), of images or of parameters: the rows of a filter are its taps times its input channels.
pub(crate) fn sum(shape: Shape, a: BufferId, b: BufferId, y: BufferId, activation: Activation) -> Request {
    let c4 = shape.channels().div_ceil(4);
    let rows = shape.padded_count() / 4 / c4;
    let items = rows.div_ceil(ADDED_ROWS) * c4;
    Request::new(ADD, grid(items, 64))
        .constants(&[("ACT", activation.code())])
        .bind(&[("a", a), ("b", b), ("y", y)])
        .params(&[("rows", rows), ("c4", c4), ("items", items)])
        .turns(ADDED_ROWS)
}
