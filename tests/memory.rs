//! What a freeze saves in memory: the planner keeps no more for backward than backward needs.
//!
//! ResNet-50 on one 224×224 image, f32. "Needed" is counted by hand from the network's shapes:
//!
//! - a convolution's input only if its weight trains (its own gradient needs dy and w alone),
//! - nothing for a batch norm that is frozen with its running statistics; its input for one that
//!   trains on the batch's, from which the ReLU after it is computed again,
//! - for a ReLU the output if it is kept anyway, else one bit a value,
//! - one byte a value of the max-pool: where in the window the largest was,
//! - for the loss the logits.

use frostline_engine::{BatchNormMode, Freeze, Graph, Ledger, Optim, Plan, TensorId, Tuning};
use frostline_models::Model;

const MIB: f64 = (1 << 20) as f64;

fn resnet50(batch: usize) -> (Graph, TensorId) {
    let mut graph = Graph::new();
    let x = graph.input(batch, 224, 224, 3);
    let labels = graph.labels(batch);
    let recorded = Model::new("resnet50").unwrap().record(&mut graph, x).unwrap();
    let loss = graph.cross_entropy(recorded.output(), labels, 0.0).unwrap();
    (graph, loss)
}

/// Freezes and the bytes each needs for backward, most first.
fn cases(graph: &Graph) -> [(&'static str, Freeze, f64); 6] {
    let mut training_norms = Freeze::none();
    training_norms.batch_norm = BatchNormMode::Batch;
    let norms_frozen = |mut freeze: Freeze| {
        freeze.freeze_batch_norm(graph);
        freeze
    };
    let below = |group| Freeze::below(graph, group).unwrap();
    [
        ("nothing frozen, batch statistics", training_norms, 64.2 * MIB),
        ("batch norms frozen", norms_frozen(Freeze::none()), 34.9 * MIB),
        ("layer3, layer4, fc without batch norms", norms_frozen(below("layer3")), 10.6 * MIB),
        // Of a lone first layer: the image, and the bits of every ReLU on the way to it.
        ("conv1 alone", Freeze::all_but(graph, "conv1").unwrap(), 2.68 * MIB),
        ("layer4, fc without batch norms", norms_frozen(below("layer4")), 2.40 * MIB),
        ("fc alone: 2048 features, 1000 logits", below("fc"), 4.0 * (2048.0 + 1000.0)),
    ]
}

fn ledger(graph: &Graph, loss: TensorId, freeze: &Freeze, tuning: &Tuning) -> Ledger {
    Plan::training(graph, loss, freeze, &Optim::sgd(0.1), tuning).unwrap().ledger().clone()
}

#[test]
fn resnet50_keeps_at_most_a_tenth_more_than_backward_needs() {
    let (graph, loss) = resnet50(1);
    for tuning in &[Tuning::subgroup(8), Tuning::portable()] {
        for (name, freeze, needed) in cases(&graph) {
            let kept = ledger(&graph, loss, &freeze, tuning).kept_bytes as f64;
            println!("{name}: keeps {:.3} MiB, needs {:.3}", kept / MIB, needed / MIB);
            assert!(kept <= 1.1 * needed, "{name}, {tuning:?}: keeps {kept} bytes, needs {needed}");
            // The opposite check: a ledger that omits buffers would pass the line above.
            assert!(kept >= 0.75 * needed, "{name}, {tuning:?}: {kept} bytes cannot be all of {needed}");
        }
    }
}

/// MiB that PyTorch saves for backward by batch, in the order of [`cases`], as
/// `benches/torch_saved.py` counts them; and the largest fraction of it that we may keep.
const PYTORCH: [(usize, [f64; 6]); 2] =
    [(1, [82.14, 81.93, 21.64, 81.93, 5.18, 0.012]), (8, [655.67, 655.47, 173.12, 655.41, 41.44, 0.093])];
const SHARES: [f64; 6] = [0.85, 0.5, 0.5, 0.05, 0.5, 1.05];

#[test]
fn resnet50_keeps_less_than_pytorch_saves() {
    let tunings = [Tuning::gpu(), Tuning::portable(), Tuning::subgroup(8)];
    for (batch, saved) in PYTORCH {
        let (graph, loss) = resnet50(batch);
        println!(
            "\n| batch of {batch}, MiB | kept | PyTorch saves | ratio | pool: gpu | portable | subgroup |\n|---|---:|---:|---:|---:|---:|---:|"
        );
        for (((name, freeze, _), saved), share) in cases(&graph).iter().zip(saved).zip(SHARES) {
            let ledgers = tunings.each_ref().map(|tuning| ledger(&graph, loss, freeze, tuning));
            let [kept, ..] = ledgers.each_ref().map(|ledger| ledger.kept_bytes as f64 / MIB);
            let pools =
                ledgers.each_ref().map(|ledger| format!("{:.1}", ledger.pool_bytes as f64 / MIB)).join(" | ");
            println!("| {name} | {kept:.3} | {saved} | {:.3} | {pools} |", kept / saved);
            for (ledger, tuning) in ledgers.iter().zip(&tunings) {
                let kept = ledger.kept_bytes as f64 / MIB;
                assert!(
                    kept <= share * saved,
                    "{name}, batch {batch}, {tuning:?}: keeps {kept} MiB, PyTorch saves {saved}"
                );
            }
        }
    }
}

#[test]
fn the_pool_shrinks_with_what_is_kept_and_holds_it() {
    let (graph, loss) = resnet50(1);
    for tuning in &[Tuning::subgroup(8), Tuning::portable()] {
        let ledgers: Vec<(&str, Ledger)> = cases(&graph)
            .into_iter()
            .map(|(name, freeze, _)| (name, ledger(&graph, loss, &freeze, tuning)))
            .collect();
        let input = 4 * 4 * 224 * 224; // the image has a buffer of its own
        for (name, ledger) in &ledgers {
            assert!(
                ledger.pool_bytes + input >= ledger.kept_bytes,
                "{name}, {tuning:?}: the pool cannot hold what is kept"
            );
        }
        let pool = |at: usize| ledgers[at].1.pool_bytes;
        let [all, no_norms, layer3, _, layer4, fc] = [0, 1, 2, 3, 4, 5].map(pool);
        assert!(
            all > no_norms && no_norms > layer3 && layer3 > layer4 && layer4 >= fc,
            "{tuning:?}: {ledgers:#?}"
        );
    }
}

#[test]
fn gradients_and_optimizer_state_are_of_trainable_parameters_only() {
    let (graph, loss) = resnet50(1);
    let adamw = |freeze: &Freeze| {
        Plan::training(&graph, loss, freeze, &Optim::adamw(0.1), &Tuning::portable())
            .unwrap()
            .ledger()
            .clone()
    };
    let head = adamw(&Freeze::below(&graph, "fc").unwrap());
    assert_eq!(
        head.gradient_bytes,
        4 * (2048 * 1000 + 1000 + 24),
        "fc's weight and bias, the bias up to the next 256 bytes"
    );
    assert_eq!(head.optimizer_bytes, 2 * head.gradient_bytes, "AdamW keeps two values a weight");
    let all = adamw(&Freeze::none());
    assert_eq!(all.gradient_bytes, all.parameter_bytes);
    assert_eq!(head.parameter_bytes, all.parameter_bytes);
}
