//! Figures, tables and progress bars. Nothing here depends on the engine.
//!
//! | what | where |
//! |---|---|
//! | panels of curves with intervals | [`figure`] |
//! | horizontal bars in groups | [`bars`] |
//! | a table as colours | [`heatmap`] |
//! | claims with their intervals and verdicts | [`forest`] |
//! | points by class | [`scatter`] |
//! | pictures in rows | [`grid`] |
//! | which class was predicted as which | [`confusion`] |
//! | the kernels of a step over time | [`timeline`] |
//! | a range test of the learning rate, as a panel | [`range_test()`] |
//! | tables, and mean ± deviation | [`Table`], [`Cell`], [`Spread`] |
//! | progress on the terminal | [`bar`], [`runs_bar`] |
//!
//! Each `draw` writes two files, an SVG and a PNG of twice its size ([`Files`]). The PNG is drawn from the
//! SVG with the font in `fonts/`, so that both show the same, and equal figures are equal files on every
//! machine.

mod axes;
pub mod bars;
mod canvas;
mod color;
pub mod confusion;
mod error;
pub mod figure;
mod font;
pub mod forest;
pub mod grid;
pub mod heatmap;
mod legend;
mod output;
mod progress;
mod range_test;
pub mod scatter;
mod spread;
mod table;
pub mod timeline;

pub use error::{Error, Result};
pub use output::Files;
pub use progress::{bar, runs_bar};
pub use range_test::{RangeStep, range_test};
pub use spread::Spread;
pub use table::{Cell, Row, Table};
