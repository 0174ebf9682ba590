//! frostline models.
