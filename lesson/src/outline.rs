//! A chapter's description, and the flags that all chapters have.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser};
use frostline_study::Shard;
use frostline_trainer::{FitOptions, Length};
use std::path::PathBuf;

use crate::fit::sgd;

/// A chapter, before it runs.
#[derive(Clone, Copy, Debug)]
pub struct Outline {
    /// Its number, 0 to 8.
    pub number: usize,
    /// Version of its experiment: it rises when a change of the code changes the result of a run.
    pub version: u32,
    /// Its title.
    pub title: &'static str,
    /// What it tests, in one or two sentences.
    pub claim: &'static str,
    /// The flags' defaults.
    pub defaults: Settings,
    /// Their defaults with `--quick`.
    pub quick: Settings,
}

/// Defaults of the flags that differ from chapter to chapter.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Numbers of labelled images.
    pub images: &'static [usize],
    /// Seeds of each setting.
    pub seeds: u64,
    /// Steps of a run.
    pub steps: u64,
    /// Images in a step.
    pub batch: usize,
    /// Learning rate.
    pub lr: f32,
}

/// The flags that all chapters have.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// The network: resnet10 for the embedded sets of small images; resnet18, resnet50 … with --weights
    #[arg(long, default_value = "resnet10", value_name = "NAME")]
    pub model: String,
    /// Its pretrained weights, as a safetensors file; those of resnet10 are embedded
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Training images instead of the embedded ones: a folder with one folder of images per class
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Numbers of labelled images, separated by commas
    #[arg(long, value_delimiter = ',', required = true, value_name = "N")]
    pub images: Vec<usize>,
    /// Seeds of each setting: other images, another order, other first weights
    #[arg(long, required = true, value_parser = clap::value_parser!(u64).range(1..=1000), value_name = "N")]
    pub seeds: u64,
    /// Steps of a run
    #[arg(long, required = true, value_parser = clap::value_parser!(u64).range(1..), value_name = "N", conflicts_with = "epochs")]
    pub steps: u64,
    /// Length of a run in passes over the images, instead of --steps
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub epochs: Option<u64>,
    /// Images in a step, at most the number of training images
    #[arg(long, required = true, value_parser = batch, value_name = "N")]
    pub batch: usize,
    /// Learning rate of a pretrained network, if the chapter does not vary it
    #[arg(long, required = true, value_parser = rate, allow_negative_numbers = true, value_name = "RATE")]
    pub lr: f32,
    /// Folder for figures and results.json
    #[arg(long, required = true, value_name = "DIR")]
    pub out: PathBuf,
    /// The short form: fewer seeds, sizes and steps
    #[arg(long)]
    pub quick: bool,
    /// Do only a part of the runs, such as 2/5, the second of five; for several machines
    #[arg(long, default_value = "1/1", value_name = "PART/PARTS")]
    pub shard: Shard,
    /// Do only the runs whose name contains this text; a name is, for example, "clothes, 50 images, full,
    /// seed 0"
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["merge", "report_only"])]
    pub only: Option<String>,
    /// Do no runs, but add the runs in these files (runs.jsonl of other machines) to --out, and report
    #[arg(long, num_args = 1.., value_name = "FILE", conflicts_with = "shard")]
    pub merge: Vec<PathBuf>,
    /// Do no runs, and report on those in --out
    #[arg(long, conflicts_with = "shard")]
    pub report_only: bool,
    /// Do no runs, and print those that would be done: one line of JSON for each, with its passes over the
    /// images and whether it has finished. --shard and --only select runs as usual
    #[arg(long, conflicts_with_all = ["merge", "report_only"])]
    pub list: bool,
    /// Print results.json instead of tables
    #[arg(long)]
    pub json: bool,
    /// Whether --steps was given on the command line.
    #[arg(skip)]
    pub steps_given: bool,
}

/// For chapters without extra flags.
#[derive(Args, Clone, Debug)]
pub struct NoFlags {}

#[derive(Parser)]
struct Line<E: Args> {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    own: E,
}

impl Outline {
    /// Chapter `number` in the first version of its experiment, with `defaults` and those of `--quick`.
    pub const fn new(
        number: usize,
        title: &'static str,
        claim: &'static str,
        [defaults, quick]: [Settings; 2],
    ) -> Self {
        Self { number, version: 1, title, claim, defaults, quick }
    }

    /// Reads `words` (the program's name first) as flags.
    ///
    /// # Errors
    /// clap's errors; also `--help`.
    pub fn read<E: Args>(
        &self,
        words: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
    ) -> Result<(Flags, E), clap::Error> {
        let number = self.number;
        let about = format!("Chapter {number}: {}", self.title);
        let mut command =
            Line::<E>::command().about(about.clone()).long_about(format!("{about}\n\n{}", self.claim));
        for (name, value) in self.defaults.texts(number) {
            command = command.mut_arg(name, |arg| arg.required(false).default_value(value));
        }
        let matches = command.try_get_matches_from_mut(words)?;
        let Line { mut flags, own } = Line::from_arg_matches(&matches)?;
        if flags.quick {
            self.quick.replace_defaults(&mut flags, &matches);
        }
        flags.images.sort_unstable();
        if let Some(pair) = flags.images.windows(2).find(|pair| pair[0] == pair[1]) {
            let words = format!("--images names {} twice", pair[0]);
            return Err(command.error(ErrorKind::ValueValidation, words));
        }
        flags.steps_given = matches.value_source("steps") == Some(ValueSource::CommandLine);
        Ok((flags, own))
    }

    /// Whether the flags select the chapter's short form with shortened runs: nothing can be concluded from
    /// such runs.
    pub fn is_rehearsal(&self, flags: &Flags) -> bool {
        flags.quick && flags.epochs.is_none() && flags.steps < self.defaults.steps
    }
}

impl Flags {
    /// The length of a run: `--epochs`, else `--steps`.
    pub fn length(&self) -> Length {
        self.epochs.map_or(Length::Steps(self.steps), Length::Epochs)
    }

    /// The name of `condition` at `factor` times the rate: `full at 0.03`.
    pub fn at(&self, condition: &str, factor: f32) -> String {
        format!("{condition} at {}", rounded(self.lr * factor))
    }

    /// A run on `images` training images, as set by the flags: their batch or all images, their rate along a
    /// cosine, SGD as in [`crate::sgd`].
    pub fn fit_options(&self, images: usize, seed: u64) -> FitOptions<'static> {
        let options = FitOptions { length: self.length(), ..FitOptions::steps(0) };
        options.batch(self.batch.min(images)).optim(sgd(self.lr)).seed(seed)
    }
}

/// `lr` rounded to four digits: 0.05 for 2.5 times 0.02, which is 0.049999997.
pub(crate) fn rounded(lr: f32) -> f32 {
    format!("{lr:.3e}").parse().unwrap_or(lr)
}

impl Settings {
    fn texts(&self, number: usize) -> [(&'static str, String); 6] {
        let images: Vec<String> = self.images.iter().map(usize::to_string).collect();
        [
            ("images", images.join(",")),
            ("seeds", self.seeds.to_string()),
            ("steps", self.steps.to_string()),
            ("batch", self.batch.to_string()),
            ("lr", self.lr.to_string()),
            ("out", format!("out/ch{number}")),
        ]
    }

    /// Flags that were given on the command line stay.
    fn replace_defaults(&self, flags: &mut Flags, matches: &ArgMatches) {
        let free = |name| matches.value_source(name) != Some(ValueSource::CommandLine);
        if free("images") {
            flags.images = self.images.to_vec();
        }
        if free("seeds") {
            flags.seeds = self.seeds;
        }
        if free("steps") {
            flags.steps = self.steps;
        }
        if free("batch") {
            flags.batch = self.batch;
        }
        if free("lr") {
            flags.lr = self.lr;
        }
    }
}

fn batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(batch @ 1..=65536) => Ok(batch),
        _ => Err("expected a number from 1 to 65536".to_owned()),
    }
}

fn rate(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("expected a number above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTLINE: Outline = Outline {
        number: 4,
        version: 1,
        title: "a title",
        claim: "a claim",
        defaults: Settings { images: &[20, 50], seeds: 5, steps: 150, batch: 32, lr: 0.02 },
        quick: Settings { images: &[20], seeds: 1, steps: 40, batch: 16, lr: 0.01 },
    };

    fn read(words: &str) -> Result<Flags, clap::Error> {
        Ok(OUTLINE.read::<NoFlags>(std::iter::once("ch4").chain(words.split_whitespace()))?.0)
    }

    #[test]
    fn defaults_are_the_chapters_and_help_shows_them() {
        let flags = read("").unwrap();
        assert_eq!(
            (flags.images, flags.seeds, flags.steps, flags.batch, flags.lr),
            (vec![20, 50], 5, 150, 32, 0.02)
        );
        assert_eq!(flags.out, PathBuf::from("out/ch4"));
        let help = read("--help").unwrap_err().to_string();
        for text in
            ["a claim", "[default: 20,50]", "[default: 0.02]", "[default: out/ch4]", "[default: resnet10]"]
        {
            assert!(help.contains(text), "{text} is not in\n{help}");
        }
    }

    #[test]
    fn quick_changes_what_was_not_given() {
        let flags = read("--quick --seeds 3 --images 7").unwrap();
        assert_eq!(
            (flags.images, flags.seeds, flags.steps, flags.batch, flags.lr),
            (vec![7], 3, 40, 16, 0.01)
        );
    }

    #[test]
    fn numbers_of_images_ascend_and_none_comes_twice() {
        assert_eq!(read("--images 200,50").unwrap().images, [50, 200]);
        let error = read("--images 50,20,50").unwrap_err().to_string();
        assert!(error.contains("--images names 50 twice"), "{error}");
    }

    #[test]
    fn what_does_no_runs_takes_no_part_of_them() {
        for words in [
            "--shard 0/3",
            "--shard 4/3",
            "--shard x",
            "--shard 1/2 --merge a",
            "--shard 1/2 --report-only",
            "--only a --merge b",
            "--only a --report-only",
            "--list --report-only",
            "--list --merge a",
        ] {
            let error = read(words).unwrap_err().to_string();
            assert!(error.contains(words.split_whitespace().next().unwrap()), "{words}: {error}");
        }
        assert!(read("--merge a b --report-only").is_ok());
    }

    #[test]
    fn wrong_flags_are_named() {
        for words in [
            "--seeds 0",
            "--seeds 1001",
            "--lr -1",
            "--lr nan",
            "--batch 0",
            "--images x",
            "--steps 5 --epochs 2",
            "--sedes 3",
        ] {
            let error = read(words).unwrap_err().to_string();
            let flag = words.split_whitespace().next().unwrap();
            assert!(error.contains(flag), "{words}: {error}");
        }
    }
}
