//! All of Fashion-MNIST, if its package is installed; the embedded sheets contain a part of it.

use crate::error::{Error, Result};
use frostline_loader::{ImageSet, idx};
use std::path::Path;

/// Names of the ten classes, in the order of their numbers (Xiao, Rasul and Vollgraf 2017,
/// <https://github.com/zalandoresearch/fashion-mnist>).
pub const FASHION_CLASSES: [&str; 10] =
    ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];
/// The classes that the embedded ResNet-10 was pretrained on.
pub const FASHION_SOURCE: [usize; 6] = [0, 1, 3, 5, 7, 8];
/// The classes that were not used in its pretraining: the task `clothes`.
pub const FASHION_TARGET: [usize; 4] = [2, 4, 6, 9];

/// The folder of the four files in Debian's package.
pub const FASHION_FOLDER: &str = "/usr/share/datasets/fashion-mnist";

/// The images of `classes` in one `part` of Fashion-MNIST: `train` (60,000 images of all classes) or
/// `t10k` (10,000), from the gzipped files in `folder`.
///
/// # Errors
/// [`Error::Flags`], which states where to get the files, if they are missing; [`Error::Loader`] if they are
/// broken.
pub fn fashion(folder: &Path, part: &str, classes: &[usize]) -> Result<ImageSet> {
    let [images, labels] =
        ["images-idx3", "labels-idx1"].map(|kind| folder.join(format!("{part}-{kind}-ubyte.gz")));
    if let Some(missing) = [&images, &labels].into_iter().find(|path| !path.exists()) {
        return Err(Error::Flags(format!(
            "{}: there is no such file. Install Debian's package dataset-fashion-mnist (apt install dataset-fashion-mnist), or unpack \
             it anywhere (apt-get download dataset-fashion-mnist; dpkg -x dataset-fashion-mnist_*.deb DIR) and give \
             --data DIR{FASHION_FOLDER}",
            missing.display()
        )));
    }
    Ok(idx::read(images, labels, &FASHION_CLASSES)?.of_classes(classes)?)
}
