//! cross_entropy: softmax and its loss, with label smoothing, class weights and mixed labels.

use super::{Op, channel_blocks, image, mixup};
use crate::context::{Backward, Forward};
use crate::dispatch::{BufferId, grid};
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::request::Request;
use crate::shape::Shape;
use crate::tuning::Class;

static FORWARD: Kernel = Kernel { file: "cross_entropy", entry: "forward" };
static SUM: Kernel = Kernel { file: "cross_entropy", entry: "sum" };
pub(crate) static MEAN: Kernel = Kernel { file: "cross_entropy", entry: "mean" };
static BACKWARD: Kernel = Kernel { file: "cross_entropy", entry: "backward" };

/// A label that leaves its row out of loss and accuracy: padding of a last, short batch.
pub const IGNORED: u32 = u32::MAX;

/// Number of steps whose losses the plan keeps before the oldest is overwritten.
pub const HISTORY: usize = 1024;

/// Inputs: logits, labels and, if rows are mixed, [`crate::Graph::mixes`]: the loss is then
/// λ·loss(own label) + (1 − λ)·loss(partner's label). The output is (loss, hits, labelled rows, Σ of the
/// weights of their labels). PyTorch's `CrossEntropyLoss(weight, label_smoothing=…)`: the mean divides
/// by that last sum.
#[derive(Clone, Debug, Default)]
pub struct CrossEntropy {
    /// Share of the target spread over all classes.
    pub label_smoothing: f32,
    /// One weight per class, 0 or more; `None` for equal weights.
    pub class_weights: Vec<f32>,
}

impl CrossEntropy {
    /// A dispatch of one of the kernels that read logits and labels.
    fn request(&self, kernel: Kernel, logits: Shape, items: usize, mixed: bool) -> Request {
        let weighted = !self.class_weights.is_empty();
        let mean = self.class_weights.iter().map(|&weight| f64::from(weight)).sum::<f64>()
            / logits.channels() as f64;
        request(kernel, logits, items)
            .constants(&[("WEIGHTED", weighted.into()), ("MIXED", mixed.into())])
            .float("smoothing", self.label_smoothing)
            .float("mean_weight", if weighted { mean as f32 } else { 1.0 })
    }

    fn check_weights(&self, layer: &str, logits: Shape) -> Result<()> {
        let (weights, classes) = (&self.class_weights, logits.channels());
        let wrong = |reason| Err(Error::shape("cross_entropy", layer, reason));
        if !weights.is_empty() && weights.len() != classes {
            return wrong(format!(
                "logits {logits} of {classes} classes need as many class weights, got {}",
                weights.len()
            ));
        }
        if let Some((class, weight)) =
            weights.iter().enumerate().find(|(_, weight)| !(0.0..f32::INFINITY).contains(*weight))
        {
            return wrong(format!(
                "class {class} has weight {weight}; a weight must be 0 or a positive \
                                  number"
            ));
        }
        if !weights.is_empty() && weights.iter().all(|weight| *weight == 0.0) {
            return wrong("all classes have weight 0, so there is nothing to learn".to_owned());
        }
        Ok(())
    }
}

/// A request with the sizes of `logits` that the kernels of every loss need.
pub(crate) fn request(kernel: Kernel, logits: Shape, items: usize) -> Request {
    Request::new(kernel, grid(items, 64)).params(&[
        ("rows", logits.rows()),
        ("classes", logits.channels()),
        ("c4", channel_blocks(logits)),
    ])
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

/// Maximum number of terms in one running sum of `cross_entropy.wgsl`.
pub(crate) const BLOCK: usize = 32;

/// Sums `rows`, with (loss, hits, labelled, weight) each, into the output and into the ring of past steps.
/// Rows without label are zeros.
pub(crate) fn summarise(f: &mut Forward<'_, '_>, rows: BufferId) -> Result<()> {
    // On a GPU a workgroup's invocations share the work; elsewhere a single invocation does it.
    let (span, lanes) = if f.tuning().class == Class::Gpu { (64, 64) } else { (1024, 1) };
    let turns = |terms: usize| terms + terms.div_ceil(BLOCK);
    let (mut rows, mut count) = (rows, f.shape(0).rows());
    while count > span * lanes {
        let sums = count.div_ceil(span);
        let partial = f.scratch("partial losses", 16 * sums as u64);
        let request =
            Request::new(SUM, grid(sums, 64)).constants(&[("SPAN", span as u32)]).params(&[("rows", count)]);
        f.dispatch(request.bind(&[("rows_in", rows), ("rows_out", partial)]).turns(turns(span)))?;
        (rows, count) = (partial, sums);
    }
    let summary = f.output();
    let history = f.plan_buffer("history", 16 * HISTORY as u64);
    let request = Request::new(MEAN, [1, 1, 1])
        .constants(&[("LANES", lanes as u32)])
        .params(&[("rows", count), ("slot", 0)])
        .turns(turns(count.div_ceil(lanes)) + lanes.ilog2() as usize);
    f.dispatch(request.bind(&[("rows_in", rows), ("summary_out", summary), ("history", history)]))
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let shape = summary_shape("cross_entropy", layer, inputs)?;
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(Error::shape(
                "cross_entropy",
                layer,
                format!("label smoothing {} is not in 0..=1", self.label_smoothing),
            ));
        }
        self.check_weights(layer, inputs[0])?;
        if let (Some(&mixes), Shape::Image { n, .. }) = (inputs.get(2), inputs[0])
            && mixes != mixup::mixes_shape(n)
        {
            let expected = mixup::mixes_shape(n);
            return Err(Error::shape(
                "cross_entropy",
                layer,
                format!("logits {} need one mix each, {expected}, got {mixes}", inputs[0]),
            ));
        }
        Ok(shape)
    }

    fn reads_f32(&self, input: usize) -> bool {
        input == 0
    }

    fn keeps(&self, _wants: &[bool]) -> Vec<usize> {
        vec![0]
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let logits = f.shape(0);
        let rows = f.scratch("rows", 16 * logits.rows() as u64);
        let norms = f.save("norms", 8 * logits.rows().next_multiple_of(2) as u64);
        let mixes = (f.inputs() > 2).then(|| f.input(2));
        let weighted = !self.class_weights.is_empty();
        let weights = weighted.then(|| f.values("class weights", &self.class_weights));
        let bindings =
            [("logits", f.input(0)), ("labels", f.input(1)), ("norms_out", norms), ("rows_out", rows)];
        let c4 = channel_blocks(logits);
        let request =
            self.request(FORWARD, logits, logits.rows(), mixes.is_some()).turns(2 * c4 + c4.div_ceil(BLOCK));
        f.dispatch(request.bind(&bindings).bind_if("class_weights", weights).bind_if("mixes", mixes))?;
        summarise(f, rows)
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let logits = b.shape(0);
        let (norms, weights) = (b.saved("norms"), b.saved("class weights"));
        let (summary, scaler) = (b.output(), b.loss_scaler());
        let mixes = (b.inputs() > 2).then(|| b.input(2));
        b.accumulate(0, |b, dlogits| {
            let (z, labels) = (b.input(0), b.input(1));
            let bindings = [("logits", z), ("labels", labels), ("summary", summary), ("dlogits", dlogits)];
            let items = logits.rows() * channel_blocks(logits);
            let request = self.request(BACKWARD, logits, items, mixes.is_some()).bind(&bindings);
            let request = request.bind_if("norms", norms).bind_if("class_weights", weights);
            b.dispatch(request.bind_if("mixes", mixes).scaled(scaler))
        })
    }
}
