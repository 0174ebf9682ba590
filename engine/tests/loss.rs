//! cross_entropy and multi_margin against their twins: mean loss, hits, and the gradient of the logits;
//! mixup, which mixes the inputs of cross_entropy, against its twin.

mod common;

use common::{Bench, GPU, Ran, tunings};
use frostline_engine::context::{Backward, Forward};
use frostline_engine::ops::{CrossEntropy, Mix, MultiMargin, Op};
use frostline_engine::{Error, Freeze, Graph, Params, Plan, Session, Shape, Tuning};
use frostline_twin::softmax_cross_entropy::{self, IGNORED, Settings};
use frostline_twin::{Array, Value, cases, compare, mixup, multi_margin};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The backward pass starts at the loss: a gradient given from outside has no effect.
fn run(logits: &Array, labels: &[u32], label_smoothing: f32) -> Ran {
    run_op(CrossEntropy { label_smoothing, ..Default::default() }, logits, labels)
}

fn run_op(op: impl Op, logits: &Array, labels: &[u32]) -> Ran {
    run_mixed(op, logits, labels, &[], GPU.tuning())
}

fn run_mixed(op: impl Op, logits: &Array, labels: &[u32], mixes: &[(usize, f64)], tuning: &Tuning) -> Ran {
    let mut bench = Bench::default();
    let mut inputs = vec![bench.image("logits", logits), bench.labels(labels)];
    if !mixes.is_empty() {
        inputs.push(bench.mixes(mixes));
    }
    let loss = bench.graph.record(op, "loss", &inputs).unwrap();
    bench.run(loss, &Array::new(&[4], vec![7.0; 4]), &Freeze::none(), tuning)
}

fn check(logits: &Array, labels: &[u32], smoothing: f32) {
    let what = format!("cross_entropy of {:?}, labels {labels:?}, smoothing {smoothing}", logits.shape);
    let loss = softmax_cross_entropy::forward(logits, labels, f64::from(smoothing));
    let gradient = softmax_cross_entropy::backward(logits, labels, f64::from(smoothing));
    check_ran(&what, &run(logits, labels, smoothing), (logits, labels), &loss, &gradient);
}

fn check_ran(what: &str, ran: &Ran, (logits, labels): (&Array, &[u32]), loss: &Value, gradient: &Value) {
    compare::assert_close(what, &ran.output[..1], loss);
    ran.check_gradient(what, "logits", gradient);
    assert_eq!(
        ran.output[1..3],
        [hits(logits, labels), labels.iter().filter(|&&label| label != IGNORED).count() as f32],
        "{what}"
    );
}

/// Labelled rows whose largest logit is at the label.
fn hits(logits: &Array, labels: &[u32]) -> f32 {
    let [_, classes] = logits.dims();
    let best = |row: &[f64]| (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u32;
    logits.data.chunks(classes).zip(labels).filter(|(row, label)| best(row) == **label).count() as f32
}

#[test]
fn random_logits() {
    let mut rng = cases::rng(60);
    for (rows, classes, smoothing) in
        [(1, 2, 0.0), (5, 9, 0.0), (4, 7, 0.1), (70, 10, 0.1), (3, 5, 0.9), (2, 1000, 0.1)]
    {
        let logits = cases::uniform(&mut rng, &[rows, classes], -4.0..4.0);
        check(&logits, &cases::labels(&mut rng, rows, classes), smoothing);
        check(&logits, &cases::labels_with_ignored(&mut rng, rows, classes), smoothing);
    }
}

/// exp(200) is beyond f32, and exp(−200) below it: the row's maximum must go first.
#[test]
fn large_logits() {
    let mut rng = cases::rng(61);
    for smoothing in [0.0, 0.1] {
        let logits = cases::uniform(&mut rng, &[6, 11], -200.0..200.0);
        check(&logits, &cases::labels(&mut rng, 6, 11), smoothing);
    }
}

/// A full batch of a linear probe: more rows than llvmpipe's limit of turns in a loop (65,535), and far too
/// many for one running sum. Losses have one sign.
#[test]
fn many_rows() {
    let mut rng = cases::rng(67);
    for (rows, classes) in [(1025, 3), (4097, 2), (10_000, 4), (100_000, 3)] {
        let logits = cases::uniform(&mut rng, &[rows, classes], -4.0..4.0);
        let labels = cases::labels_with_ignored(&mut rng, rows, classes);
        let settings = Settings::default();
        let loss = softmax_cross_entropy::forward_with(&logits, &labels, &settings);
        let gradient = softmax_cross_entropy::backward_with(&logits, &labels, &settings);
        for tuning in &tunings() {
            let what = format!("cross_entropy of {rows} rows, {tuning:?}");
            let ran = run_mixed(CrossEntropy::default(), &logits, &labels, &[], tuning);
            check_ran(&what, &ran, (&logits, &labels), &loss, &gradient);
        }
        let margin = 1.7;
        let logits = cases::distinct(&mut rng, &[rows, classes], 0.03);
        let what = format!("multi_margin of {rows} rows");
        let ran = run_op(MultiMargin { margin }, &logits, &labels);
        let loss = multi_margin::forward(&logits, &labels, f64::from(margin));
        compare::assert_close(&what, &ran.output[..1], &loss);
        ran.check_gradient(&what, "logits", &multi_margin::backward(&logits, &labels, f64::from(margin)));
    }
}

/// A head of zeros, the start of probes: the loss of every row is ln K, so that all roundings of a running
/// sum have the same direction. A value passes at most 32 + 32 + 32 + 4 additions, as stated in the kernel.
#[test]
fn many_equal_rows() {
    for classes in [3, 7, 10] {
        let logits = Array::zeros(&[100_000, classes]);
        let labels = vec![1; 100_000];
        let ran = run(&logits, &labels, 0.0);
        let off = (f64::from(ran.output[0]) / (classes as f64).ln() - 1.0).abs();
        assert!(off <= 100.0 * f64::from(f32::EPSILON) / 2.0, "{classes} classes: off by {off:e}");
        assert_eq!(ran.output[1..], [0.0, 1e5, 1e5]);
        let p = 1.0 / classes as f64;
        let expected = frostline_twin::Value::exact(&Array::new(&[2], vec![p / 1e5, (p - 1.0) / 1e5]));
        compare::assert_close(&format!("{classes} classes"), &ran.gradients["logits"][..2], &expected);
    }
}

/// Softmax does not change with an offset of all logits; only the number of remaining digits differs. Logits
/// are multiples of the distance of floats at the offset, so that they are exact there.
#[test]
fn an_offset_of_the_logits_changes_nothing() {
    let mut rng = cases::rng(68);
    for (offset, step) in
        [(1e4, 1.0 / 1024.0), (1e6, 1.0 / 16.0), (-1e6, 1.0 / 16.0), (1e8, 8.0), (-1e8, 8.0)]
    {
        let mut logits = cases::uniform(&mut rng, &[5, 9], -1.0..1.0);
        let spread = f64::max(1.0, 2.0 * step);
        logits.data.iter_mut().for_each(|z| *z = (*z * spread / step).round() * step);
        let far = Array { data: logits.data.iter().map(|z| z + offset).collect(), ..logits.clone() };
        assert_eq!(far.data, Array::from_f32(&[5, 9], &far.to_f32()).data, "exact");
        let labels = cases::labels(&mut rng, 5, 9);
        for smoothing in [0.0, 0.1f32] {
            let loss = softmax_cross_entropy::forward(&logits, &labels, f64::from(smoothing));
            let gradient = softmax_cross_entropy::backward(&logits, &labels, f64::from(smoothing));
            check_ran(
                &format!("offset {offset:e}"),
                &run(&far, &labels, smoothing),
                (&logits, &labels),
                &loss,
                &gradient,
            );
        }
    }
}

/// An impossible class (a logit of −∞) has no loss unless labels are smoothed, when each class is a part of
/// the target. The results are those without the class.
#[test]
fn impossible_classes() {
    let full = Array::new(
        &[2, 5],
        vec![1.0, f64::NEG_INFINITY, 0.5, -2.0, 0.25, -1.0, f64::NEG_INFINITY, 3.0, 0.5, 2.0],
    );
    let short = Array::new(&[2, 4], vec![1.0, 0.5, -2.0, 0.25, -1.0, 3.0, 0.5, 2.0]);
    let ran = run(&full, &[0, 3], 0.0);
    compare::assert_close("loss", &ran.output[..1], &softmax_cross_entropy::forward(&short, &[0, 2], 0.0));
    let gradient = &ran.gradients["logits"];
    assert_eq!((gradient[1], gradient[6]), (0.0, 0.0));
    let others: Vec<f32> = (0..10).filter(|i| i % 5 != 1).map(|i| gradient[i]).collect();
    compare::assert_close("gradient", &others, &softmax_cross_entropy::backward(&short, &[0, 2], 0.0));
    assert_eq!(run(&full, &[0, 3], 0.1).output[0], f32::INFINITY, "as in PyTorch");
    assert_eq!(run(&full, &[1, 3], 0.0).output[0], f32::INFINITY, "the label's own class");
}

/// A loss that is not an op of the engine: its own name, and the kernels of another loss.
#[derive(Debug)]
struct Own(CrossEntropy);

impl Op for Own {
    fn name(&self) -> &'static str {
        "own_loss"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape, Error> {
        self.0.output_shape(layer, inputs)
    }

    fn keeps(&self, wants: &[bool]) -> Vec<usize> {
        self.0.keeps(wants)
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<(), Error> {
        self.0.forward(f)
    }

    fn backward(&self, b: &mut Backward<'_, '_>) -> Result<(), Error> {
        self.0.backward(b)
    }
}

/// Labels and mixes are inputs by the method that made them, independent of the op that reads them.
#[test]
fn inputs_have_kinds() {
    let mut graph = Graph::new();
    let (x, labels) = (graph.input(2, 1, 1, 3), graph.labels(2));
    let mixes = graph.mixes(2);
    let loss = graph.record(Own(CrossEntropy::default()), "loss", &[x, labels, mixes]).unwrap();
    let params = Params::new(&GPU, &graph, 0).unwrap();
    let plan = Plan::inference(&graph, loss, &Tuning::portable()).unwrap();
    let session = Session::new(&GPU, plan, &params, None).unwrap();
    session.write_input(&[0.0; 6]).unwrap();
    session.write_labels(&[0, 2]).unwrap();
    session.write_mixes(&[Mix { partner: 1, share: 0.5 }, Mix { partner: 0, share: 1.0 }]).unwrap();
    let text = session.write_labels(&[0, 3]).unwrap_err().to_string();
    assert!(text.contains("classes 0 to 2") && text.contains("3 for image 1"), "{text}");
    let text = session.write_transforms(&[]).unwrap_err().to_string();
    assert!(text.contains("does not augment"), "{text}");
}

/// The sum of these logits, which label smoothing once needed, is beyond f32.
#[test]
fn huge_logits() {
    let mut logits = Array::new(&[1, 9], vec![1e38; 9]);
    for smoothing in [0.0, 0.1f32] {
        let ran = run(&logits, &[4], smoothing);
        let equal = Array::zeros(&[1, 9]);
        compare::assert_close(
            "equal",
            &ran.output[..1],
            &softmax_cross_entropy::forward(&equal, &[4], f64::from(smoothing)),
        );
    }
    logits.data[2] = 3e38;
    logits.data[3] = -3e38;
    let ran = run(&logits, &[2], 0.0);
    assert_eq!(ran.output, [0.0, 1.0, 1.0, 1.0]);
    assert_eq!(ran.gradients["logits"], [0.0; 9]);
}

/// A row with NaN has no best class, and makes the loss NaN.
#[test]
fn rows_that_are_not_numbers_hit_nothing() {
    for bad in [f64::NAN, f64::INFINITY] {
        for place in 0..5 {
            let mut logits = Array::new(&[2, 5], vec![5.0, 1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 4.0]);
            logits.data[place] = bad;
            let ran = run(&logits, &[0, 0], 0.0);
            assert!(ran.output[0].is_nan(), "{bad} at {place}: {:?}", ran.output);
            assert_eq!(ran.output[1..], [1.0, 2.0, 2.0], "{bad} at {place}");
        }
    }
    let nan = Array::new(&[1, 5], vec![f64::NAN; 5]);
    let ran = run(&nan, &[0], 0.0);
    assert!(ran.output[0].is_nan() && ran.output[1] == 0.0, "{:?}", ran.output);
    for place in 0..5 {
        let mut logits = Array::new(&[2, 5], vec![5.0, 1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 4.0]);
        logits.data[place] = f64::NAN;
        let ran = run_op(MultiMargin { margin: 1.0 }, &logits, &[0, 0]);
        assert!(ran.output[0].is_nan(), "margin, NaN at {place}: {:?}", ran.output);
        assert_eq!(ran.output[1..], [1.0, 2.0, 2.0], "margin, NaN at {place}");
    }
}

/// A batch without labels has loss 0 and gradient 0, not 0/0.
#[test]
fn all_rows_ignored() {
    let logits = cases::uniform(&mut cases::rng(62), &[3, 5], -4.0..4.0);
    let ran = run(&logits, &[IGNORED; 3], 0.1);
    assert_eq!(ran.output, [0.0; 4]);
    assert_eq!(ran.gradients["logits"], [0.0; 15]);
}

/// A partner for each row, a permutation, and a share; the share of a batch is one number, but kernels read
/// one per row.
fn random_mixes(rng: &mut ChaCha8Rng, rows: usize) -> Vec<(usize, f64)> {
    let mut partners: Vec<usize> = (0..rows).collect();
    partners.shuffle(rng);
    partners.into_iter().map(|partner| (partner, f64::from(rng.random_range(0.0..1.0f32)))).collect()
}

#[test]
fn class_weights_and_mixed_labels() {
    let mut rng = cases::rng(64);
    for (rows, classes, smoothing) in
        [(1, 2, 0.0), (5, 9, 0.0), (4, 7, 0.1), (70, 10, 0.1), (3, 5, 0.9), (2, 1000, 0.1)]
    {
        let logits = cases::uniform(&mut rng, &[rows, classes], -4.0..4.0);
        let class_weights: Vec<f32> = (0..classes).map(|_| rng.random_range(0.1..4.0)).collect();
        let weights: Vec<f64> = class_weights.iter().map(|&weight| f64::from(weight)).collect();
        let mixes = random_mixes(&mut rng, rows);
        for labels in
            [cases::labels(&mut rng, rows, classes), cases::labels_with_ignored(&mut rng, rows, classes)]
        {
            for (weights, mixes) in [(&weights[..], &mixes[..0]), (&[], &mixes[..]), (&weights, &mixes)] {
                let class_weights = class_weights.iter().copied().take(weights.len()).collect();
                let op = CrossEntropy { label_smoothing: smoothing, class_weights };
                let settings = Settings { smoothing: f64::from(smoothing), weights, mixes };
                for tuning in &tunings() {
                    let what = format!("{rows}x{classes}, labels {labels:?}, {settings:?}, {tuning:?}");
                    let ran = run_mixed(op.clone(), &logits, &labels, mixes, tuning);
                    compare::assert_close(
                        &what,
                        &ran.output[..1],
                        &softmax_cross_entropy::forward_with(&logits, &labels, &settings),
                    );
                    ran.check_gradient(
                        &what,
                        "logits",
                        &softmax_cross_entropy::backward_with(&logits, &labels, &settings),
                    );
                }
            }
        }
    }
}

/// Equal weights give the same bits as none, and so does a share of 1.
#[test]
fn weights_and_shares_of_one_are_as_none() {
    let mut rng = cases::rng(65);
    let logits = cases::uniform(&mut rng, &[6, 11], -4.0..4.0);
    let labels = cases::labels(&mut rng, 6, 11);
    let plain = run(&logits, &labels, 0.1);
    let op = CrossEntropy { label_smoothing: 0.1, class_weights: vec![1.0; 11] };
    let mixes: Vec<_> = (0..6).map(|row| ((row + 1) % 6, 1.0)).collect();
    for ran in [run_op(op.clone(), &logits, &labels), run_mixed(op, &logits, &labels, &mixes, GPU.tuning())] {
        assert_eq!(ran.output, plain.output);
        assert_eq!(ran.gradients, plain.gradients);
    }
}

/// Logits are right for the own label of row 0 and for the partner's of row 1. Row 2 has none and row 3
/// has only a partner.
#[test]
fn hits_of_mixed_rows_count_by_share() {
    let logits = Array::new(&[4, 3], vec![5.0, 1.0, 2.0, 5.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 3.0, 2.0]);
    let labels = [0, 1, IGNORED, IGNORED];
    let mixes = [(1, 0.75), (0, 0.75), (3, 0.75), (1, 0.75)];
    let weights = vec![1.0, 2.0, 4.0];
    let ran = run_mixed(
        CrossEntropy { class_weights: weights, ..Default::default() },
        &logits,
        &labels,
        &mixes,
        GPU.tuning(),
    );
    assert_eq!(ran.output[1..3], [0.75 + 0.25 + 0.25, 3.0]);
    // 0.75·1 + 0.25·2, 0.75·2 + 0.25·1, 0.25·2
    assert_eq!(ran.output[3], 1.25 + 1.75 + 0.5);
    // A class with weight 0: it is labelled, but only counts for the hits.
    let ran = run_op(
        CrossEntropy { class_weights: vec![0.0, 2.0, 0.0], ..Default::default() },
        &logits,
        &[0, 0, 2, 2],
    );
    assert_eq!(ran.output, [0.0, 3.0, 4.0, 0.0]);
    assert_eq!(ran.gradients["logits"], [0.0; 12]);
}

#[test]
fn weights_that_make_no_sense_are_refused() {
    let refused = |class_weights: &[f32]| {
        let mut bench = Bench::default();
        let inputs = [bench.image("logits", &Array::zeros(&[2, 3])), bench.labels(&[0, 1])];
        let op = CrossEntropy { class_weights: class_weights.to_vec(), ..Default::default() };
        bench.graph.record(op, "loss", &inputs).unwrap_err().to_string()
    };
    let text = refused(&[1.0, 2.0]);
    assert!(text.contains("3 classes") && text.contains("got 2"), "{text}");
    for bad in [-1.0, f32::NAN, f32::INFINITY] {
        let text = refused(&[1.0, bad, 1.0]);
        assert!(text.contains(&format!("class 1 has weight {bad}")), "{text}");
    }
    assert!(refused(&[0.0; 3]).contains("all classes have weight 0"));
}

#[test]
fn mixed_images() {
    let mut rng = cases::rng(66);
    for shape in [[1, 1, 1, 1], [2, 3, 5, 7], [5, 4, 3, 1], [3, 9, 4, 6], [70, 2, 9, 8]] {
        let x = cases::uniform(&mut rng, &shape, -4.0..4.0);
        let mixes = random_mixes(&mut rng, shape[0]);
        for tuning in &tunings() {
            let y = common::mixed(&x, &mixes, tuning);
            compare::assert_close(
                &format!("mixup of {shape:?} by {mixes:?}, {tuning:?}"),
                &y,
                &mixup::forward(&x, &mixes),
            );
        }
        let own: Vec<_> = (0..shape[0]).map(|row| (shape[0] - 1 - row, 1.0)).collect();
        assert_eq!(common::mixed(&x, &own, GPU.tuning()), x.to_f32(), "all of its own");
    }
}

#[test]
fn mixes_that_cannot_be_are_refused() {
    let mut graph = Graph::new();
    let x = graph.input(3, 2, 2, 1);
    let wrong = graph.mixes(2);
    let text = graph.mixup(x, wrong).unwrap_err().to_string();
    assert!(text.contains("mixup") && text.contains("one mix each"), "{text}");
    let mixes = graph.mixes(3);
    let y = graph.mixup(x, mixes).unwrap();
    let session = Session::new(
        &GPU,
        Plan::inference(&graph, y, GPU.tuning()).unwrap(),
        &Params::new(&GPU, &graph, 0).unwrap(),
        None,
    )
    .unwrap();
    let mix = |partner, share| Mix { partner, share };
    let text = |mixes: &[Mix]| session.write_mixes(mixes).unwrap_err().to_string();
    assert!(text(&[mix(0, 0.5); 2]).contains("one for each of 3 images"));
    assert!(text(&[mix(0, 0.5), mix(3, 0.5), mix(0, 0.5)]).contains("partner 3, share 0.5 for image 1"));
    assert!(text(&[mix(0, 0.5), mix(0, 0.5), mix(0, 1.5)]).contains("share 1.5 for image 2"));
    assert!(text(&[mix(0, f32::NAN); 3]).contains("share NaN for image 0"));
    let mut plain = Graph::new();
    let x = plain.input(1, 2, 2, 1);
    let y = plain.max_pool2d(x, "pool", 1, 1, 0).unwrap();
    let session = Session::new(
        &GPU,
        Plan::inference(&plain, y, GPU.tuning()).unwrap(),
        &Params::new(&GPU, &plain, 0).unwrap(),
        None,
    )
    .unwrap();
    assert!(session.write_mixes(&[mix(0, 0.5)]).unwrap_err().to_string().contains("does not mix"));
}

/// A right row is a hit and a wrong one is not, whatever the padding lanes contain: all logits are negative,
/// and a zero would be the maximum.
#[test]
fn hits_are_counted_among_real_classes() {
    let logits = Array::new(&[2, 3], vec![-5.0, -1.0, -3.0, -2.0, -4.0, -6.0]);
    assert_eq!(run(&logits, &[1, 0], 0.0).output[1..3], [2.0, 2.0]);
    assert_eq!(run(&logits, &[2, 0], 0.0).output[1..3], [1.0, 2.0]);
    assert_eq!(run(&logits, &[IGNORED, 0], 0.0).output[1..3], [1.0, 1.0]);
}

/// Logits are multiples of 0.03, none alike: no difference is within 0.01 of a margin, where the
/// gradient jumps.
#[test]
fn margins() {
    let mut rng = cases::rng(63);
    for (rows, classes, margin) in [(1, 2, 1.0), (5, 9, 1.0), (4, 7, 0.25), (70, 10, 2.5), (2, 1000, 1.0)] {
        let logits = cases::distinct(&mut rng, &[rows, classes], 0.03);
        for labels in [
            cases::labels(&mut rng, rows, classes),
            cases::labels_with_ignored(&mut rng, rows, classes),
            vec![IGNORED; rows],
        ] {
            let what = format!("multi_margin of {:?}, labels {labels:?}, margin {margin}", logits.shape);
            let ran = run_op(MultiMargin { margin }, &logits, &labels);
            let loss = multi_margin::forward(&logits, &labels, f64::from(margin));
            let gradient = multi_margin::backward(&logits, &labels, f64::from(margin));
            check_ran(&what, &ran, (&logits, &labels), &loss, &gradient);
        }
    }
}
