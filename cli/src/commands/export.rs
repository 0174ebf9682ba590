//! `frostline export`: a trained model for other programs.

use crate::model::{self, Opened};
use crate::output::{path_text, warn};
use crate::photos::{NOT_A_NUMBER, Photos, expand};
use crate::train::folder::RunFolder;
use crate::train::manifest::Part;
use crate::weights::of_run;
use crate::{Error, Output, Result, gpu};
use clap::{Args, ValueEnum};
use frostline_export::{Runner, Trained, onnx, pytorch};
use frostline_loader::{atomic::write_atomically, image};
use frostline_models::state_dict;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The flags.
#[derive(Args, Debug)]
pub struct Export {
    /// A run folder or checkpoint of `frostline train`, a file of weights, or hf:owner/name.
    model: OsString,
    /// Where to write: a file for ONNX, a folder for PyTorch.
    out: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value_t = Format::Onnx)]
    format: Format,
    /// Photos, and folders of photos, to compare the exported graph with; a run's validation photos
    /// by default.
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    photos: Vec<PathBuf>,
    /// Maximum number of photos to compare.
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    check: u16,
    /// Replace an existing file or folder.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One graph from a decoded photo (uint8, height × width × 3) to probabilities.
    Onnx,
    /// Weights under torchvision's or timm's names, and a Python file that predicts with them.
    Pytorch,
}

/// A larger difference of probabilities means that the two models differ.
const LIMIT: f64 = 1e-4;
/// Number of photos to print: those where the two differ most.
const SHOWN: usize = 5;
const CARD: &str = "README.md";
/// A model card has a few kilobytes.
const LARGEST_CARD: u64 = 1 << 20;

impl Export {
    /// Exports, then compares the predictions of the exported graph with those of this program.
    ///
    /// # Errors
    /// [`Error::Exists`]; for a model that cannot be opened or exported; [`Error::Parity`] if the exported
    /// graph's predictions differ.
    pub fn run(&self, output: &Output) -> Result<()> {
        if self.format == Format::Onnx {
            Error::if_no_folder(&self.out)?;
        }
        Error::if_exists(&self.written(), self.force)?;
        let mut opened = model::open(&gpu::open()?, &self.model)?;
        let weights = state_dict::save(opened.learner.params())?;
        let about = about(Path::new(&self.model));
        let trained = Trained {
            model: opened.learner.model(),
            weights: &weights,
            preprocessing: opened.learner.preprocessing(),
            classes: &opened.classes,
            about: &about,
        };
        let model = trained.model.to_string();
        if self.format == Format::Pytorch {
            std::fs::create_dir_all(&self.out)
                .map_err(|source| Error::Write { path: self.out.clone(), source })?;
            pytorch::write_to(&self.out, &trained)?;
            let folder = self.out.display();
            output.say(format_args!("{folder}: {model}: {} and {}", pytorch::WEIGHTS, pytorch::PROGRAM))?;
            output.say(format_args!("try        python3 {folder}/{} PHOTO", pytorch::PROGRAM))?;
            return output.json(&json!({ "folder": path_text(&self.out), "network": model }));
        }
        let (bytes, crop) = (onnx::model(&trained)?, trained.preprocessing.crop);
        write_atomically(&self.out, |file| file.write_all(&bytes))?;
        output.say(format_args!(
            "{}: {model}, {:.1} MB; ONNX opset {}",
            self.out.display(),
            bytes.len() as f64 / 1e6,
            onnx::OPSET
        ))?;
        output.say(format_args!(
            "input      {}: a decoded photo of any size, uint8 (height, width, 3); scaled, cropped to {crop}×{crop} and normalised inside",
            onnx::IMAGE,
        ))?;
        output.say(format_args!("output     {}: ({})", onnx::PROBABILITIES, opened.classes.len()))?;
        let compared = match self.photos()? {
            Some(paths) => Some(compare(&mut opened, &bytes, paths)?),
            None => None,
        }
        .filter(|compared| !compared.pairs.is_empty());
        output.json(&json!({
            "file": path_text(&self.out),
            "network": model,
            "bytes": bytes.len(),
            "opset": onnx::OPSET,
            "check": compared.as_ref().map(Compared::value),
        }))?;
        match compared {
            None => {
                warn("the exported graph was not compared with this program: give photos with --photos");
                Ok(())
            }
            Some(compared) => {
                output.say(compared.text(&opened.classes))?;
                compared.judge(&self.out)
            }
        }
    }

    /// The file that must not exist yet.
    fn written(&self) -> PathBuf {
        match self.format {
            Format::Onnx => self.out.clone(),
            Format::Pytorch => self.out.join(pytorch::WEIGHTS),
        }
    }

    /// The photos to compare on, evenly chosen. `None` if no photos are given and there is no run, or if the
    /// run's photos are missing.
    fn photos(&self) -> Result<Option<Vec<PathBuf>>> {
        let paths = if self.photos.is_empty() {
            match validation(Path::new(&self.model)) {
                Some(Ok(paths)) => paths,
                Some(Err(error)) => {
                    warn(format_args!("the run's validation photos: {error}"));
                    return Ok(None);
                }
                None => return Ok(None),
            }
        } else {
            let (paths, warnings) = expand(&self.photos)?;
            warnings.into_iter().for_each(warn);
            paths
        };
        let (all, wanted) = (paths.len(), usize::from(self.check).min(paths.len()));
        Ok(Some((0..wanted).map(|i| paths[i * all / wanted].clone()).collect()))
    }
}

/// The validation photos of a run; `None` if this is not a run folder.
fn validation(model: &Path) -> Option<Result<Vec<PathBuf>>> {
    of_run(model)?;
    let paths = || {
        let (folder, run) = RunFolder::open(model)?;
        let photos = folder.manifest()?.photos.into_iter();
        let validation = photos.filter(|photo| photo.part == Part::Validation);
        Ok(validation.map(|photo| run.recipe.dir.join(photo.path)).collect())
    };
    Some(paths())
}

/// The model card of a run, and the origin of the model.
fn about(model: &Path) -> BTreeMap<String, String> {
    let mut about = BTreeMap::new();
    let card = model.join(CARD);
    if of_run(model).is_some() && card.metadata().is_ok_and(|card| card.len() <= LARGEST_CARD) {
        about.extend(std::fs::read_to_string(card).ok().map(|text| ("model_card".to_owned(), text)));
    }
    about
}

/// The two predictions for one photo.
struct Pair {
    path: PathBuf,
    here: Vec<f64>,
    exported: Vec<f64>,
}

impl Pair {
    fn difference(&self) -> f64 {
        // NaN counts as a difference: `max` would ignore it.
        let differences = self.here.iter().zip(&self.exported).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, |worst, d| if d.is_nan() || d > worst { d } else { worst })
    }

    fn agrees(&self) -> bool {
        largest(&self.here) == largest(&self.exported)
    }
}

/// Both predictions for every photo that can be read.
struct Compared {
    pairs: Vec<Pair>,
}

fn compare(opened: &mut Opened, bytes: &[u8], paths: Vec<PathBuf>) -> Result<Compared> {
    let photos = Photos::unlabelled(paths, opened.learner.preprocessing().clone(), 1);
    let here = opened.learner.predict(&photos)?;
    let mut runner = Runner::new(bytes)?;
    let mut pairs = vec![];
    for i in photos.readable() {
        let path = photos.paths()[i].clone();
        let exported = runner.probabilities(&image::decode(&path)?)?.into_iter().map(f64::from).collect();
        pairs.push(Pair { path, here: here[i].probabilities.clone(), exported });
    }
    for error in photos.unreadable().values() {
        warn(format_args!("not compared: {error}"));
    }
    // The largest difference first; NaN counts as the largest.
    pairs.sort_by(|a, b| b.difference().total_cmp(&a.difference()));
    Ok(Compared { pairs })
}

impl Compared {
    fn agreeing(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.agrees()).count()
    }

    fn worst(&self) -> f64 {
        self.pairs.first().map_or(0.0, Pair::difference)
    }

    fn text(&self, classes: &[String]) -> String {
        let best = |probabilities: &[f64]| match largest(probabilities) {
            Some(class) => format!("{} {:.4}%", classes[class], 100.0 * probabilities[class]),
            None => NOT_A_NUMBER.to_owned(),
        };
        let (photos, agreeing) = (self.pairs.len(), self.agreeing());
        let mut text = format!("\n{:>24}  {:>24}  difference  photo\n", "this program", "the exported graph");
        for pair in self.pairs.iter().take(SHOWN) {
            text += &format!(
                "{:>24}  {:>24}  {:>10.1e}  {}\n",
                best(&pair.here),
                best(&pair.exported),
                pair.difference(),
                pair.path.display()
            );
        }
        text += &format!(
            "parity     {agreeing} of {photos} photos have the same class ({:.1}%); probabilities differ by {:.1e} at most (run by tract)",
            100.0 * agreeing as f64 / photos.max(1) as f64,
            self.worst()
        );
        text
    }

    fn value(&self) -> Value {
        json!({
            "photos": self.pairs.len(),
            "same_class": self.agreeing(),
            "worst_difference": self.worst(),
            "worst_photo": self.pairs.first().map(|pair| path_text(&pair.path)),
        })
    }

    fn judge(&self, path: &Path) -> Result<()> {
        let (photos, worst) = (self.pairs.len(), self.worst());
        let others = photos - self.agreeing();
        // Classes whose probabilities differ only by rounding may be in either order.
        if worst <= LIMIT {
            return Ok(());
        }
        Err(Error::Parity { path: path.to_owned(), worst, limit: LIMIT, others, photos })
    }
}

/// The most probable class; `None` if a probability is not a number.
fn largest(probabilities: &[f64]) -> Option<usize> {
    if probabilities.iter().any(|p| p.is_nan()) {
        return None;
    }
    (0..probabilities.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))
}
