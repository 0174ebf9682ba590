//! The frostline engine: a graph is recorded, planned once into a flat list of dispatches, and run.
//!
//! ```no_run
//! use frostline_engine::{Freeze, Gpu, Graph, Optim, Optimizer, Params, Plan, Session};
//! # fn main() -> Result<(), frostline_engine::Error> {
//! let mut graph = Graph::new();
//! let x = graph.input(8, 1, 1, 32);
//! let labels = graph.labels(8);
//! let logits = graph.linear(x, "fc", 10)?;
//! let loss = graph.cross_entropy(logits, labels, 0.0)?;
//!
//! let gpu = std::sync::Arc::new(Gpu::new()?);
//! let plan = Plan::training(&graph, loss, &Freeze::none(), &Optim::sgd(0.1), gpu.tuning())?;
//! println!("{plan}");
//! let params = Params::new(&gpu, &graph, 0)?;
//! let mut optimizer = Optimizer::new(&gpu, &plan)?;
//! let mut session = Session::new(&gpu, plan, &params, Some(&optimizer))?;
//! session.write_input(&[0.5; 8 * 32])?;
//! session.write_labels(&[0, 1, 2, 3, 4, 5, 6, 7])?;
//! session.begin_step(&mut optimizer, 0.1)?;
//! session.run()?;
//! println!("loss {}", session.read_summary()?.loss);
//! # Ok(())
//! # }
//! ```

pub mod adapters;
#[cfg(target_os = "linux")]
mod aliased;
#[cfg(not(target_os = "linux"))]
#[path = "not_aliased.rs"]
mod aliased;
pub mod blocking;
pub mod cache;
pub mod error;
#[doc(hidden)]
pub mod faults;
pub mod fold;
pub mod freeze;
pub mod gpu;
pub mod graph;
mod guard;
mod in_flight;
pub mod kernel;
pub mod layers;
pub mod layout;
pub mod ledger;
pub mod loss_scale;
pub mod memory;
mod missing;
pub mod ops;
pub mod optim;
pub mod optimizer;
pub mod options;
mod pace;
pub mod params;
mod pipeline_cache;
mod pipelines;
pub mod plan;
pub mod record;
mod reports;
pub mod roofline;
mod scopes;
pub mod session;
pub mod shape;
pub mod storage;
mod store;
pub mod tuning;

pub use adapters::{Adapter, AdapterReport, adapters};
pub use cache::CacheFile;
pub use error::{Error, Result};
pub use freeze::{BatchNormMode, Freeze};
pub use gpu::Gpu;
pub use graph::{Graph, TensorId};
pub use ledger::{Cost, Ledger};
pub use loss_scale::{LossScale, LossScaleState};
pub use ops::Padding;
pub use optim::{Group, Optim, Rule};
pub use optimizer::Optimizer;
pub use options::{GpuOptions, Kernels};
pub use params::Params;
pub use pipelines::Compiled;
pub use plan::Plan;
pub use session::{Session, Summary};
pub use shape::Shape;
pub use storage::Storage;
pub use tuning::Tuning;
