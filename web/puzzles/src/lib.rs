//! Puzzles in a browser tab: kernels that a reader writes, marked against their f64 twins on the reader's
//! device.
//!
//! A separate module, not a part of `frostline-web`: it needs naga to read a reader's texts, and the engine
//! does without naga in a browser. `web/site/puzzles-worker.js` loads it when a reader opens the page.

use frostline_puzzles::device::Device;
use frostline_puzzles::{PUZZLES, Puzzle, mark};
use serde::Serialize;
use wasm_bindgen::prelude::*;

/// A device for texts that may be wrong: separate from that of runs, so that such a text ends none of them.
#[wasm_bindgen]
#[derive(Debug)]
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

fn error(message: &dyn std::fmt::Display) -> JsValue {
    js_sys::Error::new(&message.to_string()).into()
}

#[wasm_bindgen]
impl Marker {
    /// Opens a device.
    ///
    /// # Errors
    /// If the browser gives none.
    pub async fn open() -> Result<Marker, JsValue> {
        console_error_panic_hook::set_once();
        Ok(Self { device: Device::open().await.map_err(|trouble| error(&trouble))? })
    }

    /// All puzzles in order: JSON.
    ///
    /// # Errors
    /// None: the list is a part of the module.
    pub fn puzzles() -> Result<String, JsValue> {
        let listed = |puzzle: &Puzzle| Listed {
            name: puzzle.name,
            about: puzzle.about,
            entry: puzzle.entry,
            template: puzzle.template,
            hints: puzzle.hints,
        };
        json(&PUZZLES.iter().map(listed).collect::<Vec<_>>())
    }

    /// Marks `text` as the puzzle `name` at the shapes of `seed`: JSON. Lines of compiler messages are those
    /// of `text`.
    ///
    /// # Errors
    /// If there is no such puzzle.
    pub async fn mark(&self, name: String, text: String, seed: u32) -> Result<String, JsValue> {
        let puzzle = Puzzle::find(&name).ok_or_else(|| error(&format_args!("there is no puzzle {name}")))?;
        json(&match mark(&self.device, puzzle, &text, "line", u64::from(seed)).await {
            Ok(right) => Marked { right, complaint: None },
            Err(complaint) => Marked { right: vec![], complaint: Some(complaint.to_string()) },
        })
    }
}

fn json(value: &impl Serialize) -> Result<String, JsValue> {
    serde_json::to_string(value).map_err(|wrong| error(&wrong))
}
