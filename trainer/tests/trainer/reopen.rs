use std::ops::ControlFlow;
use std::sync::Arc;

use frostline_engine::{Error as EngineError, Gpu};
use frostline_trainer::{Error, Learner};

use crate::setup::{bits, go_on, images, learner, model, options};

#[test]
fn after_a_loss_training_goes_on_from_the_checkpoint_on_the_same_adapter() {
    let set = images(18);
    let mut whole = learner(1);
    whole.fit(&set, &options(9), go_on).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let gpu = Arc::new(Gpu::new().expect("an adapter"));
    let mut first = Learner::new(&gpu, model(), 8, 1).unwrap();
    let lost = first.fit(&set, &options(9).checkpoint(&path, 2), |progress| {
        if progress.step == 5 {
            gpu.lose();
        }
        ControlFlow::Continue(())
    });
    let lost = lost.expect_err("the device is gone");
    assert!(matches!(lost, Error::Engine(EngineError::DeviceLost { .. })), "{lost}");
    assert!(lost.to_string().contains("checkpoint"), "{lost}");

    let again = Arc::new(gpu.reopen().expect("the adapter is still there"));
    assert_eq!((again.describe(), again.tuning()), (gpu.describe(), gpu.tuning()));
    let mut resumed = Learner::resume(&again, &path).unwrap();
    resumed.continue_fit(&set, &options(9), go_on).unwrap();
    assert_eq!(bits(&resumed), bits(&whole));
}
