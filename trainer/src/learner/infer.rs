//! Inference: the output of a part of the network for every image of a source.

use std::sync::atomic::Ordering;

use frostline_engine::Error as EngineError;
use frostline_engine::blocking::block_on;

use super::Learner;
use crate::error::{Error, Result};
use crate::inference::Inference;
use crate::source::{Source, upcoming};

/// Where an inference plan ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Logits,
    /// The output of a stage.
    Stage(String),
    /// Its mean over the image.
    Pooled(String),
}

/// The part of the network that an inference plan computes: from after a stage (from the beginning, if there
/// is none) to a cut.
pub(crate) type Span = (Option<String>, Cut);

impl Learner {
    /// The plan's values at `cut` for every image of `source`, one after another.
    pub(crate) fn infer(&mut self, source: &dyn Source, cut: Cut) -> Result<Vec<f32>> {
        block_on(self.infer_async(source, cut))
    }

    pub(crate) async fn infer_async(&mut self, source: &dyn Source, cut: Cut) -> Result<Vec<f32>> {
        self.check_images(source)?;
        let len = source.labels().len();
        if len == 0 {
            return Err(Error::NoImages { purpose: "look at" });
        }
        let batch = self.evaluation_batch.min(len);
        let span = (source.activations().map(|outputs| outputs.stage().to_owned()), cut);
        let mut inference = match self.inference.take() {
            Some((of, images, inference)) if of == span && images == batch => inference,
            _ => self.prepare(&span, batch).await?,
        };
        let step = inference.batch();
        let stop = self.stop.clone();
        let values = inference.run(len, |indices, out| {
            if stop.as_ref().is_some_and(|stop| stop.load(Ordering::SeqCst)) {
                return Err(Error::Stopped);
            }
            source.gather(indices, None, out)?;
            let next = indices.last().map_or(0, |last| last + 1);
            source.expect(&upcoming(
                (next..len).step_by(step).map(|first| (first..len.min(first + step)).collect()),
            ));
            Ok(())
        });
        let values = values.await?;
        self.inference = Some((span, batch, inference));
        Ok(values)
    }

    /// Inference of `span` in batches of `batch` images, or of fewer if the buffers of so many exceed the
    /// adapter's limit of a binding.
    pub(crate) async fn prepare(&self, span: &Span, mut batch: usize) -> Result<Inference> {
        loop {
            let (graph, output) = self.record_span(span, batch)?;
            match Inference::open(&self.gpu, &graph, output, &self.params, batch).await {
                Err(Error::Engine(EngineError::TooLarge { .. })) if batch > 1 => batch = batch.div_ceil(2),
                made => return made,
            }
        }
    }
}
