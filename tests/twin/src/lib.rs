//! f64 twins.
