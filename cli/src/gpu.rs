//! The device of a command: the adapter that `--adapter` or `FROSTLINE_ADAPTER` chooses, else the best.

use crate::Result;
use crate::logging::timed;
use crate::output::warn;
use frostline_engine::{Gpu, GpuOptions};
use std::sync::{Arc, OnceLock};

/// The value of `--adapter`; the same for all that one command line does.
static CHOSEN: OnceLock<Option<String>> = OnceLock::new();

/// Uses `adapter` for every device that is opened later. Only the first call has an effect.
pub fn choose(adapter: Option<String>) {
    CHOSEN.get_or_init(|| adapter);
}

/// The options that the environment and `--adapter` set.
///
/// # Errors
/// The errors of [`GpuOptions::from_env`].
pub fn options() -> Result<GpuOptions> {
    let options = GpuOptions::from_env()?;
    let adapter = CHOSEN.get().cloned().flatten().or(options.adapter);
    Ok(GpuOptions { adapter, ..options })
}

/// Opens the device, and prints its warnings.
///
/// # Errors
/// The errors of [`Gpu::with`].
pub fn open() -> Result<Arc<Gpu>> {
    let options = options()?;
    let gpu = timed("opening the device", || Gpu::with(&options))?;
    log::info!("{}", gpu.describe());
    for warning in gpu.warnings() {
        warn(warning);
    }
    Ok(Arc::new(gpu))
}
