//! Settings that no flag sets are chosen from the data. Each choice comes with its reason.

use std::fmt;

use frostline_engine::Error as EngineError;
use frostline_trainer::{Error as TrainerError, Evaluation, FitOptions, Learner, LrCurve, LrRange};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::train::data::Data;
use crate::train::job::options;
use crate::train::recipe::{Augmentation, Bn, Recipe, Storage};
use crate::train::settle::LEAST_GAIN;

/// Number of steps of a run if no flag sets it.
const STEPS: usize = 200;
/// Bytes that a step may take on any adapter: the memory that small graphics cards can spare.
const MEMORY: u64 = 2 << 30;
/// Up to the first number of training images counts as few, up to the second as some.
const FEW: usize = 500;
const SOME: usize = 5000;
/// Outputs of frozen stages are kept in memory for at most this many images.
pub const CACHED: usize = 2000;

/// The chosen settings of a run, besides the recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// Images in a step.
    pub batch: usize,
    /// Passes over all images, unless `steps` is fewer.
    pub epochs: u64,
    /// Total number of steps, if a time budget sets it.
    #[serde(default)]
    pub steps: Option<u64>,
    /// The lowest stage that trains.
    pub freeze_below: String,
    /// The statistics with which trained batch norms normalise.
    pub bn: Bn,
    /// Random changes of the training images.
    pub augment: Augmentation,
    /// The highest rate.
    pub lr: f32,
    /// What the weights were before.
    pub weights: String,
}

impl Chosen {
    /// Steps of the run on `images` photos.
    pub fn steps_on(&self, images: usize) -> u64 {
        self.steps.unwrap_or(self.epochs * (images / self.batch).max(1) as u64)
    }

    /// The length of the run, for people.
    pub fn length(&self) -> String {
        self.steps.map_or(self.epochs.to_string(), |steps| format!("{steps} steps (a time budget)"))
    }
}

/// A choice, for people.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    /// What was chosen.
    pub what: &'static str,
    /// Its value.
    pub value: String,
    /// Why.
    pub why: String,
}

impl Choice {
    fn new(what: &'static str, value: impl ToString, why: impl Into<String>) -> Self {
        Self { what, value: value.to_string(), why: why.into() }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10} {}  ({})", self.what, self.value, self.why)
    }
}

/// `value` if it was given, else the value of `choose` with its reason.
fn asked_or<T: ToString>(
    what: &'static str,
    asked: Option<T>,
    choose: impl FnOnce() -> Result<(T, String)>,
) -> Result<(T, Choice)> {
    let (value, why) = match asked {
        Some(value) => (value, "as asked".to_owned()),
        None => choose()?,
    };
    let choice = Choice::new(what, value.to_string(), why);
    Ok((value, choice))
}

/// Chooses everything except the rate, and sets the learner's freeze.
///
/// # Errors
/// For an unknown stage.
pub fn choose(
    recipe: &Recipe,
    learner: &mut Learner,
    data: &Data,
    weights: &str,
    pretrained: bool,
) -> Result<(Chosen, Vec<Choice>)> {
    let images = data.train.len();
    let (freeze_below, freeze) =
        asked_or("trains", recipe.freeze_below.clone(), || Ok(freeze_plan(learner, images, pretrained)))?;
    learner.freeze_below(&freeze_below)?;
    let bn = recipe.bn.unwrap_or(if pretrained { Bn::Running } else { Bn::Batch });
    learner.set_batch_norm(bn.into());
    let (augment, augment_choice) = asked_or("augment", recipe.augment, || {
        Ok(augmentation(learner, probe_alone(recipe, &freeze_below, pretrained)))
    })?;
    let mut chosen = Chosen {
        batch: 1,
        epochs: 1,
        steps: None,
        freeze_below,
        bn,
        augment,
        lr: 1.0,
        weights: weights.to_owned(),
    };
    let asked = recipe.batch.map(|batch| batch as usize);
    if let Some(batch) = asked.filter(|batch| *batch > images) {
        return Err(Error::LargeBatch { batch, images });
    }
    let (batch, batch_choice) = asked_or("batch", asked, || batch(recipe, learner, data, &chosen))?;
    chosen.batch = batch;
    if let Some(reason) = too_few(recipe, learner, data, &chosen)? {
        return Err(Error::SmallBatch { batch, reason });
    }
    // A batch that fits into a step fits into an evaluation.
    learner.set_evaluation_batch(batch);
    let per_epoch = (images / batch).max(1);
    let probe_alone = augment == Augmentation::None && probe_alone(recipe, &chosen.freeze_below, pretrained);
    let (epochs, epochs_choice) = asked_or("epochs", recipe.epochs, || {
        if probe_alone {
            return Ok((0, "only the head trains, and the linear probe is its optimum".to_owned()));
        }
        let epochs = (STEPS / per_epoch).clamp(3, 30) as u64;
        Ok((epochs, format!("{per_epoch} steps each: about {STEPS} steps, 3 to 30 epochs")))
    })?;
    chosen.epochs = epochs;
    let steps = per_epoch as u64 * epochs;
    if steps > 0 && recipe.warm_up >= steps {
        return Err(Error::LongWarmUp { warm_up: recipe.warm_up, steps });
    }
    let mut choices = vec![freeze, augment_choice, batch_choice, epochs_choice];
    choices[0].value += " on";
    let size = learner.size();
    let size_why = if recipe.size.is_some() { "as asked" } else { "what the weights were made for" };
    choices.insert(0, Choice::new("size", format!("{size}×{size}"), size_why));
    let bn_why = match (recipe.bn, pretrained) {
        (Some(_), _) => "as asked",
        (None, true) => "they came with the weights, and statistics of small batches are inaccurate",
        (None, false) => "there are no running statistics yet",
    };
    let bn_value = if bn == Bn::Running { "running statistics" } else { "statistics of the batch" };
    choices.push(Choice::new("batch norm", bn_value, bn_why));
    Ok((chosen, choices))
}

/// Whether only a linear probe is requested: only the head trains, and no flag concerns training by steps.
fn probe_alone(recipe: &Recipe, freeze_below: &str, pretrained: bool) -> bool {
    pretrained && !recipe.no_probe && freeze_below == "fc" && !by_steps(recipe)
}

/// Whether a flag is given that only affects training by steps; without steps it would be ignored silently. A
/// flag that turns something off, such as `--augment none`, does not count.
fn by_steps(recipe: &Recipe) -> bool {
    recipe.epochs.is_some()
        || recipe.batch.is_some()
        || recipe.lr.is_some()
        || recipe.slice.is_some()
        || recipe.layer_decay.is_some()
        || recipe.schedule.is_some()
        || recipe.warm_up > 0
        || recipe.augment.is_some_and(|augment| augment != Augmentation::None)
        || recipe.mixup.is_some()
        || recipe.class_weights
        || recipe.label_smoothing > 0.0
        || recipe.early_stop.is_some()
        || recipe.bn.is_some()
        || recipe.storage != Storage::F32
        || recipe.gradual
}

/// Why fine-tuning from `probe` is left out, if no flag requests it and no fine-tuned model could be kept:
/// with so few wrong photos, even a model that recognises all of them is not significantly better.
pub fn no_fine_tuning(recipe: &Recipe, epochs: u64, probe: &Evaluation) -> Option<Choice> {
    let asked = recipe.freeze_below.is_some() || by_steps(recipe);
    let images = probe.predictions.len();
    let wrong = images - probe.confusion.right() as usize;
    let why = format!(
        "the probe is wrong on {wrong} of {images} validation photos, and fine-tuning is kept only if it corrects \
         {LEAST_GAIN} or more; --epochs {epochs}, or another training flag, trains anyway"
    );
    (!asked && wrong < LEAST_GAIN).then(|| Choice::new("steps", 0, why))
}

/// The grid of chapter 4: few images train the last stages, many train all. The grid's other axis, the
/// similarity to the pretraining images, cannot be determined from the images.
fn freeze_plan(learner: &Learner, images: usize, pretrained: bool) -> (String, String) {
    let stages = learner.model().stages();
    if !pretrained {
        return (stages[0].clone(), "random weights: there is nothing to keep".to_owned());
    }
    let body = stages.len() - 1;
    let (open, size) = match images {
        few if few <= FEW => ((body / 6).max(1), "few"),
        some if some <= SOME => ((body / 2).max(1), "some"),
        _ => (body, "many"),
    };
    let from = stages[body - open].clone();
    let why = format!(
        "{images} training images are {size}, so {open} of {body} stages below the head train; similarity \
         to the pretraining images is unknown"
    );
    (from, why)
}

/// Augmented images must pass the frozen stages again in every epoch. A processor takes minutes where a
/// graphics card takes seconds.
fn augmentation(learner: &Learner, probe_alone: bool) -> (Augmentation, String) {
    if probe_alone {
        (Augmentation::None, "only the head trains, and augmented photos gained nothing there".to_owned())
    } else if learner.gpu().is_software() {
        let why = "the adapter is the processor: without augmentation, the frozen stages run once per image";
        (Augmentation::None, why.to_owned())
    } else {
        (Augmentation::Light, "crops, mirror images and slightly changed colours add variety".to_owned())
    }
}

/// The batch: the largest that gives at least four steps per epoch and fits into memory, 32 at most.
fn batch(recipe: &Recipe, learner: &Learner, data: &Data, chosen: &Chosen) -> Result<(usize, String)> {
    let images = data.train.len();
    let wanted = [32, 16, 8, 4, 2].into_iter().find(|batch| images >= 4 * batch).unwrap_or(1);
    // Statistics of a batch need more than one value per channel.
    let of_one = Chosen { batch: 1, ..chosen.clone() };
    let least = if too_few(recipe, learner, data, &of_one)?.is_some() { 2.min(images) } else { 1 };
    let wanted = wanted.max(least);
    let mut batch = wanted;
    loop {
        let plan = learner.training_plan(&options(
            recipe,
            &Chosen { batch, ..chosen.clone() },
            learner,
            &data.train,
        )?)?;
        let ledger = plan.ledger();
        let bytes =
            ledger.pool_bytes + ledger.parameter_bytes + ledger.gradient_bytes + ledger.optimizer_bytes;
        let fits = bytes <= MEMORY && plan.largest_buffer() <= learner.gpu().largest_binding();
        let mib = bytes as f64 / f64::from(1 << 20);
        if fits || batch == least {
            let why = if batch == wanted {
                format!("{images} images; a step takes {mib:.0} MiB")
            } else {
                format!(
                    "a step takes {mib:.0} MiB; a larger one would not fit into {} MiB or the adapter's \
                     limit of a binding",
                    MEMORY >> 20
                )
            };
            return Ok((batch, why));
        }
        batch /= 2;
    }
}

/// Why batch norms cannot train with the statistics of the chosen batch, if they cannot: a single value per
/// channel minus its mean is always 0.
fn too_few(recipe: &Recipe, learner: &Learner, data: &Data, chosen: &Chosen) -> Result<Option<String>> {
    match learner.training_plan(&options(recipe, chosen, learner, &data.train)?) {
        Err(TrainerError::Engine(EngineError::Shape { op: "batch_norm", layer, reason })) => {
            Ok(Some(format!("{layer}: {reason}")))
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(None),
    }
}

/// The range test: the curve, and the rate that it suggests. After a linear probe the loss can fall only a
/// little more, so that "valley" is noise. A tenth of the rate at the lowest loss bounds it.
///
/// # Errors
/// As [`Learner::find_lr`].
pub fn find_lr(
    recipe: &Recipe,
    learner: &mut Learner,
    data: &Data,
    chosen: &Chosen,
    range: LrRange,
) -> Result<(LrCurve, Option<f32>)> {
    // Without augmentation, photos need to pass the frozen stages only once.
    let plain = FitOptions { augment: None, mixup: None, ..options(recipe, chosen, learner, &data.train)? };
    let plain = plain.cache_frozen(data.train.len() <= CACHED);
    let curve = learner.find_lr(data.to_train_on(), &plain, range)?;
    let lr = curve.suggestions().map(|found| found.valley.min(found.minimum));
    Ok((curve, lr))
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    /// Every flag on rates and on training, with a value other than the default.
    const HOW_TO_TRAIN: [(&str, &str); 15] = [
        ("--epochs", "3"),
        ("--batch", "4"),
        ("--lr", "0.1"),
        ("--slice", "1e-4..1e-2"),
        ("--layer-decay", "0.7"),
        ("--schedule", "one-cycle"),
        ("--warm-up", "3"),
        ("--augment", "light"),
        ("--mixup", "0.2"),
        ("--class-weights", ""),
        ("--label-smoothing", "0.1"),
        ("--early-stop", "0"),
        ("--storage", "f16"),
        ("--bn", "running"),
        ("--gradual", ""),
    ];

    fn parsed(flag: &str, value: &str) -> Recipe {
        let words = ["recipe", flag, value].into_iter().filter(|word| !word.is_empty());
        let matches = Recipe::augment_args(Command::new("recipe")).get_matches_from(words);
        Recipe::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn a_flag_on_how_to_train_is_not_ignored() {
        for (flag, value) in HOW_TO_TRAIN {
            assert!(by_steps(&parsed(flag, value)), "{flag} {value}");
        }
        for (flag, value) in [
            ("", ""),
            ("--augment", "none"),
            ("--seed", "3"),
            ("--size", "64"),
            ("--weights", "x"),
            ("--val-fraction", "0.5"),
        ] {
            assert!(!by_steps(&parsed(flag, value)), "{flag} {value}");
        }
        // A new flag under these headings belongs in the table.
        let command = Recipe::augment_args(Command::new("recipe"));
        let of_training = |heading: Option<&str>| matches!(heading, Some("Rates" | "Training"));
        for flag in command.get_arguments().filter(|flag| of_training(flag.get_help_heading())) {
            let name = format!("--{}", flag.get_long().unwrap());
            assert!(HOW_TO_TRAIN.iter().any(|(known, _)| *known == name), "{name}");
        }
    }
}
