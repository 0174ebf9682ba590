//! The graphs that a learner records, and the plan of its training step.

use frostline_engine::ops::CrossEntropy;
use frostline_engine::{Graph, Plan, TensorId};
use frostline_loader::Preprocessing;
use frostline_models::{Model, Recorded};

use super::{Cut, Learner, Span};
use crate::error::{Error, Result};
use crate::options::FitOptions;

impl Learner {
    /// The plan that [`Learner::fit`] would run with these options: its cost, and what the freeze saves,
    /// before anything runs.
    ///
    /// # Errors
    /// [`Error::Engine`] if everything is frozen, [`Error::NoClasses`] without a last layer.
    pub fn training_plan(&self, options: &FitOptions<'_>) -> Result<Plan> {
        self.plan_after(None, options)
    }

    /// The plan of a step on images, or on the outputs of a stage.
    pub(crate) fn plan_after(&self, stage: Option<&str>, options: &FitOptions<'_>) -> Result<Plan> {
        if let (Some(what), Some(_)) = (options.stochastic(), stage) {
            return Err(Error::StochasticCache { what: what.to_owned() });
        }
        let (mut graph, recorded, mixes) = match stage {
            None => self.record_changed(options)?,
            Some(_) => {
                let (graph, recorded) = self.record_after(stage, options.batch)?;
                (graph, recorded, None)
            }
        };
        let logits = recorded.logits.ok_or_else(|| self.no_classes())?;
        let labels = graph.labels(options.batch);
        let FitOptions { label_smoothing, class_weights, .. } = options;
        let loss = CrossEntropy { label_smoothing: *label_smoothing, class_weights: class_weights.clone() };
        let inputs: Vec<TensorId> = [logits, labels].into_iter().chain(mixes).collect();
        let loss = graph.record(loss, "loss", &inputs)?;
        let tuning = self.gpu.tuning().with_storage(options.storage);
        Ok(Plan::training(&graph, loss, &self.freeze, &options.optim, &tuning)?)
    }

    /// The whole model, on images of bytes that are augmented and mixed first, as the options specify; and
    /// the input that contains the shares and partners of the mixture.
    fn record_changed(&self, options: &FitOptions<'_>) -> Result<(Graph, Recorded, Option<TensorId>)> {
        let mut graph = Graph::new();
        let mut x = match &options.augment {
            None => self.record_images(&mut graph, options.batch)?,
            Some(augment) => {
                // Augmentation takes values in 0..=1, and normalises at its end.
                let channels = self.model.input_channels();
                let pixels = graph.pixels(options.batch, self.size(), self.size(), channels);
                let x = graph.normalize(pixels, &vec![0.0; channels], &vec![1.0; channels])?;
                graph.augment(x, augment.op(&self.preprocessing))?
            }
        };
        let mixes = options.mixup.map(|_| graph.mixes(options.batch));
        if let Some(mixes) = mixes {
            x = graph.mixup(x, mixes)?;
        }
        let recorded = self.model.record(&mut graph, x)?;
        Ok((graph, recorded, mixes))
    }

    pub(super) fn record_span(&self, (after, cut): &Span, batch: usize) -> Result<(Graph, TensorId)> {
        let (mut graph, recorded) = self.record_after(after.as_deref(), batch)?;
        let output = self.output_at(&mut graph, &recorded, cut)?;
        Ok((graph, output))
    }

    /// A batch of images of bytes, normalised.
    pub(crate) fn record_images(&self, graph: &mut Graph, batch: usize) -> Result<TensorId> {
        let Preprocessing { crop, channels, mean, std, .. } = &self.preprocessing;
        let pixels = graph.pixels(batch, *crop, *crop, *channels);
        Ok(graph.normalize(pixels, mean, std)?)
    }

    /// The end of a plan of the recorded graph.
    pub(crate) fn output_at(&self, graph: &mut Graph, recorded: &Recorded, cut: &Cut) -> Result<TensorId> {
        let stage = |name: &String| {
            recorded.stages.get(name).copied().ok_or_else(|| Error::UnknownGroup {
                name: name.clone(),
                known: recorded.stages.keys().cloned().collect::<Vec<_>>().join(", "),
            })
        };
        Ok(match cut {
            Cut::Logits => recorded.logits.ok_or_else(|| self.no_classes())?,
            Cut::Stage(name) => stage(name)?,
            Cut::Pooled(name) => {
                let output = stage(name)?;
                match graph.shape(output).torch()[..] {
                    [_, _, 1, 1] => output,
                    _ => graph.global_avg_pool(output, "features")?,
                }
            }
        })
    }

    /// Shape of one image's values at `stage`: channels, height, width.
    pub(crate) fn stage_shape(&self, stage: &str) -> Result<[usize; 3]> {
        let (graph, output) = self.record_span(&(None, Cut::Stage(stage.to_owned())), 1)?;
        let shape = graph.shape(output).torch();
        Ok([shape[1], shape[2], shape[3]])
    }
}

/// The whole model on a batch of `batch` images of floats.
pub(crate) fn record(model: &Model, size: usize, batch: usize) -> Result<(Graph, Recorded)> {
    let mut graph = Graph::new();
    let x = graph.input(batch, size, size, model.input_channels());
    let recorded = model.record(&mut graph, x)?;
    Ok((graph, recorded))
}
