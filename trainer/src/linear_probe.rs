//! A linear probe trained by steps on the device: how well the classes can be separated linearly by the
//! features. It takes as many steps as the training methods that it is compared with;
//! [`regression`](crate::regression()) finds the optimum.

use std::sync::Arc;

use frostline_engine::blocking::block_on;
use frostline_engine::{Freeze, Gpu, Graph, Optim, Optimizer, Params, Plan, Session};
use frostline_loader::{BatchState, Batches, HostTensor};

use crate::error::{Error, Result};
use crate::evaluate::Evaluation;
use crate::features::Features;
use crate::head::{Head, Standardization};
use crate::inference::Inference;
use crate::schedule::Schedule;
use crate::source::Batch;
use crate::training::{Rows, StepRecord, Training};

/// Batch size of the evaluation.
const EVALUATION_BATCH: usize = 256;

/// The loss of a probe's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeLoss {
    /// Cross entropy: a softmax head, multinomial logistic regression.
    #[default]
    Softmax,
    /// Hinge loss with margin 1: a linear support vector machine of several classes (Weston and
    /// Watkins 1999; PyTorch's `MultiMarginLoss`). The loss of an evaluation is the cross entropy even then.
    Hinge,
}

/// Settings of a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeOptions {
    /// Steps.
    pub steps: u64,
    /// Rows in a step; `None` is the full batch, so there is no sampling noise.
    pub batch: Option<usize>,
    /// What is minimised.
    pub loss: ProbeLoss,
    /// The optimiser; its rate is the schedule's full rate.
    pub optim: Optim,
    /// The schedule of the rate.
    pub schedule: Schedule,
    /// Seed of the first weights and of the order of the rows.
    pub seed: u64,
    /// Added to a feature's variance before it is divided by the root: otherwise a feature that is constant
    /// over the training images would become huge on other images.
    pub eps: f32,
}

impl Default for ProbeOptions {
    /// 200 steps on all rows, softmax, AdamW at 0.02 with weight decay 1, a cosine, seed 0, ε 1e-5.
    ///
    /// The weight decay is this large because there are often more features than images: on ResNet-10's last
    /// features of 50 digits it gains three points over 0.1.
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

/// A trained probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The head.
    pub head: Head,
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
    let optimizer = Optimizer::new(gpu, &plan)?;
    let session = Session::new(gpu, plan, &params, Some(&optimizer))?;
    let batches = Batches::new(images, batch, options.seed)?;
    let mut training = Training::new(session, optimizer, batches, &train, batch)?;
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
        let mut inference = block_on(Inference::open(gpu, &graph, logits, &params, batch))?;
        let fill = |indices: &[usize], out: &mut Batch| {
            gather(features, indices, out.floats());
            Ok(())
        };
        Ok(Evaluation::of(&block_on(inference.run(len, fill))?, &features.labels, classes))
    };
    let (on_train, on_test) = (evaluate(&train)?, evaluate(&test)?);
    Ok(Probe {
        head: Head {
            standardization,
            weight: HostTensor::new(vec![classes, train.width], params.get("fc.weight")?)?,
            bias: HostTensor::new(vec![classes], params.get("fc.bias")?)?,
        },
        records,
        train: on_train,
        test: on_test,
    })
}

impl Rows for Features {
    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn fill(&self, indices: &[usize], _: BatchState, out: &mut Batch) -> Result<()> {
        gather(self, indices, out.floats());
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
    train.check_labels("train a probe on")?;
    test.check_labels("test a probe on")?;
    Ok(())
}
