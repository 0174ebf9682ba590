//! The device of a command: the adapter that `--adapter` or `FROSTLINE_ADAPTER` chooses, else the best.

use crate::Result;
use crate::logging::timed;
use crate::output::warn;
use frostline_engine::{Gpu, GpuOptions};
use std::sync::{Arc, OnceLock};

/// What `--adapter` said; the same for all that one command line does.
static CHOSEN: OnceLock<Option<String>> = OnceLock::new();

/// Takes `adapter` for every device from now on. The first call counts.
pub fn choose(adapter: Option<String>) {
    CHOSEN.get_or_init(|| adapter);
}

/// What the environment and `--adapter` ask for.
///
/// # Errors
/// What [`GpuOptions::from_env`] says.
pub fn options() -> Result<GpuOptions> {
    let options = GpuOptions::from_env()?;
    let adapter = CHOSEN.get().cloned().flatten().or(options.adapter);
    Ok(GpuOptions { adapter, ..options })
}

/// Opens the device, and prints its warnings.
///
/// # Errors
/// What [`Gpu::with`] says.
pub fn open() -> Result<Arc<Gpu>> {
    let options = options()?;
    let gpu = timed("opening the device", || Gpu::with(&options))?;
    log::info!("{}", gpu.describe());
    for warning in gpu.warnings() {
        warn(warning);
    }
    Ok(Arc::new(gpu))
}
