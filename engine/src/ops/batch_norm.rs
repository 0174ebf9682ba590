//! batch_norm: normalises every channel, with the batch's statistics or with the running ones.

use super::{Activation, Op, channel_blocks, image, relu};
use crate::context::{Backward, Context, Forward};
use crate::dispatch::{BufferId, grid};
use crate::error::{Error, Result};
use crate::fused::{FoldedNorm, Fused, Part};
use crate::kernel::Kernel;
use crate::request::Request;
use crate::shape::Shape;
use crate::tensor::TensorId;

mod chunks;
mod mask;

use chunks::{Chunks, per_row_block, two_vectors};
use mask::Mask;

const fn kernel(entry: &'static str) -> Kernel {
    Kernel { file: "batch_norm", entry }
}
static STATISTICS: Kernel = kernel("statistics");
static FINISH: Kernel = kernel("finish");
static RUNNING: Kernel = kernel("running");
static FORWARD: Kernel = kernel("forward");
static BACKWARD_REDUCE: Kernel = kernel("backward_reduce");
static BACKWARD_FINISH: Kernel = kernel("backward_finish");
static BACKWARD_INPUT: Kernel = kernel("backward_input");
static BACKWARD_INPUT_RUNNING: Kernel = kernel("backward_input_running");

/// The source of a batch norm's mean and variance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stats {
    /// The batch's statistics; the running statistics move towards them. A plan is refused if the input has
    /// one value per channel: a single value minus its mean is always 0.
    #[default]
    Batch,
    /// The running statistics, which are not updated.
    Running,
}

/// y = γ·(x − μ)·rstd + β. Inputs: x, weight, bias, running_mean, running_var.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
    /// Weight of the batch in the running statistics.
    pub momentum: f32,
    /// Whose statistics.
    pub stats: Stats,
}

impl Default for BatchNorm {
    /// PyTorch's: eps 1e-5, momentum 0.1.
    fn default() -> Self {
        Self { eps: 1e-5, momentum: 0.1, stats: Stats::Batch }
    }
}

/// Scale and shift of a batch norm that was folded into another op: computed once, before the first step.
pub(crate) fn folded(f: &mut Forward<'_, '_>, norm: FoldedNorm) -> Result<BufferId> {
    let shape = f.output_shape();
    let stats = f.plan_buffer("stats", two_vectors(shape));
    f.constant("affine", two_vectors(shape), |f, affine| running(f, norm, stats, affine))
}

/// Scale and shift from running statistics.
fn running(f: &mut Forward<'_, '_>, norm: FoldedNorm, stats: BufferId, affine: BufferId) -> Request {
    let c4 = channel_blocks(f.output_shape());
    let [weight, bias, running_mean, running_var] = norm.tensors.map(|id| f.value(id));
    Request::new(RUNNING, grid(c4, 64))
        .params(&[("c4", c4)])
        .bind(&[("weight", weight), ("bias", bias)])
        .bind(&[("running_mean", running_mean), ("running_var", running_var)])
        .bind(&[("stats_out", stats), ("affine_out", affine)])
        .float("eps", norm.eps)
}

/// dy·γ·rstd where the activation's slope is one: the backward pass of a batch norm with running statistics,
/// whose `affine` forward saved.
pub(crate) fn backward_scaled(
    b: &mut Backward<'_, '_>,
    dy: BufferId,
    activation: Activation,
) -> Result<BufferId> {
    let shape = b.output_shape();
    let dx = b.scratch_activation("grad before batch norm", shape);
    backward_running_into(b, dy, activation, dx)?;
    Ok(dx)
}

fn backward_running_into(
    b: &mut Backward<'_, '_>,
    dy: BufferId,
    activation: Activation,
    dx: BufferId,
) -> Result<()> {
    let mask = Mask::of(b, activation, false);
    let request = per_row_block(BACKWARD_INPUT_RUNNING, b.output_shape()).bind(&[("dy", dy), ("out", dx)]);
    b.dispatch(mask.bind(request.bind_if("x", None).bind_if("affine", b.saved("affine"))))
}

/// y from x and its scale and shift, with the fused parts.
fn apply<Pass>(c: &mut Context<'_, '_, Pass>) -> Request {
    let Fused { residual, activation, .. } = *c.fused();
    per_row_block(FORWARD, c.output_shape())
        .constants(&[("ACT", activation.code()), ("RESIDUAL", residual.is_some().into())])
        .bind(&[("x", c.input(0)), ("out", c.output())])
}

/// The error for an input with one value per channel.
fn single_value(layer: &str, shape: Shape) -> Error {
    let advice = "use a larger batch or larger images, freeze this batch norm, or let it use its running \
                  statistics";
    let reason =
        format!("input {shape} has one value per channel, but statistics of a batch need more: {advice}");
    Error::shape("batch_norm", layer, reason)
}

impl BatchNorm {
    /// Backward needs the input: to train the weight, and with the batch's statistics always.
    fn reads_x(&self, wants: &[bool]) -> bool {
        wants[1] || (self.stats == Stats::Batch && (wants[0] || wants[2]))
    }

    /// The op as a part of another, if it uses its running statistics.
    fn folded(&self, inputs: &[TensorId]) -> FoldedNorm {
        FoldedNorm { eps: self.eps, tensors: [inputs[1], inputs[2], inputs[3], inputs[4]] }
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let [.., c] = image("batch_norm", layer, inputs[0])?;
        for (shape, what) in inputs[1..5].iter().zip(["weight", "bias", "running_mean", "running_var"]) {
            if *shape != (Shape::Vector { c }) {
                let reason = format!("{what} {shape} does not fit {c} channels (input {})", inputs[0]);
                return Err(Error::shape("batch_norm", layer, reason));
            }
        }
        if !(0.0..f32::INFINITY).contains(&self.eps) {
            return Err(Error::shape(
                "batch_norm",
                layer,
                format!("eps {} must be a number of at least 0", self.eps),
            ));
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Error::shape(
                "batch_norm",
                layer,
                format!("momentum {} must be in 0..=1", self.momentum),
            ));
        }
        Ok(inputs[0])
    }

    fn differentiable(&self, input: usize) -> bool {
        input != 3 && input != 4
    }

    fn keeps(&self, wants: &[bool]) -> Vec<usize> {
        if self.reads_x(wants) { vec![0] } else { vec![] }
    }

    fn as_part(&self, inputs: &[TensorId]) -> Vec<(usize, Part)> {
        match self.stats {
            Stats::Running => vec![(0, Part::Norm(self.folded(inputs)))],
            Stats::Batch => vec![],
        }
    }

    fn can_take(&self, part: Part, _fused: &Fused) -> bool {
        !matches!(part, Part::Norm(_))
    }

    fn recomputable(&self, fused: &Fused) -> bool {
        self.stats == Stats::Batch && fused.residual.is_none()
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let shape = f.output_shape();
        let stats = f.save("stats", two_vectors(shape));
        let affine = f.save("affine", two_vectors(shape));
        match self.stats {
            Stats::Batch => {
                if shape.rows() == 1 {
                    return Err(single_value(f.layer(), shape));
                }
                let chunks = Chunks::new(shape, f.tuning());
                let vectors = 2 * chunks.chunks + 1;
                let partial = f.scratch("partial statistics", 16 * (vectors * channel_blocks(shape)) as u64);
                let x = f.input(0);
                f.dispatch(chunks.reduce(STATISTICS, shape).bind(&[("x", x), ("partial_out", partial)]))?;
                let bindings = [
                    ("partial_in", partial),
                    ("weight", f.input(1)),
                    ("bias", f.input(2)),
                    ("running_mean", f.input(3)),
                    ("running_var", f.input(4)),
                    ("stats_out", stats),
                    ("affine_out", affine),
                ];
                let request = chunks.finish(FINISH, shape).bind(&bindings);
                f.dispatch(request.float("eps", self.eps).float("momentum", self.momentum))?;
            }
            Stats::Running => {
                let request = running(f, self.folded(f.inputs), stats, affine);
                f.dispatch(request)?;
            }
        }
        let request = apply(f).bind(&[("affine", affine)]).bind_if("residual", f.residual());
        f.dispatch(request)?;
        // From x, which is kept, backward computes where the activation's slope is one.
        if self.recomputable(f.fused()) { Ok(()) } else { relu::keep_mask(f, f.fused().activation) }
    }

    fn recompute(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let request = apply(b).bind_if("affine", b.saved("affine")).bind_if("residual", None);
        b.dispatch(request)
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let shape = b.output_shape();
        let wants = [b.wants(0), b.wants(1), b.wants(2)];
        let Fused { residual, activation, .. } = *b.fused();
        let (dz, activation) = if residual.is_some() {
            let dz = relu::gradient_before(b, activation)?;
            b.pass_to_residual(dz)?;
            (dz, Activation::None)
        } else {
            (b.grad_output()?, activation)
        };
        if !wants.contains(&true) {
            return Ok(());
        }
        let (stats, affine) = (b.saved("stats"), b.saved("affine"));
        let reads_x = self.reads_x(&wants);
        let x = reads_x.then(|| b.input(0));
        let mask = Mask::of(b, activation, reads_x && self.stats == Stats::Batch);
        // The common part of the requests of kernels that read the input and its statistics.
        let reading = |request: Request, x: Option<BufferId>| {
            mask.bind(request).bind_if("x", x).bind_if("stats", stats).bind_if("affine", affine)
        };

        let sums = b.scratch("gradient sums", two_vectors(shape));
        if reads_x || wants[2] {
            // Without x (only β trains, running statistics) the sum with x̂ is not used, so any buffer can be
            // bound.
            let x = x.or(Some(dz));
            let chunks = Chunks::new(shape, b.tuning());
            let partial = b.scratch("partial gradient sums", two_vectors(shape) * chunks.chunks as u64);
            let request = chunks.reduce(BACKWARD_REDUCE, shape).bind(&[("dy", dz), ("partial_out", partial)]);
            b.dispatch(reading(request, x))?;
            let (mut dweight, mut dbias) = (None, None);
            b.grad(1, |_, buffer, _| {
                dweight = Some(buffer);
                Ok(())
            })?;
            b.grad(2, |_, buffer, _| {
                dbias = Some(buffer);
                Ok(())
            })?;
            let request = chunks
                .finish(BACKWARD_FINISH, shape)
                .constants(&[("WEIGHT", dweight.is_some().into()), ("BIAS", dbias.is_some().into())])
                .bind(&[("partial_in", partial), ("sums_out", sums)]);
            b.dispatch(request.bind_if("dweight", dweight).bind_if("dbias", dbias))?;
        }
        b.accumulate(0, |b, dx| match self.stats {
            Stats::Batch => {
                let request = per_row_block(BACKWARD_INPUT, shape);
                b.dispatch(reading(request.bind(&[("dy", dz), ("sums", sums), ("out", dx)]), x))
            }
            Stats::Running => backward_running_into(b, dz, activation, dx),
        })
    }
}
