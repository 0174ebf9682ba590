//! What several test files use.

use frostline_lesson::{Flags, NoFlags, Outline, Settings};

/// The flags of a chapter that is started without any.
pub fn flags() -> Flags {
    let settings = Settings { images: &[50], seeds: 5, steps: 150, batch: 32, lr: 0.02 };
    let outline = Outline::new(0, "a title", "a claim", [settings, settings]);
    let (flags, NoFlags {}) = outline.read(["ch0"]).unwrap();
    flags
}
