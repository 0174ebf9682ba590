//! The errors of timing.

/// An error of a measurement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device refused.
    #[error(transparent)]
    Engine(#[from] frostline_engine::Error),
    /// A model could not be built.
    #[error(transparent)]
    Models(#[from] frostline_models::Error),
    /// A batch could not be sent to the device.
    #[error(transparent)]
    Trainer(#[from] frostline_trainer::Error),
}

/// The result of a measurement.
pub type Result<T, E = Error> = std::result::Result<T, E>;
