//! The model card: what a model was made from, how, and its limits (Mitchell et al. 2019).

use std::fmt::Write;

use crate::commands::share;
use crate::train::folder::{Run, RunFolder};
use crate::train::job::Job;
use crate::train::recipe::{Bn, Recipe};
use crate::train::report::Report;
use crate::train::tensorboard::EVENTS;

/// The text of a run's `README.md`.
pub fn card(folder: &RunFolder, run: &Run, job: &Job, report: &Report) -> String {
    let Job { recipe, data, learner, .. } = job;
    let mut text = format!("# {}, {} classes\n\n", learner.model().name(), report.classes.len());
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    let best = if report.step == 0 { "the linear probe".to_owned() } else { format!("step {}", report.step) };
    let accuracy = share(report.right, report.images as u64);
    line(format!(
        "**Recognises {accuracy} of {} validation photos**, loss {:.3}; `best.safetensors` is {best}.\n",
        report.images, report.loss
    ));
    if let Some(settled) = &report.settled {
        line(format!("{}\n", settled.sentence()));
    }
    if let Some(refitted) = report.refitted() {
        line(format!("{refitted}\n"));
    }
    line("    ".to_owned() + &run.command + "\n");
    line("## Classes\n\n| class | trained on | validated with | recognised (95 % interval) |\n|---|---:|---:|---:|".to_owned());
    for class in &report.classes {
        let accuracy = share(class.right, class.validation as u64);
        line(format!("| {} | {} | {} | {accuracy} |", cell(&class.name), class.train, class.validation));
    }
    line(format!("\n## Data\n\n`{}`; validation photos: {}.\n", recipe.dir.display(), data.split));
    for warning in data.warnings() {
        line(format!("- {warning}"));
    }
    line("\n## Settings\n\n| | |\n|---|---|".to_owned());
    for (name, value) in settings(recipe, job) {
        line(format!("| {name} | {} |", cell(&value)));
    }
    line(limits(report, job.steps() > 0));
    line("## Files\n".to_owned());
    let events = run.tensorboard.then_some((EVENTS, "`metrics.jsonl` for TensorBoard"));
    // The report is written after the card.
    let there = |file: &str| file == "report.json" || folder.file(file).exists();
    for (file, what) in FILES.iter().copied().chain(events).filter(|(file, _)| there(file)) {
        line(format!("- `{file}`: {what}"));
    }
    text
}

const FILES: &[(&str, &str)] = &[
    ("best.safetensors", "the weights to use, with class names and preprocessing"),
    ("probe.safetensors", "the linear probe, its head trained on the training photos only"),
    ("last.safetensors", "the run's last checkpoint, to resume from"),
    ("metrics.jsonl", "one line per step and per evaluation"),
    ("metrics.csv", "the same as a table"),
    ("curves.png", "loss and accuracy by step"),
    ("confusion.png", "which class was predicted as which"),
    ("mistakes.png", "the validation photos that it got most wrong"),
    ("review.html", "photos to look at: the worst mistakes, and labels that may be wrong"),
    ("review.csv", "those labels as a table, if they were checked"),
    ("plan.txt", "the kernels of a step, and the ledger of what they cost"),
    ("run.json", "the settings, for `frostline train --resume`"),
    ("data.json", "the photos: the use of each, and a hash of its contents; also for `--resume`"),
    ("report.json", "the numbers above; a run with this file is finished"),
];

fn settings(recipe: &Recipe, job: &Job) -> Vec<(&'static str, String)> {
    let (chosen, learner) = (&job.chosen, &job.learner);
    let input = learner.preprocessing();
    let resize = input.resize.map_or(String::new(), |side| format!("shorter side to {side}, "));
    let schedule = recipe.schedule.unwrap_or_default();
    let mut rate = format!("{:.2e}, {schedule:?}, warm-up {} steps", chosen.lr, recipe.warm_up);
    if let Some(decay) = recipe.layer_decay {
        let _ = write!(rate, ", times {decay} per stage down");
    }
    if recipe.slice.is_some() {
        rate += ", lower below the head";
    }
    let mut settings = vec![
        ("network", learner.model().to_string()),
        ("weights before", chosen.weights.clone()),
        (
            "input",
            format!("{resize}centre {0}×{0}; mean {1:?}, deviation {2:?}", input.crop, input.mean, input.std),
        ),
        (
            "first",
            if recipe.no_probe {
                "random head"
            } else {
                "linear probe (LP-FT) where weights were pretrained"
            }
            .to_owned(),
        ),
    ];
    if job.steps() > 0 {
        settings.extend([
            ("trains from", chosen.freeze_below.clone() + if recipe.gradual { ", gradually" } else { "" }),
            (
                "batch norm",
                if chosen.bn == Bn::Running {
                    "running statistics, kept"
                } else {
                    "the batch's where it trains"
                }
                .to_owned(),
            ),
            ("optimiser", "SGD, momentum 0.9".to_owned()),
            ("rate", rate),
            ("batch, epochs", format!("{}, {}", chosen.batch, chosen.length())),
            ("augmentation", chosen.augment.to_string()),
            ("mixup", recipe.mixup.map_or("none".to_owned(), |alpha| format!("alpha {alpha}"))),
            ("class weights", if recipe.class_weights { "balanced" } else { "none" }.to_owned()),
            ("label smoothing", recipe.label_smoothing.to_string()),
            ("storage", format!("{:?}", recipe.storage)),
        ]);
    } else {
        settings.push(("training", "none after the linear probe".to_owned()));
    }
    settings.extend([("seed", recipe.seed.to_string()), ("adapter", learner.gpu().describe())]);
    settings
}

fn limits(report: &Report, trained: bool) -> String {
    let chosen = match trained {
        true => {
            "- The best step was chosen on the photos above, so expect a slightly lower accuracy on new \
             ones.\n"
        }
        false => "",
    };
    let least = report.classes.iter().map(|class| class.validation).min().unwrap_or(0);
    format!(
        "\n## Limits\n\n\
        {chosen}- A class was validated with as few as {least} photos: its percentage can be far from the \
        true one.\n\
        - Every photo gets one of these classes, whatever it shows.\n\
        - Photos of other cameras, places or seasons than the trained ones may be recognised worse.\n"
    )
}

/// A cell must not contain the separator of cells.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace(['\n', '\r'], " ")
}
