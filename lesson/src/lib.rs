//! frostline lesson.
