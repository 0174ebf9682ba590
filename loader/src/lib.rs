//! frostline loader.
