//! Puzzles: kernels that a reader writes, marked against their f64 twins on the reader's device.

use crate::fault::{Fault, Result};
use frostline_puzzles::device::Device;
use frostline_puzzles::{PUZZLES, Puzzle, mark};
use serde::Serialize;
use wasm_bindgen::prelude::*;

/// A device for texts that may be wrong: of its own, so that what such a text does to it costs no run.
#[wasm_bindgen]
pub struct Marker {
    device: Device,
}

/// A puzzle as pages get it.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    about: &'static str,
    entry: &'static str,
    template: &'static str,
    hints: [&'static str; 3],
}

/// What came of a marking: the shapes at which the text is right, or what is wrong with it.
#[derive(Serialize)]
struct Marked {
    right: Vec<String>,
    complaint: Option<String>,
}

#[wasm_bindgen]
impl Marker {
    /// Opens a device.
    pub async fn open() -> Result<Marker> {
        console_error_panic_hook::set_once();
        let device = Device::open().await;
        Ok(Self { device: device.map_err(|trouble| Fault::no_adapter(trouble.to_string()))? })
    }

    /// All puzzles in order: JSON.
    pub fn puzzles() -> Result<String> {
        let listed = |puzzle: &Puzzle| Listed {
            name: puzzle.name,
            about: puzzle.about,
            entry: puzzle.entry,
            template: puzzle.template,
            hints: puzzle.hints,
        };
        Ok(serde_json::to_string(&PUZZLES.iter().map(listed).collect::<Vec<_>>())?)
    }

    /// Marks `text` as the puzzle `name` at the shapes of `seed`: JSON. Lines of compiler messages are those of
    /// `text`.
    pub async fn mark(&self, name: String, text: String, seed: u32) -> Result<String> {
        let puzzle = Puzzle::find(&name).ok_or_else(|| Fault::input(format!("there is no puzzle {name}")))?;
        let marked = match mark(&self.device, puzzle, &text, "line", u64::from(seed)).await {
            Ok(right) => Marked { right, complaint: None },
            Err(complaint) => Marked { right: vec![], complaint: Some(complaint.to_string()) },
        };
        Ok(serde_json::to_string(&marked)?)
    }
}
