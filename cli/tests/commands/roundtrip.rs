//! A trained network is exported, and gives the same results in PyTorch.
//!
//! `tests/golden/roundtrip.py` loads what `convert` wrote by `load_state_dict(strict=True)`; its
//! logits are the golden, so that these tests need no Python.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use frostline_engine::{Gpu, Graph, Params, Plan, Session};
use frostline_loader::safetensors::{self, SafeFile};
use frostline_models::{LoadOptions, guess, state_dict};
use frostline_twin::filler;
use tempfile::tempdir;

use crate::support::{TRAINED, frostline};

/// ‖error‖ / ‖value‖: as for all logits of the goldens. PyTorch's own f32 has 1e-7 here.
const TOLERANCE: f64 = 1e-5;
const SHAPE: [usize; 4] = [2, 3, 64, 64];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

fn shapes(file: &SafeFile) -> BTreeMap<&str, &[usize]> {
    file.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())).collect()
}

#[test]
fn a_trained_network_has_pytorchs_logits() {
    let weights = safetensors::read(golden("roundtrip_weights.safetensors")).unwrap();
    let expected = safetensors::read(golden("roundtrip.safetensors")).unwrap();
    let gpu = Arc::new(Gpu::new().unwrap());
    let model = guess(&weights.tensors).unwrap();
    let [n, c, h, w] = SHAPE;
    let mut graph = Graph::new();
    let x = graph.input(n, h, w, c);
    let output = model.record(&mut graph, x).unwrap().output();
    let params = Params::new(&gpu, &graph, 0).unwrap();
    state_dict::load(&params, &weights.tensors, &LoadOptions::strict()).unwrap();
    let mut session =
        Session::new(&gpu, Plan::inference(&graph, output, gpu.tuning()).unwrap(), &params, None).unwrap();
    session.write_input(&interleaved(&filler::fill("input", n * c * h * w, -2.0, 2.0))).unwrap();
    session.run().unwrap();
    let (logits, exact) = (session.read_output().unwrap(), &expected.tensors["logits"].data);
    assert_eq!(logits.len(), exact.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let error = norm(&mut logits.iter().zip(exact).map(|(a, b)| f64::from(a - b)))
        / norm(&mut exact.iter().map(|&value| f64::from(value)));
    println!("off by {error:.1e} of the norm");
    assert!(error < TOLERANCE, "off by {error:e} of the norm: {logits:?} {exact:?}");
}

/// (N, C, H, W) in the order of decoders: (N, H, W, C).
fn interleaved(x: &[f32]) -> Vec<f32> {
    let [n, channels, h, w] = SHAPE;
    let places = (0..n).flat_map(|n| (0..h * w).map(move |pixel| (n, pixel)));
    places.flat_map(|(n, pixel)| (0..channels).map(move |c| x[(n * channels + c) * h * w + pixel])).collect()
}

/// The names that `load_state_dict(strict=True)` accepted, and the bits of the trained weights.
#[test]
fn convert_writes_names_that_torchvision_takes_and_the_trained_bits() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("weights.safetensors");
    frostline(["convert", &TRAINED.model(), out.to_str().unwrap(), "--to", "torchvision"]).text();
    let (written, accepted) = (
        safetensors::read(&out).unwrap(),
        safetensors::read(golden("roundtrip_weights.safetensors")).unwrap(),
    );
    assert_eq!(shapes(&written), shapes(&accepted));
    assert_eq!(written.dtypes, accepted.dtypes);
    let checkpoint = safetensors::read(TRAINED.model()).unwrap();
    for (name, tensor) in &written.tensors {
        assert_eq!(tensor, &checkpoint.tensors[name], "{name}");
    }
}

/// Writes the inputs of the golden; then `python3 tests/golden/make.py roundtrip`.
#[test]
#[ignore = "writes a file of the repository"]
fn make_the_weights() {
    let out = golden("roundtrip_weights.safetensors").display().to_string();
    frostline(["convert", &TRAINED.model(), &out, "--to", "torchvision", "--force"]).text();
}
