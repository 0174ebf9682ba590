//! The data and weights that come with the repository (see `assets/README.md`).

use crate::error::Result;
use frostline_loader::safetensors::SafeFile;
use frostline_loader::{ImageFolder, ImageSet, OnCorrupt, Preprocessing, safetensors};
use std::path::{Path, PathBuf};

/// Mean of Fashion-MNIST's pixels in 0..=1, which was used in ResNet-10's pretraining.
pub const FASHION_MEAN: f32 = 0.2860;
/// Their standard deviation.
pub const FASHION_STD: f32 = 0.3530;

/// The folder `assets/`.
#[derive(Clone, Debug)]
pub struct Assets {
    folder: PathBuf,
}

impl Default for Assets {
    /// The repository's own.
    fn default() -> Self {
        Self::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets"))
    }
}

impl Assets {
    /// Assets in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The bytes of the weights called `name`, to identify them.
    ///
    /// # Errors
    /// If `<name>.safetensors` is missing.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(format!("{name}.safetensors"));
        std::fs::read(&path).map_err(|error| crate::Error::Output { path, reason: error.to_string() })
    }

    /// An image sheet, such as `fashion_train`.
    ///
    /// # Errors
    /// If `<name>.png` or `<name>.json` is missing or broken.
    pub fn sheet(&self, name: &str) -> Result<ImageSet> {
        let read = |extension: &str| {
            let path = self.folder.join(format!("{name}.{extension}"));
            std::fs::read(&path).map_err(|error| crate::Error::Output { path, reason: error.to_string() })
        };
        Ok(ImageSet::from_sheet(&read("png")?, &read("json")?)?)
    }

    /// The 147 public-domain photos, resized and cropped by `preprocessing`.
    ///
    /// # Errors
    /// If the folder or one of its photos cannot be read.
    pub fn photos(&self, preprocessing: &Preprocessing) -> Result<ImageSet> {
        let mut folder = ImageFolder::open(self.folder.join("photos"), OnCorrupt::Fail)?;
        Ok(folder.load_all(preprocessing)?)
    }

    /// Weights, such as `resnet10_fashion`.
    ///
    /// # Errors
    /// If `<name>.safetensors` is missing or broken.
    pub fn weights(&self, name: &str) -> Result<SafeFile> {
        Ok(safetensors::read(self.folder.join(format!("{name}.safetensors")))?)
    }
}
