//! frostline engine.
