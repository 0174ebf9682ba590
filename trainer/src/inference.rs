//! Runs a plan without a loss over any number of rows, batch by batch.

use std::sync::Arc;

use frostline_engine::{Gpu, Graph, Params, Plan, Session, TensorId};
use frostline_loader::{EvalBatch, eval_batches};

use crate::error::Result;
use crate::source::Batch;

/// An inference plan on the device, folded as far as possible.
pub(crate) struct Inference {
    session: Session,
    batch: usize,
}

impl Inference {
    /// Puts `output` of `graph`, recorded for batches of `batch`, on the device.
    pub async fn open(
        gpu: &Arc<Gpu>,
        graph: &Graph,
        output: TensorId,
        params: &Params,
        batch: usize,
    ) -> Result<Self> {
        let plan = Plan::inference(graph, output, gpu.tuning())?;
        let session = Session::open(gpu, plan, params, None).await?;
        Ok(Self { session, batch })
    }

    /// Images in a step.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The output's values for `len` rows, one after another, each in PyTorch's order. The plan has
    /// a fixed batch: the last one is filled up with a row that is then left out.
    pub async fn run(
        &mut self,
        len: usize,
        fill: impl Fn(&[usize], &mut Batch) -> Result<()>,
    ) -> Result<Vec<f32>> {
        let mut input = Batch::default();
        let mut output = vec![];
        let mut batches = eval_batches(len, self.batch)?.peekable();
        let mut give = |session: &Session, batch: Option<&EvalBatch>| {
            let Some(batch) = batch else { return Ok(()) };
            fill(&batch.indices, &mut input)?;
            input.write(session)
        };
        give(&self.session, batches.peek())?;
        while let Some(batch) = batches.next() {
            self.session.run_async().await?;
            // The next batch is prepared while the device computes.
            give(&self.session, batches.peek())?;
            let values = self.session.read_output_async().await?;
            output.extend(&values[..values.len() / self.batch * batch.count]);
        }
        Ok(output)
    }
}
