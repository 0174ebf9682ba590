//! The embedded weights, so that commands work without a network connection.

use crate::Result;
use frostline_loader::safetensors::{self, SafeFile};
use std::path::Path;

/// Weights that are part of the program; `assets/README.md` has their sources.
pub struct Embedded {
    /// Their name in `--weights`.
    pub name: &'static str,
    /// Name of their network.
    pub model: &'static str,
    /// A description for people.
    pub title: &'static str,
    bytes: &'static [u8],
}

/// All embedded weights, the default first.
pub static EMBEDDED: [Embedded; 2] = [
    Embedded {
        name: "embedded",
        model: "efficientnet_lite0",
        title: "EfficientNet-Lite0, ImageNet, embedded",
        bytes: include_bytes!("../../assets/efficientnet_lite0.safetensors"),
    },
    Embedded {
        name: "embedded-resnet10",
        model: "resnet10_photo",
        title: "ResNet-10 for photos of 96 pixels, distilled from EfficientNet-Lite0, embedded",
        bytes: include_bytes!("../../assets/resnet10_photos.safetensors"),
    },
];

impl Embedded {
    /// The embedded weights that `--weights` calls `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        EMBEDDED.iter().find(|embedded| embedded.name == name)
    }

    /// Their tensors and metadata.
    ///
    /// # Errors
    /// None if the program was built from complete files.
    pub fn read(&self) -> Result<SafeFile> {
        Ok(safetensors::parse(self.bytes, Path::new(self.name))?)
    }
}
