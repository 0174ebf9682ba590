//! Tests the readers with damaged files.
//!
//! ```sh
//! cargo run --release -p frostline-fuzz -- safetensors --cases 1000000 --seed 0
//! ```
//!
//! A case is a valid file of the [`corpus`], damaged as determined by its number ([`mutate`]) and read like a
//! user's file ([`target`]). The reader may accept or refuse it. It must not panic, take longer than
//! [`run::Limits::seconds`], allocate more than twice the file and [`run::Limits::allocation`], or accept
//! contradictory contents.
//!
//! The same seed and number give the same bytes on every machine: `--first 4711 --cases 1` is case
//! 4711 again. The search is not guided by coverage, which would need a nightly compiler. Instead the
//! mutations are specific to the formats (lengths and checksums are corrected), so that files pass the first
//! check.

pub mod corpus;
pub mod memory;
pub mod mutate;
pub mod run;
pub mod target;
mod watchdog;
