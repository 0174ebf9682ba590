//! cross_entropy and multi_margin against their twins: mean loss, hits, and the gradient of the logits.

mod common;

use common::{Bench, GPU, Ran};
use frostline_engine::Freeze;
use frostline_engine::ops::{CrossEntropy, MultiMargin, Op};
use frostline_twin::softmax_cross_entropy::{self, IGNORED};
use frostline_twin::{Array, Value, cases, compare, multi_margin};

/// The loss is its own start of backward: the gradient given from outside does not count.
fn run(logits: &Array, labels: &[u32], label_smoothing: f32) -> Ran {
    run_op(CrossEntropy { label_smoothing }, logits, labels)
}

fn run_op(op: impl Op, logits: &Array, labels: &[u32]) -> Ran {
    let mut bench = Bench::default();
    let inputs = [bench.image("logits", logits), bench.labels(labels)];
    let loss = bench.graph.record(op, "loss", &inputs).unwrap();
    bench.run(loss, &Array::new(&[4], vec![7.0; 4]), &Freeze::none(), GPU.tuning())
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
    assert_eq!(ran.output[1..3], [hits(logits, labels), labels.iter().filter(|&&label| label != IGNORED).count() as f32], "{what}");
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
    for (rows, classes, smoothing) in [(1, 2, 0.0), (5, 9, 0.0), (4, 7, 0.1), (70, 10, 0.1), (3, 5, 0.9), (2, 1000, 0.1)] {
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

/// A batch without labels has nothing to say: loss 0 and gradient 0, not 0/0.
#[test]
fn all_rows_ignored() {
    let logits = cases::uniform(&mut cases::rng(62), &[3, 5], -4.0..4.0);
    let ran = run(&logits, &[IGNORED; 3], 0.1);
    assert_eq!(ran.output, [0.0; 4]);
    assert_eq!(ran.gradients["logits"], [0.0; 15]);
}

/// A right row scores and a wrong one does not, whatever the padding lanes hold: all logits are
/// negative, and zero would win.
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
        for labels in [cases::labels(&mut rng, rows, classes), cases::labels_with_ignored(&mut rng, rows, classes), vec![IGNORED; rows]] {
            let what = format!("multi_margin of {:?}, labels {labels:?}, margin {margin}", logits.shape);
            let ran = run_op(MultiMargin { margin }, &logits, &labels);
            let loss = multi_margin::forward(&logits, &labels, f64::from(margin));
            let gradient = multi_margin::backward(&logits, &labels, f64::from(margin));
            check_ran(&what, &ran, (&logits, &labels), &loss, &gradient);
        }
    }
}
