//! Whole networks, compared with PyTorch in f64 (`tests/golden/README.md`).

mod fashion;
mod inference;
mod support;
mod training;
