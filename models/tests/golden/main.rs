//! Whole networks against what PyTorch computes in f64 (`tests/golden/README.md`).

mod fashion;
mod inference;
mod support;
mod training;
