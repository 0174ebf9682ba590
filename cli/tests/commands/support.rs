//! Running the binary, and a small trained model to run it with.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};

use frostline_engine::Gpu;
use frostline_loader::{ImageFolder, ImageSet, OnCorrupt, image};
use frostline_models::Model;
use frostline_trainer::{FitOptions, Learner};
use serde_json::Value;

/// The output of a run of the binary.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The output of a successful run without warnings.
    #[track_caller]
    pub fn text(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// The same, as JSON: standard output must contain nothing else.
    #[track_caller]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The texts of this kind, where standard error is JSON: every line of it must be.
    #[track_caller]
    pub fn told(&self, kind: &str) -> Vec<String> {
        let lines = self.stderr.lines().map(|line| serde_json::from_str::<Value>(line).expect(&self.stderr));
        lines.filter_map(|line| Some(line[kind].as_str()?.to_owned())).collect()
    }

    /// The error of a run that failed: exit code 1, no panic, and every one of these words.
    #[track_caller]
    pub fn error(self, words: &[&str]) -> String {
        assert_eq!(self.code, Some(1), "{self:#?}");
        if self.stderr.starts_with('{') {
            // With --json.
            let told = self.told("error").join("\n");
            assert!(!told.is_empty() && words.iter().all(|word| told.contains(word)), "{words:?}: {self:#?}");
            return told;
        }
        assert!(self.stderr.starts_with("error: ") || self.stderr.contains("\nerror: "), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {}", self.stderr);
        }
        self.stderr
    }
}

/// The binary with these arguments.
pub fn frostline<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
    frostline_with(arguments, &[])
}

/// The same, with environment variables.
pub fn frostline_with<S: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = S>,
    variables: &[(&str, &str)],
) -> Ran {
    let output = command(arguments, variables).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The binary, not yet started; without the environment settings of the user.
pub fn command<S: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = S>,
    variables: &[(&str, &str)],
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frostline"));
    for name in ["HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE"] {
        command.env_remove(name);
    }
    // The servers of these tests are not reachable through proxies.
    command.env("NO_PROXY", "127.0.0.1").args(arguments).envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// A trained model and the photos it was trained on.
pub struct Trained {
    /// `model.safetensors`, a checkpoint; `photos/<colour>/<n>.png`.
    pub folder: PathBuf,
}

impl Trained {
    pub fn model(&self) -> String {
        self.folder.join("model.safetensors").display().to_string()
    }

    pub fn photos(&self) -> String {
        self.folder.join("photos").display().to_string()
    }
}

pub const CLASSES: [&str; 3] = ["blue", "green", "red"];
/// Photos of each class.
pub const PHOTOS: usize = 6;

/// Made once for all tests: a narrow ResNet-18 that recognises three colours.
pub static TRAINED: LazyLock<Trained> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("frostline-commands");
    let _ = std::fs::remove_dir_all(&folder);
    let photos = folder.join("photos");
    for (class, name) in CLASSES.iter().enumerate() {
        let class_folder = photos.join(name);
        std::fs::create_dir_all(&class_folder).unwrap();
        (0..PHOTOS).for_each(|i| photo(class, i).save(class_folder.join(format!("{i}.png"))).unwrap());
    }
    let mut learner = train(&photos);
    learner.save(folder.join("model.safetensors")).unwrap();
    Trained { folder }
});

/// A photo of this colour, brighter to the right, with some noise.
fn photo(class: usize, i: usize) -> ::image::RgbImage {
    ::image::RgbImage::from_fn(44, 36, |x, y| {
        let noise = (x * 7 + y * 13 + 29 * i as u32) % 40;
        let mut pixel = [(20 + noise) as u8; 3];
        pixel[2 - class] = (120 + 2 * x + noise) as u8;
        ::image::Rgb(pixel)
    })
}

/// A ResNet-18 of width 4 for images of 32 × 32, trained until it recognises all photos.
pub fn train(photos: &Path) -> Learner {
    let gpu = Arc::new(Gpu::new().unwrap());
    let model = Model::new("resnet18").unwrap().width(4).classes(CLASSES.len());
    let mut learner = Learner::new(&gpu, model, 32, 7).unwrap();
    let set = images(photos, &learner);
    let options = FitOptions::steps(100).batch(9).lr(0.02).seed(3);
    learner.fit(&set, &options, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(learner.evaluate(&set).unwrap().accuracy, 1.0);
    learner
}

/// A folder of class folders, prepared for the learner.
pub fn images(photos: &Path, learner: &Learner) -> ImageSet {
    let found = ImageFolder::open(photos, OnCorrupt::Fail).unwrap();
    let input = learner.preprocessing();
    let pixels = |path: &PathBuf| input.pixels(&image::decode(path).unwrap()).unwrap();
    ImageSet {
        height: input.crop,
        width: input.crop,
        channels: input.channels,
        images: found.paths.iter().flat_map(pixels).collect(),
        labels: found.labels.iter().map(|&label| label as u32).collect(),
        classes: found.classes,
    }
}
