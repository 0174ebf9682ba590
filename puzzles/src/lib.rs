//! Kernels for a reader to write, and bare dispatches to run them.
//!
//! | what | where |
//! |---|---|
//! | the puzzles: templates, hints, shapes with the twins' results | [`PUZZLES`], [`Puzzle`], [`case`] |
//! | marking a text: it is compiled, run and compared | [`mark()`], [`Complaint`] |
//! | what is wrong with a result, in words | [`verdict`] |
//! | a device without an engine: pipelines from a text, buffers bound by name | [`device`], [`interface`] |
//! | loops that end | [`bounded`] |
//! | the workbench's kernels: buffers, grids, times | [`workbench`] |
//!
//! A new puzzle is a template in `templates/`, a line in `src/list.rs`, its shapes beside the others', and in
//! `tests` a solution and a few mistakes.
//!
//! Nothing here reads files, and what waits is `async`: `examples/puzzle.rs` has the folder and the command
//! line, and a browser can have a text field in their place.
#![deny(unsafe_code)]

pub mod bounded;
pub mod case;
pub mod device;
pub mod interface;
mod list;
mod mark;
pub mod verdict;
pub mod workbench;

pub use list::{PUZZLES, Puzzle, YOUR_LINES};
pub use mark::{Complaint, mark, try_case};
