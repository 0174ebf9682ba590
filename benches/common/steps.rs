//! What the step benchmark measures: whole steps of a network, by what trains.

use super::Outcome;
use frostline::engine::{Error, Freeze, Gpu, Graph, Optim, Optimizer, Params, Plan, Session, Storage, TensorId, Tuning};
use frostline::models::{Model, POOLED};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A network with a batch of images.
#[derive(Clone, Debug)]
pub struct Workload {
    /// First part of the rows' names.
    pub name: String,
    pub model: Model,
    pub batch: usize,
    pub size: usize,
    /// How activations are stored.
    pub storage: Storage,
}

/// ResNet-18 on photos, ResNet-20 on small images, and what `more` names: `resnet50:8:224` is a
/// model, a batch and a side, `resnet50:8:224:f16` the same with activations stored in 16 bits.
///
/// # Errors
/// If `more` is written otherwise or names no model.
pub fn workloads(more: &str) -> Outcome<Vec<Workload>> {
    let workload = |name: String, model: &str, batch, size, storage| -> Outcome<Workload> {
        Ok(Workload { name, model: Model::new(model)?, batch, size, storage })
    };
    let standard = |model: &str, batch, size| workload(model.to_owned(), model, batch, size, Storage::F32);
    let mut all = vec![standard("resnet18", 8, 224)?, standard("resnet20", 64, 32)?];
    for one in more.split_whitespace() {
        let wrong = || format!("`{one}` is no MODEL:BATCH:SIDE such as resnet50:8:224, with or without :f16");
        let (sizes, storage) = one.strip_suffix(":f16").map_or((one, Storage::F32), |sizes| (sizes, Storage::f16()));
        let [model, batch, size] = sizes.split(':').collect::<Vec<_>>()[..] else { return Err(wrong().into()) };
        let number = |text: &str| text.parse().ok().filter(|number| (1..=1 << 14).contains(number)).ok_or_else(wrong);
        let name = format!("{model} {batch}x{size}{}", if storage == Storage::f16() { " f16" } else { "" });
        all.push(workload(name, model, number(batch)?, number(size)?, storage)?);
    }
    Ok(all)
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
    /// The head trains on features that were computed before: what a frozen body should cost.
    Features,
}

impl Workload {
    pub fn steps(&self) -> [Step; 5] {
        [Step::Infer, Step::Full, Step::LastStage, Step::Head, Step::Features]
    }

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

    /// The graph, how many values a batch has, and the plan.
    fn plan(&self, step: Step, gpu: &Gpu) -> Outcome<(Graph, usize, Plan)> {
        let (mut graph, batch, model) = (Graph::new(), self.batch, &self.model);
        let shape = if step == Step::Features { [1, 1, model.feature_count()] } else { [self.size, self.size, model.input_channels()] };
        let x = graph.input(batch, shape[0], shape[1], shape[2]);
        let labels = graph.labels(batch);
        let logits = match step {
            Step::Features => model.record_from(&mut graph, POOLED, x)?.output(),
            _ => model.record(&mut graph, x)?.output(),
        };
        let tuning = gpu.tuning().with_storage(self.storage);
        let plan = match step {
            Step::Infer => Plan::inference(&graph, logits, &tuning)?,
            _ => self.training(step, &mut graph, logits, labels, &tuning)?,
        };
        Ok((graph, batch * shape.iter().product::<usize>(), plan))
    }

    fn training(&self, step: Step, graph: &mut Graph, logits: TensorId, labels: TensorId, tuning: &Tuning) -> Outcome<Plan> {
        let loss = graph.cross_entropy(logits, labels, 0.0)?;
        let freeze = match step {
            Step::LastStage => Freeze::below(graph, &self.name(step))?,
            Step::Head => Freeze::below(graph, self.model.groups().last().ok_or("a network without parameters")?)?,
            _ => Freeze::none(),
        };
        Ok(Plan::training(graph, loss, &freeze, &Optim::sgd(0.01).momentum(0.9), tuning)?)
    }
}

/// A step ready to run, as a training loop would: batch in, one submit, wait.
pub struct Runner {
    gpu: Arc<Gpu>,
    session: Session,
    optimizer: Option<Optimizer>,
    images: Vec<f32>,
    labels: Vec<u32>,
    /// What the first step took, with all that it had to prepare: buffers, pipelines, and what the
    /// driver compiles when a kernel first runs.
    pub first: Duration,
}

impl Runner {
    /// Plans, compiles, and runs the first step.
    ///
    /// # Errors
    /// If the device refuses.
    pub fn new(gpu: &Arc<Gpu>, workload: &Workload, step: Step) -> Outcome<Self> {
        let (graph, values, plan) = workload.plan(step, gpu)?;
        let params = Params::new(gpu, &graph, 0)?;
        let optimizer = if step == Step::Infer { None } else { Some(Optimizer::new(gpu, &plan)?) };
        let start = Instant::now();
        let session = Session::new(gpu, plan, &params, optimizer.as_ref())?;
        let images = (0..values).map(|i| (i as f32 * 0.618_034).fract() - 0.5).collect();
        let labels = (0..workload.batch as u32).map(|image| image % 10).collect();
        let mut runner = Self { gpu: gpu.clone(), session, optimizer, images, labels, first: Duration::ZERO };
        runner.run()?;
        runner.first = start.elapsed();
        Ok(runner)
    }

    /// From handing over the batch to the end of the step.
    ///
    /// # Errors
    /// If the device refuses.
    pub fn run(&mut self) -> Result<(), Error> {
        self.session.write_input(&self.images)?;
        if let Some(optimizer) = &mut self.optimizer {
            self.session.write_labels(&self.labels)?;
            self.session.begin_step(optimizer, 0.01)?;
        }
        self.session.run()?;
        self.gpu.wait()
    }

    /// Multiply-accumulates of a step, as the plan's ledger counts them.
    pub fn macs(&self) -> u64 {
        self.session.plan().ledger().step.macs
    }
}
