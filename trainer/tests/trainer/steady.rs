use std::ops::ControlFlow;
use std::sync::Arc;

use frostline_engine::Gpu;
use frostline_trainer::{Augment, FitOptions, Learner};

use crate::setup::{images, model, options};

#[test]
fn a_steady_step_allocates_nothing_compiles_nothing_and_submits_once() {
    is_steady(&options(12));
}

#[test]
fn and_so_does_one_that_augments() {
    is_steady(
        &options(12).augment(Augment::none().resized_crop([0.5, 1.0]).color_jitter(0.2, 0.2, 0.0, 0.0)),
    );
}

#[test]
fn and_one_that_mixes() {
    is_steady(&options(12).mixup(0.2).class_weights(vec![1.0, 2.0, 3.0]));
}

fn is_steady(options: &FitOptions<'_>) {
    // A separate device, whose counters no other test changes.
    let gpu = Arc::new(Gpu::new().expect("an adapter"));
    let mut learner = Learner::new(&gpu, model(), 8, 1).unwrap();
    let mut requests = vec![];
    learner
        .fit(&images(18), &options.clone().read_every(100), |_| {
            requests.push(gpu.requests());
            ControlFlow::Continue(())
        })
        .unwrap();
    // The last step waits for the losses.
    for pair in requests[..11].windows(2) {
        assert_eq!(pair[1].submits, pair[0].submits + 1);
        assert_eq!((pair[1].buffers, pair[1].pipelines), (pair[0].buffers, pair[0].pipelines));
    }
    assert!(requests[11].buffers > requests[10].buffers, "the counter counts");
}
