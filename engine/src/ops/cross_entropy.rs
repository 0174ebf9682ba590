//! cross_entropy: softmax and its loss, with label smoothing.

use super::{Op, channel_blocks, image};
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::record::{Backward, BufferId, Forward, NOTHING, Request, grid};
use crate::shape::Shape;

static FORWARD: Kernel = Kernel { file: "cross_entropy", entry: "forward" };
pub(crate) static MEAN: Kernel = Kernel { file: "cross_entropy", entry: "mean" };
static BACKWARD: Kernel = Kernel { file: "cross_entropy", entry: "backward" };

/// A label that leaves its row out of loss and accuracy: padding of a last, short batch.
pub const IGNORED: u32 = u32::MAX;

/// How many steps' losses the plan keeps before the oldest is overwritten.
pub const HISTORY: usize = 1024;

/// Inputs: logits, labels. The output is (loss, correct rows, labelled rows, 0).
#[derive(Clone, Copy, Debug, Default)]
pub struct CrossEntropy {
    /// Share of the target spread over all classes.
    pub label_smoothing: f32,
}

/// A request with what the kernels of every loss need to know of `logits`.
pub(crate) fn request(kernel: Kernel, logits: Shape, items: usize) -> Request {
    Request::new(kernel, grid(items, 64)).params(&[("rows", logits.rows()), ("classes", logits.channels()), ("c4", channel_blocks(logits))])
}

/// The shape of a loss's output, or an error of `op` unless there is a label for each row of logits,
/// of two classes or more.
pub(crate) fn summary_shape(op: &'static str, layer: &str, inputs: &[Shape]) -> Result<Shape> {
    let [n, h, w, classes] = image(op, layer, inputs[0])?;
    let wrong = |reason| Err(Error::shape(op, layer, reason));
    if inputs[1] != (Shape::Labels { n }) || (h, w) != (1, 1) {
        return wrong(format!("logits {} need one label each, got labels {}", inputs[0], inputs[1]));
    }
    if classes < 2 {
        return wrong(format!("{classes} class; there must be at least two"));
    }
    Ok(Shape::Vector { c: 4 })
}

/// Sums up `rows`, (loss, correct, labelled) of each in its last three lanes, into the output and
/// into the ring of past steps.
pub(crate) fn summarise(f: &mut Forward<'_, '_>, rows: BufferId) {
    let (logits, summary) = (f.shape(0), f.output());
    let history = f.plan_buffer("history", 16 * HISTORY as u64);
    let bindings = [("rows_in", rows), ("summary_out", summary), ("history", history)];
    f.dispatch(request(MEAN, logits, 1).bind(&bindings).params(&[("slot", 0)]));
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let shape = summary_shape("cross_entropy", layer, inputs)?;
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(Error::shape("cross_entropy", layer, format!("label smoothing {} is not in 0..1", self.label_smoothing)));
        }
        Ok(shape)
    }

    fn reads_f32(&self, input: usize) -> bool {
        input == 0
    }

    fn keeps(&self, _wants: &[bool]) -> Vec<usize> {
        vec![0]
    }

    fn forward(&self, f: &mut Forward<'_, '_>) {
        let logits = f.shape(0);
        let rows = f.save("rows", 16 * logits.rows() as u64);
        let bindings = [("logits", f.input(0)), ("labels", f.input(1)), ("rows_out", rows)];
        f.dispatch(request(FORWARD, logits, logits.rows()).bind(&bindings).float("smoothing", self.label_smoothing));
        summarise(f, rows);
    }

    fn backward(&self, b: &mut Backward<'_, '_>) {
        let logits = b.shape(0);
        let rows = b.saved("rows").unwrap_or(NOTHING);
        let summary = b.output();
        let (smoothing, scale) = (self.label_smoothing, b.tuning().storage.loss_scale());
        b.accumulate(0, |b, dlogits| {
            let bindings =
                [("logits", b.kept_input(0)), ("labels", b.input(1)), ("rows_in", rows), ("summary", summary), ("dlogits", dlogits)];
            let request = request(BACKWARD, logits, logits.rows() * channel_blocks(logits));
            b.dispatch(request.bind(&bindings).float("smoothing", smoothing).float("scale", scale));
        });
    }
}
