//! frostline shaders.
