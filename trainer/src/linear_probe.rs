//! A linear probe: how much of the classes can be read off features by a straight cut.

use std::sync::Arc;

use frostline_engine::{Freeze, Gpu, Graph, Optim, Optimizer, Params, Plan, Session};
use frostline_loader::{BatchState, Batches, HostTensor};

use crate::error::{Error, Result};
use crate::evaluate::Evaluation;
use crate::features::Features;
use crate::inference::Inference;
use crate::learner::Learner;
use crate::schedule::Schedule;
use crate::source::Batch;
use crate::training::{Rows, StepRecord, Training};

/// Rows that are evaluated at once.
const EVALUATION_BATCH: usize = 256;

/// What a probe's head minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeLoss {
    /// Cross entropy: a softmax head, multinomial logistic regression.
    #[default]
    Softmax,
    /// Hinge loss with margin 1: a linear support vector machine of several classes (Weston and
    /// Watkins 1999; PyTorch's `MultiMarginLoss`). An evaluation's loss is the cross entropy all the
    /// same.
    Hinge,
}

/// Settings of a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeOptions {
    /// Steps.
    pub steps: u64,
    /// Rows in a step; `None` takes all of them in every step, which needs no luck.
    pub batch: Option<usize>,
    /// What is minimised.
    pub loss: ProbeLoss,
    /// The optimiser; its rate is the schedule's full rate.
    pub optim: Optim,
    /// How the rate moves.
    pub schedule: Schedule,
    /// Seed of the first weights and of the order of the rows.
    pub seed: u64,
    /// Added to a feature's variance before it is divided by the root: a feature that is the same
    /// for all training images must not blow up on others.
    pub eps: f32,
}

impl Default for ProbeOptions {
    /// 200 steps on all rows, softmax, AdamW at 0.02 with weight decay 1, a cosine, seed 0, ε 1e-5.
    ///
    /// So much decay because there are often more features than images: on ResNet-10's last
    /// features of 50 digits it is worth three points over 0.1.
    fn default() -> Self {
        Self {
            steps: 200,
            batch: None,
            loss: ProbeLoss::default(),
            optim: Optim::adamw(0.02).weight_decay(1.0),
            schedule: Schedule::cosine(),
            seed: 0,
            eps: 1e-5,
        }
    }
}

/// Mean and deviation of every feature over the training images. Features of one stage can differ
/// in size a thousandfold; a softmax head on raw ones learns the large ones only.
#[derive(Clone, Debug, PartialEq)]
pub struct Standardization {
    /// Of each feature.
    pub mean: Vec<f32>,
    /// √(variance + ε) of each feature.
    pub deviation: Vec<f32>,
}

impl Standardization {
    /// Measures `features`.
    pub fn of(features: &Features, eps: f32) -> Self {
        let count = features.labels.len().max(1) as f64;
        let mut mean = vec![0f64; features.width];
        let mut variance = vec![0f64; features.width];
        for row in features.values.chunks_exact(features.width) {
            for (mean, value) in mean.iter_mut().zip(row) {
                *mean += f64::from(*value) / count;
            }
        }
        for row in features.values.chunks_exact(features.width) {
            for ((variance, mean), value) in variance.iter_mut().zip(&mean).zip(row) {
                *variance += (f64::from(*value) - mean).powi(2) / count;
            }
        }
        Self {
            mean: mean.into_iter().map(|mean| mean as f32).collect(),
            deviation: variance.into_iter().map(|v| (v + f64::from(eps)).sqrt() as f32).collect(),
        }
    }

    /// (features − mean) / deviation.
    pub fn apply(&self, features: &Features) -> Features {
        let scale = self.mean.iter().zip(&self.deviation).cycle();
        let values = features.values.iter().zip(scale);
        let values = values.map(|(value, (mean, deviation))| (value - mean) / deviation).collect();
        Features { values, ..features.clone() }
    }
}

/// A trained probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// What features are standardised with.
    pub standardization: Standardization,
    /// Of the head on standardised features: (classes, width).
    pub weight: HostTensor,
    /// Of the head on standardised features: (classes).
    pub bias: HostTensor,
    /// The steps.
    pub records: Vec<StepRecord>,
    /// On the features it was trained on.
    pub train: Evaluation,
    /// On the others.
    pub test: Evaluation,
}

/// Trains a linear head on `train`, standardised, and evaluates it on `test`; all on the device.
///
/// # Errors
/// [`Error::NoImages`] if there are none; [`Error::FeatureWidth`], [`Error::Classes`] or
/// [`Error::Label`] if features and labels do not fit together; [`Error::BatchTooLarge`];
/// [`Error::Diverged`]; [`Error::Engine`].
pub fn linear_probe(
    gpu: &Arc<Gpu>,
    train: &Features,
    test: &Features,
    options: &ProbeOptions,
) -> Result<Probe> {
    check(train, test)?;
    let images = train.labels.len();
    let batch = options.batch.unwrap_or(images);
    if batch > images {
        return Err(Error::BatchTooLarge { batch, images });
    }
    let standardization = Standardization::of(train, options.eps);
    let (train, test) = (standardization.apply(train), standardization.apply(test));
    let classes = train.classes.len();

    let mut graph = Graph::new();
    let x = graph.input(batch, 1, 1, train.width);
    let labels = graph.labels(batch);
    let logits = graph.linear(x, "fc", classes)?;
    let loss = match options.loss {
        ProbeLoss::Softmax => graph.cross_entropy(logits, labels, 0.0)?,
        ProbeLoss::Hinge => graph.multi_margin(logits, labels, 1.0)?,
    };
    let plan = Plan::training(&graph, loss, &Freeze::none(), &options.optim, gpu.tuning())?;
    let params = Params::new(gpu, &graph, options.seed)?;
    let mut optimizer = Optimizer::new(gpu, &plan)?;
    let mut session = Session::new(gpu, plan, &params, Some(&optimizer))?;
    let mut batches = Batches::new(images, batch, options.seed)?;
    let fill = |indices: &[usize], _: BatchState, out: &mut Batch| {
        gather(&train, indices, out.floats());
        Ok(())
    };
    let rows = Rows {
        labels: &train.labels,
        fill: &fill,
        expect: &|_| {},
        transforms: &|_, _| None,
        mixes: &|_| Ok(None),
    };
    let mut training = Training::new(&mut session, &mut optimizer, &mut batches, rows, batch)?;
    let mut records = vec![];
    for step in 0..options.steps {
        let lr = options.optim.lr * options.schedule.factor(step, options.steps);
        training.step(step + 1, lr)?;
        if training.is_due(u64::MAX) {
            records.extend(training.read(&params)?);
        }
    }
    records.extend(training.read(&params)?);

    let evaluate = |features: &Features| -> Result<Evaluation> {
        let len = features.labels.len();
        let batch = EVALUATION_BATCH.min(len);
        let mut graph = Graph::new();
        let x = graph.input(batch, 1, 1, features.width);
        let logits = graph.linear(x, "fc", classes)?;
        let mut inference = Inference::new(gpu, &graph, logits, &params, batch)?;
        let fill = |indices: &[usize], out: &mut Batch| {
            gather(features, indices, out.floats());
            Ok(())
        };
        Ok(Evaluation::of(&inference.run(len, fill)?, &features.labels, classes))
    };
    let (on_train, on_test) = (evaluate(&train)?, evaluate(&test)?);
    Ok(Probe {
        weight: HostTensor::new(vec![classes, train.width], params.get("fc.weight")?)?,
        bias: HostTensor::new(vec![classes], params.get("fc.bias")?)?,
        standardization,
        records,
        train: on_train,
        test: on_test,
    })
}

impl Probe {
    /// The same head for features that are not standardised, as a model's last layer takes them:
    /// w / deviation and b − Σ w·mean / deviation.
    pub fn raw_head(&self) -> (Vec<f32>, Vec<f32>) {
        let Standardization { mean, deviation } = &self.standardization;
        let rows = || self.weight.data.chunks_exact(mean.len());
        let divided = |row: &[f32]| -> Vec<f32> { row.iter().zip(deviation).map(|(w, d)| w / d).collect() };
        let weight: Vec<f32> = rows().flat_map(divided).collect();
        let shift =
            |row: &[f32]| -> f64 { row.iter().zip(mean).map(|(w, m)| f64::from(*w) * f64::from(*m)).sum() };
        let shifts = weight.chunks_exact(mean.len()).map(shift);
        let bias = self.bias.data.iter().zip(shifts).map(|(b, s)| (f64::from(*b) - s) as f32);
        (weight.clone(), bias.collect())
    }
}

impl Learner {
    /// Puts the probe, trained on [`Learner::features`] at the stage before the last layer, in that
    /// layer's place. To probe first and fine-tune then keeps the first, random gradients of a new
    /// head out of the body (Kumar et al. 2022, "LP-FT").
    ///
    /// # Errors
    /// [`Error::NoClasses`] without a last layer; [`Error::Engine`] if it has another shape.
    pub fn set_head(&mut self, probe: &Probe) -> Result<()> {
        let name = || Error::NoClasses { model: self.model.name().to_owned() };
        let head = self.model.members("fc").map_err(|_| name())?.remove(0);
        let (weight, bias) = probe.raw_head();
        self.params.set(&format!("{head}.weight"), &weight)?;
        self.params.set(&format!("{head}.bias"), &bias)?;
        Ok(())
    }
}

fn gather(features: &Features, indices: &[usize], out: &mut Vec<f32>) {
    out.clear();
    indices.iter().for_each(|&i| out.extend(features.row(i)));
}

fn check(train: &Features, test: &Features) -> Result<()> {
    if train.width != test.width {
        return Err(Error::FeatureWidth { train: train.width, other: test.width });
    }
    let classes = train.classes.len();
    if test.classes.len() != classes {
        return Err(Error::Classes { data: test.classes.len(), model: classes });
    }
    for features in [train, test] {
        if features.labels.is_empty() {
            return Err(Error::NoImages { purpose: "train or test a probe on" });
        }
        if let Some(index) = features.labels.iter().position(|&l| l as usize >= classes) {
            return Err(Error::Label { index, label: features.labels[index], classes });
        }
    }
    Ok(())
}
