//! Common code of the golden tests.

use frostline_engine::{Gpu, Graph, Params};
use frostline_loader::safetensors::{self, SafeFile};
use frostline_models::{Model, Recorded};
use frostline_twin::filler::{self, Block};
use std::sync::{Arc, LazyLock};

/// One device for all tests of this binary, so that each kernel is compiled once.
pub static GPU: LazyLock<Arc<Gpu>> =
    LazyLock::new(|| Arc::new(Gpu::new().expect("an adapter (see README: `make setup`)")));

/// A file of the repository.
pub fn file(path: &str) -> String {
    format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))
}

pub fn golden(name: &str) -> SafeFile {
    safetensors::read(file(&format!("tests/golden/{name}.safetensors"))).unwrap()
}

/// A model recorded on `n` square images of `side` pixels.
pub fn recorded(model: &Model, n: usize, side: usize) -> (Graph, Recorded) {
    let mut graph = Graph::new();
    let x = graph.input(n, side, side, model.input_channels());
    let recorded = model.record(&mut graph, x).unwrap();
    (graph, recorded)
}

/// Parameters and statistics of `graph`, all from the filler.
pub fn filled(graph: &Graph, block: Block) -> Params {
    let params = Params::new(&GPU, graph, 0).unwrap();
    for (name, shape) in params.tensors() {
        params.set(name, &filler::parameter(name, &shape.torch(), block)).unwrap();
    }
    params
}

/// The goldens' `input` (n, 3, side, side), ± 2, in the order a session takes images.
pub fn input(n: usize, side: usize) -> Vec<f32> {
    nhwc(&filler::fill("input", n * 3 * side * side, -2.0, 2.0), n, 3)
}

/// (N, C, pixels) to (N, pixels, C).
pub fn nhwc(values: &[f32], n: usize, c: usize) -> Vec<f32> {
    let pixels = values.len() / (n * c);
    let image =
        |i: usize| (0..pixels).flat_map(move |p| (0..c).map(move |ch| values[(i * c + ch) * pixels + p]));
    (0..n).flat_map(image).collect()
}

/// ‖a‖₂.
pub fn norm(a: &[f32]) -> f64 {
    a.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

/// ‖a − b‖₂.
pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
}

/// ‖a − b‖ / ‖b‖, and NaN if there is one.
pub fn relative(a: &[f32], b: &[f32]) -> f64 {
    distance(a, b) / norm(b)
}
