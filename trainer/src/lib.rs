//! frostline trainer.
