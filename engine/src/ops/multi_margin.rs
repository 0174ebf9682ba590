//! multi_margin: the hinge loss of a linear support vector machine with several classes.

use super::cross_entropy::{request, summarise, summary_shape};
use super::{Op, channel_blocks};
use crate::context::{Backward, Forward};
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::shape::Shape;

static FORWARD: Kernel = Kernel { file: "multi_margin", entry: "forward" };
static BACKWARD: Kernel = Kernel { file: "multi_margin", entry: "backward" };

/// Inputs: logits, labels. The output is (loss, hits, labelled rows, labelled rows). PyTorch's
/// `MultiMarginLoss` with p = 1; a label may be [`super::cross_entropy::IGNORED`].
#[derive(Clone, Copy, Debug)]
pub struct MultiMargin {
    /// The amount by which the label's logit should exceed every other.
    pub margin: f32,
}

impl Op for MultiMargin {
    fn name(&self) -> &'static str {
        "multi_margin"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let shape = summary_shape("multi_margin", layer, inputs)?;
        if !(self.margin > 0.0 && self.margin.is_finite()) {
            return Err(Error::shape(
                "multi_margin",
                layer,
                format!("margin {} is not a positive number", self.margin),
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
        let bindings = [("logits", f.input(0)), ("labels", f.input(1)), ("rows_out", rows)];
        let request = request(FORWARD, logits, logits.rows()).turns(channel_blocks(logits));
        f.dispatch(request.bind(&bindings).float("margin", self.margin))?;
        summarise(f, rows)
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<()> {
        let (logits, summary) = (b.shape(0), b.output());
        let (margin, scaler) = (self.margin, b.loss_scaler());
        b.accumulate(0, |b, dlogits| {
            let bindings =
                [("logits", b.input(0)), ("labels", b.input(1)), ("summary", summary), ("dlogits", dlogits)];
            let request = request(BACKWARD, logits, logits.rows()).turns(2 * channel_blocks(logits));
            b.dispatch(request.bind(&bindings).float("margin", margin).scaled(scaler))
        })
    }
}
