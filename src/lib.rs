//! frostline re-exports.
