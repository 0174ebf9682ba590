//! frostline: a tensor engine on wgpu with hand-written WGSL kernels, in which a frozen layer dispatches no
//! gradient kernel and stores no activations for the backward pass.
//!
//! The crates are listed in the order of the data flow; none imports a crate to its right: [`loader`] →
//! [`shaders`], [`engine`] → [`models`] → [`trainer`] → [`bench`](mod@bench) → [`lesson`]. [`charts`] draws
//! what they measured, and depends on none of them.

pub use frostline_bench as bench;
pub use frostline_charts as charts;
pub use frostline_engine as engine;
pub use frostline_lesson as lesson;
pub use frostline_loader as loader;
pub use frostline_models as models;
pub use frostline_shaders as shaders;
pub use frostline_trainer as trainer;
