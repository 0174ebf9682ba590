//! Images of bytes: normalised on the device with the host's bits.

mod common;

use common::{GPU, tunings};
use frostline_engine::ops::{Augment, Interpolation, Jitter, Transform, Window};
use frostline_engine::{Error, Graph, Params, Plan, Session, Storage, TensorId, Tuning};

const MEAN: [f32; 4] = [0.485, 0.456, 0.406, 0.0];
const STD: [f32; 4] = [0.229, 0.224, 0.225, 1.0];

fn session(graph: &Graph, y: TensorId, tuning: &Tuning) -> Session {
    let plan = Plan::inference(graph, y, tuning).unwrap();
    Session::new(&GPU, plan, &Params::new(&GPU, graph, 0).unwrap(), None).unwrap()
}

/// `count` bytes, every value among them if there are as many.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 151 + i / 256) as u8).collect()
}

/// The values in PyTorch's order, as torchvision computes them.
fn expected(bytes: &[u8], [n, h, w, c]: [usize; 4]) -> Vec<f32> {
    let value = |n: usize, channel: usize, pixel: usize| {
        let byte = bytes[(n * h * w + pixel) * c + channel];
        (f32::from(byte) / 255.0 - MEAN[channel]) / STD[channel]
    };
    let planes = (0..n).flat_map(|n| (0..c).map(move |channel| (n, channel)));
    planes.flat_map(|(n, channel)| (0..h * w).map(move |pixel| value(n, channel, pixel))).collect()
}

/// The kernel's output in PyTorch's order. The pool was filled with NaN before.
fn run(bytes: &[u8], [n, h, w, c]: [usize; 4], tuning: &Tuning) -> Vec<f32> {
    let mut graph = Graph::new();
    let pixels = graph.pixels(n, h, w, c);
    let y = graph.normalize(pixels, &MEAN[..c], &STD[..c]).unwrap();
    // Out through a pooling that changes no bit: inside a network the output is in the pool.
    let y = graph.max_pool2d(y, "out of the pool", 1, 1, 0).unwrap();
    let mut session = session(&graph, y, tuning);
    session.write_pixels(bytes).unwrap();
    session.poison();
    session.run().unwrap();
    session.read_output().unwrap()
}

/// Also images whose bytes do not fill whole words; the last have more workgroups than a row of the grid.
const SHAPES: [[usize; 4]; 7] = [
    [1, 1, 1, 1],
    [1, 1, 1, 3],
    [2, 5, 7, 1],
    [3, 5, 9, 3],
    [1, 16, 16, 2],
    [2, 13, 11, 4],
    [3, 900, 901, 1],
];

#[test]
fn every_byte_becomes_torchvisions_value_to_the_bit() {
    for tuning in tunings() {
        for shape in SHAPES {
            let bytes = bytes(shape.iter().product());
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let same = bits(run(&bytes, shape, &tuning)) == bits(expected(&bytes, shape));
            assert!(same, "{shape:?}, {tuning:?}");
        }
    }
}

/// The padding of channels is zero: a linear layer reads it, and the pool was full of NaN.
#[test]
fn padding_is_zero() {
    for tuning in tunings() {
        for c in [1, 3] {
            let mut graph = Graph::new();
            let pixels = graph.pixels(5, 1, 1, c);
            let y = graph.normalize(pixels, &MEAN[..c], &STD[..c]).unwrap();
            let y = graph.linear(y, "fc", 3).unwrap();
            let mut session = session(&graph, y, &tuning);
            session.write_pixels(&bytes(5 * c)).unwrap();
            session.poison();
            session.run().unwrap();
            assert!(
                session.read_output().unwrap().iter().all(|value| value.is_finite()),
                "{c} channels, {tuning:?}"
            );
        }
    }
}

#[test]
fn f16_storage_rounds_the_values() {
    if !GPU.has_f16() {
        return;
    }
    let shape = [3, 5, 9, 3];
    let bytes = bytes(shape.iter().product());
    for tuning in tunings() {
        let values = run(&bytes, shape, &tuning.with_storage(Storage::f16()));
        for (value, exact) in values.iter().zip(expected(&bytes, shape)) {
            // One unit of f16's 11 significant bits: WGSL does not specify the direction of rounding.
            assert!((value - exact).abs() <= exact.abs() / 1024.0, "{value} instead of {exact}, {tuning:?}");
        }
    }
}

/// The input of augmentation is f32 with any storage: the same bits as from floats.
#[test]
fn augmentation_takes_bytes_for_floats() {
    let [n, h, w, c] = [2, 9, 8, 3];
    let changed = Transform {
        window: Window { top: 1, left: 0, height: 7, width: 8 },
        flip_horizontal: true,
        angle: 10.0,
        jitter: vec![Jitter::Contrast(0.8), Jitter::Hue(0.1)],
        ..Transform::identity(h, w)
    };
    let transforms = [changed, Transform::identity(h, w)];
    let bytes = bytes(n * h * w * c);
    let (mean, std) = (MEAN[..c].to_vec(), STD[..c].to_vec());
    let augment = Augment { size: [h, w], mean, std, interpolation: Interpolation::Bilinear, fill: 0.5 };
    let storages = [Storage::F32, Storage::f16()]
        .into_iter()
        .filter(|storage| *storage == Storage::F32 || GPU.has_f16());
    for storage in storages {
        for tuning in tunings().iter().map(|tuning| tuning.with_storage(storage)) {
            let outputs = [true, false].map(|as_bytes| {
                let mut graph = Graph::new();
                let x = match as_bytes {
                    true => {
                        let pixels = graph.pixels(n, h, w, c);
                        graph.normalize(pixels, &[0.0; 3], &[1.0; 3]).unwrap()
                    }
                    false => graph.input(n, h, w, c),
                };
                let y = graph.augment(x, augment.clone()).unwrap();
                let y = graph.max_pool2d(y, "out of the pool", 1, 1, 0).unwrap();
                let mut session = session(&graph, y, &tuning);
                match as_bytes {
                    true => session.write_pixels(&bytes).unwrap(),
                    false => session
                        .write_input(&bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect::<Vec<_>>())
                        .unwrap(),
                }
                session.write_transforms(&transforms).unwrap();
                session.run().unwrap();
                session.read_output().unwrap()
            });
            assert!(outputs[0] == outputs[1], "{tuning:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut graph = Graph::new();
    let (pixels, floats) = (graph.pixels(2, 6, 8, 3), graph.input(2, 6, 8, 3));
    let mut refused = |x, mean: &[f32], std: &[f32]| graph.normalize(x, mean, std).unwrap_err().to_string();
    assert!(refused(floats, &MEAN[..3], &STD[..3]).contains("expects images of bytes"));
    assert!(refused(pixels, &MEAN[..1], &STD[..3]).contains("3 channels need as many"));
    assert!(refused(pixels, &MEAN[..3], &[1.0, 0.0, 1.0]).contains("positive deviations"));
    assert!(refused(pixels, &[0.0, f32::NAN, 0.0], &STD[..3]).contains("finite means"));
    let five = graph.pixels(2, 6, 8, 5);
    assert!(graph.normalize(five, &[0.0; 5], &[1.0; 5]).unwrap_err().to_string().contains("1 to 4 channels"));
    let relu = graph.relu(pixels, "relu").unwrap_err().to_string();
    assert!(relu.contains("relu") && relu.contains("(2, 3, 6, 8) bytes"), "{relu}");

    let mut graph = Graph::new();
    let pixels = graph.pixels(2, 6, 8, 3);
    let y = graph.normalize(pixels, &MEAN[..3], &STD[..3]).unwrap();
    let of_bytes = session(&graph, y, GPU.tuning());
    let says = |result: Result<(), Error>, words: &str| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Data { .. }) && error.to_string().contains(words), "{error}");
    };
    says(of_bytes.write_pixels(&[0; 7]), "7 bytes");
    says(of_bytes.write_input(&[0.5; 2 * 6 * 8 * 3]), "write_pixels");
    let gradient = Plan::input_gradient(&graph, y, GPU.tuning()).unwrap_err().to_string();
    assert!(gradient.contains("normalize"), "{gradient}");

    let mut graph = Graph::new();
    let x = graph.input(2, 6, 8, 3);
    let y = graph.global_avg_pool(x, "pool").unwrap();
    says(session(&graph, y, GPU.tuning()).write_pixels(&[0; 2 * 6 * 8 * 3]), "write_input");
}
