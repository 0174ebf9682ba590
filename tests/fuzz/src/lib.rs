//! Damaged files against the readers.
//!
//! ```sh
//! cargo run --release -p frostline-fuzz -- safetensors --cases 1000000 --seed 0
//! ```
//!
//! A case is a sound file of the [`corpus`], damaged as its number says ([`mutate`]) and read as a
//! person's file would be ([`target`]). The reader may accept or refuse it. It may not panic, take
//! longer than [`run::Limits::seconds`], allocate more than twice the file and
//! [`run::Limits::allocation`], or accept what contradicts itself.
//!
//! The same seed and number give the same bytes on every machine: `--first 4711 --cases 1` is case
//! 4711 again. No coverage guides the search, which would need a nightly compiler; instead the
//! mutations know the formats well enough (lengths and checksums are mended) to get behind the first
//! check.

pub mod corpus;
pub mod memory;
pub mod mutate;
pub mod run;
pub mod target;
mod watchdog;
