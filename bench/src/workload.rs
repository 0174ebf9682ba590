//! Whole steps of a network to time, for each choice of layers that train.

use std::sync::Arc;
use std::time::{Duration, Instant};

use frostline_engine::dispatch::Phase;
use frostline_engine::{
    Error as EngineError, Freeze, Gpu, Graph, Optim, Optimizer, Params, Plan, Session, Storage,
};
use frostline_models::{Model, POOLED};
use frostline_trainer::Batch;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::measure::median;

/// A network with a batch of images.
#[derive(Clone, Debug)]
pub struct Workload {
    /// First part of the rows' names.
    pub name: String,
    /// The network.
    pub model: Model,
    /// Images a step.
    pub batch: usize,
    /// Side of the square images, in pixels.
    pub size: usize,
    /// Number format of activations.
    pub storage: Storage,
}

/// Which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Logits alone, everything folded.
    Infer,
    /// Everything trains.
    Full,
    /// The last stage and the head train.
    LastStage,
    /// The head trains; the frozen body runs in every step.
    Head,
    /// The head trains on features that were computed before: the cost that a frozen body should have.
    Features,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 5] = [Step::Infer, Step::Full, Step::LastStage, Step::Head, Step::Features];
}

impl Workload {
    /// `infer`, `full`, `layer4` (the last stage's name), `head` or `features`.
    pub fn name(&self, step: Step) -> String {
        let groups = self.model.groups();
        match step {
            Step::Infer => "infer".to_owned(),
            Step::Full => "full".to_owned(),
            Step::LastStage => groups[groups.len().saturating_sub(2)].clone(),
            Step::Head => "head".to_owned(),
            Step::Features => "features".to_owned(),
        }
    }

    /// The graph, a batch, and the plan.
    fn plan(&self, step: Step, gpu: &Gpu) -> Result<(Graph, Batch, Plan)> {
        let (mut graph, batch, model) = (Graph::new(), self.batch, &self.model);
        let value = |i: usize| (i as f32 * 0.618_034).fract();
        let (logits, input) = match step {
            Step::Features => {
                let x = graph.input(batch, 1, 1, model.feature_count());
                let values = (0..batch * model.feature_count()).map(|i| value(i) - 0.5).collect();
                (model.record_from(&mut graph, POOLED, x)?.output(), Batch::Floats(values))
            }
            _ => {
                let channels = model.input_channels();
                let pixels = graph.pixels(batch, self.size, self.size, channels);
                let x = graph.normalize(pixels, &vec![0.5; channels], &vec![1.0; channels])?;
                let bytes = (0..graph.shape(pixels).count()).map(|i| (256.0 * value(i)) as u8).collect();
                (model.record(&mut graph, x)?.output(), Batch::Bytes(bytes))
            }
        };
        let labels = graph.labels(batch);
        let tuning = gpu.tuning().with_storage(self.storage);
        let plan = match step {
            Step::Infer => Plan::inference(&graph, logits, &tuning)?,
            _ => {
                let loss = graph.cross_entropy(logits, labels, 0.0)?;
                Plan::training(
                    &graph,
                    loss,
                    &self.freeze(step, &graph)?,
                    &Optim::sgd(0.01).momentum(0.9),
                    &tuning,
                )?
            }
        };
        Ok((graph, input, plan))
    }

    fn freeze(&self, step: Step, graph: &Graph) -> Result<Freeze> {
        Ok(match step {
            Step::LastStage => Freeze::below(graph, &self.name(step))?,
            Step::Head => {
                Freeze::below(graph, self.model.groups().last().ok_or(EngineError::NothingToTrain)?)?
            }
            _ => Freeze::none(),
        })
    }
}

/// A dispatch of a step and its time on the device.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct KernelTime {
    /// Such as `conv2d.forward`.
    pub kernel: String,
    /// Such as `layer2.0.conv1`.
    pub layer: String,
    /// By the device's timestamps.
    pub milliseconds: f64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes of the buffers that it reads and writes.
    pub bytes: u64,
}

/// A step ready to run, as a training loop would: batch in, one submit, wait. Weights and images
/// are arbitrary.
pub struct Runner {
    gpu: Arc<Gpu>,
    session: Session,
    optimizer: Option<Optimizer>,
    input: Batch,
    labels: Vec<u32>,
    /// The time of the first step, with its preparation: buffers, pipelines, and the compilation by the
    /// driver when a kernel first runs.
    pub first: Duration,
}

impl Runner {
    /// Plans, compiles, and runs the first step.
    ///
    /// # Errors
    /// If the model refuses the size, or the device fails.
    pub fn new(gpu: &Arc<Gpu>, workload: &Workload, step: Step) -> Result<Self> {
        let (graph, input, plan) = workload.plan(step, gpu)?;
        let params = Params::new(gpu, &graph, 0)?;
        let optimizer = if step == Step::Infer { None } else { Some(Optimizer::new(gpu, &plan)?) };
        let start = Instant::now();
        let session = Session::new(gpu, plan, &params, optimizer.as_ref())?;
        let classes = workload.model.class_count().map_or(1, |classes| classes.clamp(1, 10) as u32);
        let labels = (0..workload.batch as u32).map(|image| image % classes).collect();
        let mut runner = Self { gpu: gpu.clone(), session, optimizer, input, labels, first: Duration::ZERO };
        runner.run()?;
        runner.first = start.elapsed();
        Ok(runner)
    }

    /// From sending the batch to the end of the step.
    ///
    /// # Errors
    /// If the device fails.
    pub fn run(&mut self) -> Result<()> {
        self.input.write(&self.session)?;
        if let Some(optimizer) = &mut self.optimizer {
            self.session.write_labels(&self.labels)?;
            self.session.begin_step(optimizer, 0.01)?;
        }
        self.session.run()?;
        Ok(self.gpu.wait()?)
    }

    /// `steps` steps on the batch that is on the device already, submitted one after the other without
    /// a wait between them: the cost of a training loop whose input is never late. Returns the time of one
    /// step.
    ///
    /// # Errors
    /// If the device fails.
    pub fn run_resident(&mut self, steps: usize) -> Result<Duration> {
        self.gpu.wait()?;
        let start = Instant::now();
        for _ in 0..steps.max(1) {
            if let Some(optimizer) = &mut self.optimizer {
                self.session.begin_step(optimizer, 0.01)?;
            }
            self.session.run()?;
        }
        self.gpu.wait()?;
        Ok(start.elapsed() / steps.max(1) as u32)
    }

    /// Every dispatch of a step with its device time, the median of `steps` steps; `None` if the adapter has
    /// no timestamps.
    ///
    /// # Errors
    /// If the device fails.
    pub fn profile(&mut self, steps: usize) -> Result<Vec<KernelTime>> {
        let mut times: Vec<Vec<f64>> = vec![];
        for _ in 0..steps.max(1) {
            let step = self.session.profile()?;
            times.resize(step.len(), vec![]);
            times.iter_mut().zip(step).for_each(|(times, (_, time))| times.push(time));
        }
        let dispatches =
            self.session.plan().dispatches().iter().filter(|dispatch| dispatch.phase != Phase::Prologue);
        let timed = dispatches.zip(times).map(|(dispatch, mut times)| KernelTime {
            kernel: dispatch.variant.kernel.name(),
            layer: dispatch.layer.clone(),
            milliseconds: median(&mut times),
            macs: dispatch.macs,
            bytes: dispatch.bytes_read + dispatch.bytes_written,
        });
        Ok(timed.collect())
    }

    /// Multiply-accumulates of a step, as the plan's ledger counts them.
    pub fn macs(&self) -> u64 {
        self.session.plan().ledger().step.macs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step in which less trains has fewer multiplications; each of them runs.
    #[test]
    fn steps_are_those_of_their_names() {
        let gpu = Arc::new(Gpu::new().unwrap());
        let model = Model::new("resnet10").unwrap().width(4).classes(3);
        let workload =
            Workload { name: "small".to_owned(), model, batch: 2, size: 28, storage: Storage::F32 };
        let [infer, full, last, head, features] = Step::ALL.map(|step| {
            let mut runner = Runner::new(&gpu, &workload, step).unwrap();
            runner.run().unwrap();
            runner.macs()
        });
        assert!(
            full > last && last > head && head > infer && infer > features,
            "{:?}",
            [infer, full, last, head, features]
        );
        assert_eq!(
            Step::ALL.map(|step| workload.name(step)),
            ["infer", "full", "layer4", "head", "features"]
        );
    }
}
