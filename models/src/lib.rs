//! Networks by name, and weights under the names of several libraries.
//!
//! A [`Model`] is a description: it records itself into an engine graph, completely or from any stage on, and
//! it owns no weights. The weights are in the engine's `Params`, under torchvision's names
//! (`layer1.0.conv1.weight`). [`state_dict`] copies them to and from files, which may use other names and
//! prefixes.
//!
//! ```no_run
//! use frostline_engine::{Gpu, Graph, Params, Plan, Session};
//! use frostline_models::{LoadOptions, Model, state_dict};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::new("resnet18")?.classes(10);
//! let mut graph = Graph::new();
//! let size = model.default_size();
//! let x = graph.input(1, size, size, 3);
//! let recorded = model.record(&mut graph, x)?;
//!
//! let gpu = std::sync::Arc::new(Gpu::new()?);
//! let params = Params::new(&gpu, &graph, 0)?;
//! let file = frostline_loader::safetensors::read("resnet18.safetensors")?;
//! // 1,000 classes in the file, 10 in the model: everything but the head is taken over.
//! let report = state_dict::load(&params, &file.tensors, &LoadOptions::skip_head())?;
//! println!("{report}");
//!
//! let plan = Plan::inference(&graph, recorded.output(), gpu.tuning())?;
//! let mut session = Session::new(&gpu, plan, &params, None)?;
//! session.write_input(&vec![0.0; size * size * 3])?;
//! session.run()?;
//! println!("{:?}", session.read_output()?);
//! # Ok(())
//! # }
//! ```
//!
//! # Stages and groups
//!
//! A *group* is the first part of parameter names, what the engine's `Freeze` and optimiser groups
//! take: `conv1`, `bn1`, `layer1` … `fc` ([`Model::groups`]). A *stage* is a part that is frozen or unfrozen
//! as a unit and has one output: `stem`, `layer1` … `fc` ([`Model::stages`]). All stages but the first and
//! EfficientNet's are one group of the same name; [`Model::members`] is the mapping:
//!
//! | stage | ResNet's groups | EfficientNet-Lite0's groups |
//! |---|---|---|
//! | `stem` | `conv1`, `bn1` | `_conv_stem`, `_bn0` |
//! | `layer1` … / `blocks.0` … | the same | `_blocks.0` … |
//! | `head` | | `_conv_head`, `_bn1` |
//! | `fc` | `fc` | `_fc` |
//!
//! Between the last stage of the body and `fc` is [`POOLED`], the mean over the image, which has no
//! parameters.
//!
//! # Caching a frozen prefix
//!
//! [`Model::record_from`] records only the part after a stage, with that stage's output as its input. Its
//! plans run over the *same* `Params` as those of the whole graph, so a frozen prefix is computed once per
//! image and the rest trains on its output.

mod architecture;
mod convert;
mod dialect;
mod diff;
mod efficientnet;
mod error;
mod foreign;
mod model;
mod resnet;
pub mod state_dict;
mod wrapped;

pub use architecture::{guess, looks_like};
pub use convert::convert;
pub use dialect::Dialect;
pub use diff::{Diff, WrongShape};
pub use error::{Error, Result};
pub use model::{Model, NAMES, POOLED, Recorded};
pub use state_dict::{LoadOptions, Report};
pub use wrapped::plain_names;
