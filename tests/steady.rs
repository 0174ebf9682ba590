//! A training step in the long run: it needs one submission and nothing else, its memory does not grow, and
//! the same seed gives the same losses to the last bit.

mod common;

use common::{BATCH, session, small_resnet, step};
use frostline_engine::gpu::Requests;
use frostline_engine::{
    Freeze, Gpu, Graph, Optim, Optimizer, Padding, Params, Plan, Session, TensorId, Tuning,
};
use frostline_twin::filler;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Requests are counted per device and memory per process, so the tests here take turns.
static ALONE: Mutex<()> = Mutex::new(());

fn recorded() -> (Graph, TensorId) {
    let mut graph = Graph::new();
    let (_, loss) = small_resnet(&mut graph).unwrap();
    (graph, loss)
}

fn training(gpu: &Arc<Gpu>, freeze: &Freeze, tuning: &Tuning, seed: u64) -> (Session, Optimizer) {
    let (graph, loss) = recorded();
    let plan = Plan::training(&graph, loss, freeze, &Optim::sgd(0.05).momentum(0.9), tuning).unwrap();
    let params = Params::new(gpu, &graph, seed).unwrap();
    session(gpu, plan, &params)
}

/// Memory of this process, which on a software adapter is the device's too; 0 if the system does not report
/// it, and on a GPU, whose driver has its own buffers in this process.
fn resident_bytes(gpu: &Gpu) -> usize {
    if !gpu.is_software() {
        return 0;
    }
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

#[test]
fn a_steady_step_allocates_nothing_compiles_nothing_and_submits_once() {
    let _alone = ALONE.lock();
    let gpu = Arc::new(Gpu::new().unwrap());
    for tuning in [gpu.tuning(), &Tuning::portable()] {
        let (mut session, mut optimizer) = training(&gpu, &Freeze::none(), tuning, 1);
        let run = |session: &mut Session, optimizer: &mut Optimizer, steps: u64| {
            for at in 0..steps {
                // A new batch every step, as in training.
                session
                    .write_input(&filler::fill(&format!("batch {at}"), BATCH * 8 * 8 * 3, -2.0, 2.0))
                    .unwrap();
                session.write_labels(&filler::labels(BATCH, 5)).unwrap();
                step(session, optimizer, 0.01);
                if at % 50 == 49 {
                    gpu.wait().unwrap();
                }
            }
        };
        run(&mut session, &mut optimizer, 100);
        let (before, pool) = (gpu.requests(), session.plan().ledger().pool_bytes);
        let resident = resident_bytes(&gpu);
        run(&mut session, &mut optimizer, 300);
        // Each step waits for an earlier one, and every fiftieth for all.
        let (submits, waits) = (before.submits + 300, before.waits + 300 + 6);
        assert_eq!(gpu.requests(), Requests { submits, waits, ..before }, "{tuning:?}");
        assert_eq!(session.plan().ledger().pool_bytes, pool);
        let grown = resident_bytes(&gpu).saturating_sub(resident);
        assert!(grown < 2 << 20, "300 steps left {grown} bytes behind, {tuning:?}");
    }
}

/// Every batch is copied when it is submitted, and the copy stays until the device has read it: a host that
/// reads nothing must not run ahead. llvmpipe computes within the submission, so that only other adapters
/// could keep copies; on all of them the waits are counted.
#[test]
fn a_host_that_reads_nothing_is_two_steps_ahead_and_leaves_no_batches_behind() {
    let _alone = ALONE.lock();
    let gpu = Arc::new(Gpu::new().unwrap());
    let mut graph = Graph::new();
    let pixels = graph.pixels(16, 128, 128, 3);
    let x = graph.normalize(pixels, &[0.5; 3], &[0.5; 3]).unwrap();
    let x = graph.conv2d(x, "conv1", 8, 3, 1, Padding::all(1)).unwrap();
    let y = graph.global_avg_pool(x, "avgpool").unwrap();
    let plan = Plan::inference(&graph, y, gpu.tuning()).unwrap();
    let mut session = Session::new(&gpu, plan, &Params::new(&gpu, &graph, 1).unwrap(), None).unwrap();
    let batch = vec![100; 16 * 128 * 128 * 3];
    let mut run = |steps: usize| {
        for _ in 0..steps {
            session.write_pixels(&batch).unwrap();
            session.run().unwrap();
        }
        resident_bytes(&gpu)
    };
    let (before, waits) = (run(10), gpu.requests().waits);
    assert_eq!(waits, 8, "two steps may be unfinished");
    let grown = run(40).saturating_sub(before);
    assert_eq!(gpu.requests().waits, 48);
    // 40 batches are 31 MB.
    assert!(grown < 8 << 20, "40 steps left {grown} bytes behind");
}

#[test]
fn a_plan_like_one_before_compiles_nothing_and_a_new_freeze_only_what_is_new() {
    let _alone = ALONE.lock();
    let gpu = Arc::new(Gpu::new().unwrap());
    let (graph, _) = recorded();
    let pipelines = || gpu.requests().pipelines;
    let layer2 = Freeze::below(&graph, "layer2").unwrap();
    training(&gpu, &layer2, gpu.tuning(), 1);
    let first = pipelines();
    training(&gpu, &layer2, gpu.tuning(), 2);
    assert_eq!(pipelines(), first, "all were compiled before");
    training(&gpu, &Freeze::below(&graph, "fc").unwrap(), gpu.tuning(), 1);
    let head = pipelines() - first;
    assert!(
        head < first / 2,
        "a head alone runs forward kernels the frozen layers had, and few others: {head} new ones after {first}"
    );
}

#[test]
fn a_dropped_session_gives_its_memory_back() {
    let _alone = ALONE.lock();
    let gpu = Arc::new(Gpu::new().unwrap());
    let mut sizes = vec![];
    for at in 0..40 {
        let (mut session, mut optimizer) = training(&gpu, &Freeze::none(), gpu.tuning(), 1);
        step(&mut session, &mut optimizer, 0.01);
        session.read_summary().unwrap();
        if at % 10 == 9 {
            sizes.push(resident_bytes(&gpu));
        }
    }
    let grown = sizes[3].saturating_sub(sizes[1]);
    assert!(grown < 4 << 20, "20 sessions left {grown} bytes behind: {sizes:?}");
}

#[test]
fn the_same_seed_gives_bit_identical_losses() {
    let _alone = ALONE.lock();
    let losses = |seed: u64, portable: bool| -> Vec<u32> {
        let gpu = Arc::new(Gpu::new().unwrap());
        let tuning = if portable { &Tuning::portable() } else { gpu.tuning() };
        let (mut session, mut optimizer) = training(&gpu, &Freeze::none(), tuning, seed);
        for _ in 0..30 {
            step(&mut session, &mut optimizer, 0.05);
        }
        session.read_history(30, 30).unwrap().iter().map(|summary| summary.loss.to_bits()).collect()
    };
    for portable in [false, true] {
        let first = losses(1, portable);
        assert_eq!(first, losses(1, portable), "portable {portable}");
        assert_ne!(first, losses(2, portable), "another seed is another run");
        assert_ne!(first[0], first[29], "it did train");
    }
}

#[test]
fn a_step_cut_into_many_submissions_has_the_same_bits() {
    let _alone = ALONE.lock();
    let gpu = Arc::new(Gpu::new().unwrap());
    let run = |submit_time: Option<Duration>| {
        let tuning = Tuning { submit_time, ..gpu.tuning().clone() };
        let (mut session, mut optimizer) = training(&gpu, &Freeze::none(), &tuning, 1);
        step(&mut session, &mut optimizer, 0.05); // with it goes the prologue, and it is measured
        let before = gpu.requests().submits;
        for _ in 0..4 {
            step(&mut session, &mut optimizer, 0.05);
        }
        let submits = (gpu.requests().submits - before) / 4;
        let losses: Vec<u32> =
            session.read_history(5, 5).unwrap().iter().map(|summary| summary.loss.to_bits()).collect();
        let gradient: Vec<u32> =
            session.read_gradient("conv1.weight").unwrap().iter().map(|value| value.to_bits()).collect();
        ((losses, gradient), submits, session.plan().ledger().step.dispatches)
    };
    let (whole, submits, _) = run(None);
    assert_eq!(submits, 1);
    assert_eq!(run(Some(Duration::from_secs(3600))).1, 1, "a step within its time is one submission");
    let (crumbled, submits, dispatches) = run(Some(Duration::from_nanos(1)));
    assert_eq!(submits, dispatches, "every dispatch alone");
    assert!(crumbled == whole, "cutting a step changed its bits");
}
