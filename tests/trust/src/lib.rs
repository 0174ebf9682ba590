//! The state of a training run after a kill, a lost device, a full disk or 10,000 steps.
//!
//! Each module does one of these to the small run of [`run`] and fails unless the guarantee holds: there is a
//! complete checkpoint or none, and continuing from it gives the uninterrupted run, bit for bit. The tests
//! have short forms; `cargo run --release -p frostline-trust -- --help` lists the long ones.

pub mod disk;
pub mod faults;
pub mod kill;
pub mod run;
pub mod steady;

/// A violated guarantee, in words.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// `Ok` if `holds`, else the error.
///
/// # Errors
/// The text of `otherwise`.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}
