//! augment against its twin and against torchvision.

mod common;

use common::{GPU, tunings};
use frostline_engine::ops::{Augment, Interpolation, Jitter, Transform, Window};
use frostline_engine::{Error, Graph, Optim, Params, Plan, Session, Shape, Storage, Tuning};
use frostline_loader::safetensors;
use frostline_twin::{Array, Value, augment as twin, cases, compare, filler};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use serde_json::Value as Json;

/// The kernel's output in PyTorch's order, from x (N, C, H, W). The pool was filled with NaN before.
fn run(x: &Array, transforms: &[Transform], augment: &Augment, tuning: &Tuning) -> Vec<f32> {
    let [n, c, h, w] = x.dims();
    let mut graph = Graph::new();
    let input = graph.input(n, h, w, c);
    let y = graph.augment(input, augment.clone()).unwrap();
    // Out through a pooling that changes no bit: inside a network the output is in the pool.
    let y = graph.max_pool2d(y, "out of the pool", 1, 1, 0).unwrap();
    let plan = Plan::inference(&graph, y, tuning).unwrap();
    let dispatches = plan.dispatches().iter().filter(|dispatch| dispatch.layer == "augment").count();
    assert_eq!(dispatches, 2, "the greys, and all the rest in one");
    let mut session = Session::new(&GPU, plan, &Params::new(&GPU, &graph, 0).unwrap(), None).unwrap();
    session.write_input(&interleaved(x)).unwrap();
    session.write_transforms(transforms).unwrap();
    session.poison();
    common::run(&mut session);
    session.read_output().unwrap()
}

/// (N, C, H, W) in the order of decoders: (N, H, W, C).
fn interleaved(x: &Array) -> Vec<f32> {
    let [n, c, h, w] = x.dims();
    let places = (0..n).flat_map(|n| (0..h).flat_map(move |i| (0..w).map(move |j| (n, i, j))));
    places.flat_map(|(n, i, j)| (0..c).map(move |c| x[[n, c, i, j]] as f32)).collect()
}

fn expected(x: &Array, transforms: &[Transform], augment: &Augment) -> Value {
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
    let settings = twin::Settings {
        size: augment.size,
        bilinear: augment.interpolation == Interpolation::Bilinear,
        fill: f64::from(augment.fill),
        mean: wide(&augment.mean),
        std: wide(&augment.std),
    };
    let jitter = |jitter: &Jitter| match *jitter {
        Jitter::Brightness(factor) => twin::Jitter::Brightness(f64::from(factor)),
        Jitter::Contrast(factor) => twin::Jitter::Contrast(f64::from(factor)),
        Jitter::Saturation(factor) => twin::Jitter::Saturation(f64::from(factor)),
        Jitter::Hue(turns) => twin::Jitter::Hue(f64::from(turns)),
    };
    let transform = |t: &Transform| twin::Transform {
        window: [t.window.top, t.window.left, t.window.height, t.window.width],
        flip_horizontal: t.flip_horizontal,
        flip_vertical: t.flip_vertical,
        angle: f64::from(t.angle),
        shift: t.shift.map(f64::from),
        jitter: t.jitter.iter().map(jitter).collect(),
    };
    twin::forward(x, &transforms.iter().map(transform).collect::<Vec<_>>(), &settings)
}

fn float(json: &Json) -> f32 {
    json.as_f64().unwrap() as f32
}

fn floats(json: &Json) -> Vec<f32> {
    json.as_array().unwrap().iter().map(float).collect()
}

fn counts<const N: usize>(json: &Json) -> [usize; N] {
    std::array::from_fn(|i| json[i].as_u64().unwrap() as usize)
}

fn interpolation(bilinear: bool) -> Interpolation {
    if bilinear { Interpolation::Bilinear } else { Interpolation::Nearest }
}

fn stored_transform(json: &Json) -> Transform {
    let [top, left, height, width] = counts(&json["window"]);
    let jitter = |step: &Json| match step[0].as_str().unwrap() {
        "brightness" => Jitter::Brightness(float(&step[1])),
        "contrast" => Jitter::Contrast(float(&step[1])),
        "saturation" => Jitter::Saturation(float(&step[1])),
        _ => Jitter::Hue(float(&step[1])),
    };
    Transform {
        window: Window { top, left, height, width },
        flip_horizontal: json["flip_horizontal"].as_bool().unwrap(),
        flip_vertical: json["flip_vertical"].as_bool().unwrap(),
        angle: float(&json["angle"]),
        shift: [0, 1].map(|i| float(&json["shift"][i])),
        jitter: json["jitter"].as_array().unwrap().iter().map(jitter).collect(),
    }
}

/// The values are torchvision's; how far the kernel may be from them is the twin's sum of terms.
#[test]
fn torchvisions_functional_transforms() {
    let file = safetensors::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/augment.safetensors"))
        .unwrap();
    let cases: Json = serde_json::from_str(&file.metadata["cases"]).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), file.tensors.len(), "a stored tensor would be left out");
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let shape: [usize; 4] = counts(&case["shape"]);
        let x =
            Array::from_f32(&shape, &filler::fill(&format!("{name}.x"), shape.iter().product(), 0.0, 1.0));
        let transforms: Vec<Transform> =
            case["transforms"].as_array().unwrap().iter().map(stored_transform).collect();
        let augment = Augment {
            size: counts(&case["size"]),
            mean: floats(&case["mean"]),
            std: floats(&case["std"]),
            interpolation: interpolation(case["interpolation"] == "bilinear"),
            fill: float(&case["fill"]),
        };
        let twin = expected(&x, &transforms, &augment);
        let value = Array::from_f32(&twin.value.shape, &file.tensors[&format!("{name}.y")].data);
        for tuning in &tunings() {
            let gpu = run(&x, &transforms, &augment, tuning);
            compare::assert_close(
                &format!("{name} {tuning:?}"),
                &gpu,
                &Value { value: value.clone(), ..twin.clone() },
            );
        }
    }
}

fn unit(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    rng.next_u32() as usize % bound
}

fn random_transform(rng: &mut ChaCha8Rng, h: usize, w: usize) -> Transform {
    let (height, width) = (1 + below(rng, h), 1 + below(rng, w));
    let (top, left) = (below(rng, h - height + 1), below(rng, w - width + 1));
    let mut jitter = vec![
        Jitter::Brightness(2.0 * unit(rng)),
        Jitter::Contrast(2.0 * unit(rng)),
        Jitter::Saturation(2.0 * unit(rng)),
        Jitter::Hue(unit(rng) - 0.5),
    ];
    jitter.rotate_left(below(rng, 4));
    jitter.truncate(below(rng, 5));
    Transform {
        window: Window { top, left, height, width },
        flip_horizontal: below(rng, 2) == 1,
        flip_vertical: below(rng, 2) == 1,
        angle: if below(rng, 3) == 0 { 0.0 } else { 360.0 * unit(rng) - 180.0 },
        shift: if below(rng, 2) == 0 { [0.0; 2] } else { [4.0 * unit(rng) - 2.0, 4.0 * unit(rng) - 2.0] },
        jitter,
    }
}

#[test]
fn random_transforms_of_odd_shapes() {
    let mut rng = cases::rng(60);
    for (shape, size) in [
        ([7, 3, 11, 6], [5, 9]),
        ([5, 1, 9, 13], [9, 13]),
        ([1, 3, 1, 1], [3, 2]),
        ([2, 3, 17, 19], [1, 1]),
        ([3, 3, 28, 28], [28, 28]),
    ] {
        let [n, c, h, w] = shape;
        let x = cases::uniform(&mut rng, &shape, 0.0..1.0);
        let transforms: Vec<Transform> = (0..n).map(|_| random_transform(&mut rng, h, w)).collect();
        for bilinear in [false, true] {
            let (mean, std) = (vec![0.4; c], vec![0.3; c]);
            let augment = Augment { size, mean, std, interpolation: interpolation(bilinear), fill: 0.2 };
            let twin = expected(&x, &transforms, &augment);
            for tuning in &tunings() {
                let what = format!("{shape:?} to {size:?}, bilinear {bilinear}: {transforms:?} {tuning:?}");
                compare::assert_close(&what, &run(&x, &transforms, &augment, tuning), &twin);
            }
        }
    }
}

fn plain(size: [usize; 2], channels: usize) -> Augment {
    Augment {
        size,
        mean: vec![0.0; channels],
        std: vec![1.0; channels],
        interpolation: Interpolation::Bilinear,
        fill: 0.0,
    }
}

/// Transforms without effect keep all bits: no rounding by a resize to the same size or a rotation by 0.
#[test]
fn nothing_done_changes_no_bit() {
    let x = cases::uniform(&mut cases::rng(61), &[3, 3, 7, 10], 0.0..1.0);
    let identity = vec![Transform::identity(7, 10); 3];
    for tuning in &tunings() {
        assert_eq!(run(&x, &identity, &plain([7, 10], 3), tuning), x.to_f32());
        let turned = vec![Transform { angle: 180.0, ..Transform::identity(7, 10) }; 3];
        let flipped =
            vec![Transform { flip_horizontal: true, flip_vertical: true, ..Transform::identity(7, 10) }; 3];
        let nearest = Augment { interpolation: Interpolation::Nearest, ..plain([7, 10], 3) };
        assert_eq!(run(&x, &turned, &nearest, tuning), run(&x, &flipped, &nearest, tuning));
    }
}

/// With 16-bit storage the output is rounded once.
#[test]
fn half_storage() {
    if !GPU.has_f16() {
        return eprintln!("skipped: {} has no 16-bit floats", GPU.describe());
    }
    let mut rng = cases::rng(62);
    let x = cases::uniform(&mut rng, &[4, 3, 9, 8], 0.0..1.0);
    let transforms: Vec<Transform> = (0..4).map(|_| random_transform(&mut rng, 9, 8)).collect();
    let augment = plain([8, 8], 3);
    let twin = expected(&x, &transforms, &augment);
    for tuning in tunings() {
        let gpu = run(&x, &transforms, &augment, &tuning.with_storage(Storage::f16()));
        compare::assert_close_by("f16", &gpu, &twin, compare::FACTOR + 4096.0);
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    let mut graph = Graph::new();
    let x = graph.input(2, 6, 8, 3);
    let mut refused = |augment: Augment| graph.augment(x, augment).unwrap_err().to_string();
    assert!(refused(plain([6, 8], 1)).contains("3 channels need as many means"));
    assert!(
        refused(Augment { std: vec![1.0, 0.0, 1.0], ..plain([6, 8], 3) }).contains("positive deviations")
    );
    assert!(refused(Augment { fill: 1.5, ..plain([6, 8], 3) }).contains("fill 1.5"));
    assert!(refused(plain([0, 8], 3)).contains("0x8"));
    let two = graph.input(2, 6, 8, 2);
    assert!(graph.augment(two, plain([6, 8], 2)).unwrap_err().to_string().contains("expects grey or RGB"));

    let y = graph.augment(x, plain([6, 8], 3)).unwrap();
    let session = |graph: &Graph, y| {
        let plan = Plan::inference(graph, y, GPU.tuning()).unwrap();
        Session::new(&GPU, plan, &Params::new(&GPU, graph, 0).unwrap(), None).unwrap()
    };
    let augmenting = session(&graph, y);
    let whole = Transform::identity(6, 8);
    let wrong = [
        vec![whole.clone()],
        vec![
            whole.clone(),
            Transform { window: Window { top: 3, left: 0, height: 4, width: 8 }, ..whole.clone() },
        ],
        vec![
            Transform { window: Window { top: 0, left: usize::MAX, height: 1, width: 2 }, ..whole.clone() },
            whole.clone(),
        ],
        vec![
            whole.clone(),
            Transform { window: Window { top: 0, left: 0, height: 0, width: 8 }, ..whole.clone() },
        ],
        vec![whole.clone(), Transform { angle: f32::NAN, ..whole.clone() }],
        vec![whole.clone(), Transform { jitter: vec![Jitter::Hue(0.6)], ..whole.clone() }],
        vec![whole.clone(), Transform { jitter: vec![Jitter::Contrast(-0.1)], ..whole.clone() }],
        vec![
            whole.clone(),
            Transform { jitter: vec![Jitter::Contrast(1.0), Jitter::Contrast(1.0)], ..whole.clone() },
        ],
    ];
    for transforms in wrong {
        let refused = augmenting.write_transforms(&transforms);
        assert!(matches!(refused, Err(Error::Data { .. })), "{transforms:?}: {refused:?}");
    }
    augmenting.write_transforms(&[whole.clone(), whole.clone()]).unwrap();
    assert!(
        matches!(augmenting.write_input(&[0.5; 7]), Err(Error::Data { .. })),
        "the input is still the images"
    );

    let mut other = Graph::new();
    let x = other.input(2, 6, 8, 3);
    let pooled = other.global_avg_pool(x, "pool").unwrap();
    assert!(
        session(&other, pooled)
            .write_transforms(&[whole.clone(), whole])
            .unwrap_err()
            .to_string()
            .contains("does not augment")
    );
}

/// In training, nothing below the first layer needs a gradient, and the op has no backward kernel.
#[test]
fn training_dispatches_it_forward_only() {
    let mut graph = Graph::new();
    let x = graph.input(4, 6, 6, 3);
    let labels = graph.labels(4);
    let y = graph.augment(x, plain([6, 6], 3)).unwrap();
    let features = graph.global_avg_pool(y, "pool").unwrap();
    let logits = graph.linear(features, "fc", 2).unwrap();
    let loss = graph.cross_entropy(logits, labels, 0.0).unwrap();
    let plan = Plan::training(&graph, loss, &Default::default(), &Optim::sgd(0.1), GPU.tuning()).unwrap();
    let row = &plan.ledger().layers["augment"];
    assert_eq!(row.forward_kernels, ["augment.grey_sums", "augment.forward"]);
    assert!(row.backward_kernels.is_empty(), "{:?}", row.backward_kernels);
    assert_eq!(graph.shape(y), Shape::Image { n: 4, h: 6, w: 6, c: 3 });
}

/// Photos, rotated and with contrast: every pixel of 224 × 224 reads a hundred pixels of a window that
/// shrinks to half, twice. In one piece, this needed more loop turns than llvmpipe runs.
#[test]
fn photos() {
    let x = cases::uniform(&mut cases::rng(77), &[1, 3, 448, 448], 0.0..1.0);
    let augment = Augment { interpolation: Interpolation::Bilinear, ..plain([224, 224], 3) };
    let jitter = vec![Jitter::Brightness(0.8), Jitter::Contrast(0.7), Jitter::Saturation(1.2)];
    let transforms = [Transform { angle: 10.0, jitter, ..Transform::identity(448, 448) }];
    for tuning in &tunings() {
        let y = run(&x, &transforms, &augment, tuning);
        compare::assert_close(
            &format!("photos {:?}", tuning.class),
            &y,
            &expected(&x, &transforms, &augment),
        );
    }
}
