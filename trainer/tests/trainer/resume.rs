use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use frostline_engine::{BatchNormMode, LossScale, Optim, Storage};
use frostline_loader::{BatchState, ImageSet};
use frostline_trainer::{Augment, Batch, Error, FitOptions, Learner, Progress, Source};

use crate::setup::{bits, go_on, gpu, images, learner, options};

fn stop_at(step: u64) -> impl FnMut(&Progress<'_>) -> ControlFlow<()> {
    move |progress| match progress.step == step {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// Stops after 5 of 9 steps, in the middle of an epoch, and continues from the file alone.
fn resumed_run_is_the_uninterrupted_one(options: &FitOptions<'_>) {
    let set = images(18);
    let mut whole = learner(1);
    whole.freeze_below("layer3").unwrap();
    let losses = whole.fit(&set, options, go_on).unwrap().losses();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut interrupted = learner(1);
    interrupted.freeze_below("layer3").unwrap();
    let first = interrupted.fit(&set, options, stop_at(5)).unwrap();
    interrupted.save(&path).unwrap();
    drop(interrupted);

    let mut resumed = Learner::resume(gpu(), &path).unwrap();
    assert_eq!(resumed.classes(), set.classes);
    let rest = resumed.continue_fit(&set, options, go_on).unwrap();
    assert_eq!([first.losses(), rest.losses()].concat(), losses);
    assert_eq!(bits(&resumed), bits(&whole));
}

#[test]
fn resuming_sgd_is_bit_identical() {
    resumed_run_is_the_uninterrupted_one(&options(9));
}

#[test]
fn resuming_adamw_is_bit_identical() {
    resumed_run_is_the_uninterrupted_one(&options(9).optim(Optim::adamw(0.003)));
}

#[test]
fn resuming_an_augmented_run_is_bit_identical() {
    resumed_run_is_the_uninterrupted_one(&options(9).augment(shifting()));
}

#[test]
fn resuming_a_mixed_run_with_class_weights_is_bit_identical() {
    resumed_run_is_the_uninterrupted_one(
        &options(9).mixup(0.4).class_weights(vec![1.0, 0.5, 2.0]).augment(shifting()),
    );
}

/// The scale falls in the first steps and grows at the third good one, before and after the interruption.
#[test]
fn resuming_a_run_with_a_moving_loss_scale_is_bit_identical() {
    if !gpu().has_f16() {
        eprintln!("skipped: {} has no 16-bit floats", gpu().describe());
        return;
    }
    let loss_scale = LossScale { initial: 1 << 20, growth_interval: Some(2) };
    let storage = Storage::F16 { loss_scale };
    for optim in [Optim::sgd(0.01).momentum(0.9), Optim::adamw(0.003)] {
        resumed_run_is_the_uninterrupted_one(&options(9).storage(storage).optim(optim).read_every(1));
    }
    // Checks that there was a state to keep: the state of the file differs from that of the start.
    let (folder, mut learner) = (tempfile::tempdir().unwrap(), learner(1));
    learner.freeze_below("layer3").unwrap();
    let first = learner.fit(&images(18), &options(9).storage(storage), stop_at(5)).unwrap();
    let path = folder.path().join("run.safetensors");
    learner.save(&path).unwrap();
    let extra = frostline_loader::Checkpoint::load(&path).unwrap().extra["trainer"].clone();
    let extra: serde_json::Value = serde_json::from_str(&extra).unwrap();
    println!("{}, {} steps skipped", extra["loss_scale"], first.skipped);
    assert_ne!(extra["loss_scale"]["scale"], 1 << 20);
    assert_eq!(extra["loss_scale"]["skipped_steps"], first.skipped);
}

/// A file without loss scale (an older one, or one of f32) is accepted; an invalid loss scale is refused.
#[test]
fn the_loss_scale_of_a_file_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    learner(1).save(&path).unwrap();
    let mut checkpoint = frostline_loader::Checkpoint::load(&path).unwrap();
    let extra: serde_json::Value = serde_json::from_str(&checkpoint.extra["trainer"]).unwrap();
    let mut resume = |scale: Option<u32>| {
        let mut extra = extra.clone();
        let extra_fields = extra.as_object_mut().unwrap();
        extra_fields.remove("loss_scale");
        if let Some(scale) = scale {
            let state = serde_json::json!({ "scale": scale, "good_steps": 1, "skipped_steps": 2 });
            extra_fields.insert("loss_scale".to_owned(), state);
        }
        checkpoint.extra.insert("trainer".to_owned(), extra.to_string());
        checkpoint.save(&path).unwrap();
        Learner::resume(gpu(), &path).map(|_| ())
    };
    resume(None).unwrap();
    resume(Some(4096)).unwrap();
    for scale in [0, 1000, 1 << 25] {
        let error = resume(Some(scale)).unwrap_err().to_string();
        assert!(error.contains(&format!("loss scale of {scale}")), "{error}");
    }
}

fn shifting() -> Augment {
    Augment::none()
        .resized_crop([0.5, 1.0])
        .horizontal_flip(0.5)
        .rotation(20.0)
        .bilinear()
        .color_jitter(0.3, 0.3, 0.0, 0.0)
}

#[test]
fn momentum_is_carried_over_a_change_of_freeze_and_through_a_file() {
    let set = images(18);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let start = || {
        let mut learner = learner(1);
        learner.freeze_below("layer4").unwrap();
        learner.fit(&set, &options(4), go_on).unwrap();
        learner
    };
    let thaw = |learner: &mut Learner| {
        learner.freeze_below("layer3").unwrap();
        learner.fit(&set, &options(5), go_on).unwrap().losses()
    };
    let mut straight = start();
    straight.save(&path).unwrap();
    let losses = thaw(&mut straight);
    let mut resumed = Learner::resume(gpu(), &path).unwrap();
    assert_eq!(thaw(&mut resumed), losses);
    assert_eq!(bits(&resumed), bits(&straight));

    let mut forgetful = start();
    forgetful.reset_optimizer();
    assert_ne!(thaw(&mut forgetful), losses, "momentum made no difference");
}

#[test]
fn checkpoints_are_written_on_the_way_and_tell_all() {
    let set = images(18);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut learner = learner(7);
    learner.set_normalization(&[0.25], &[0.5]).unwrap();
    learner.freeze("stem").unwrap();
    learner.set_batch_norm(BatchNormMode::Running);
    let options = options(6).checkpoint(&path, 4);
    let mut written = vec![];
    learner
        .fit(&set, &options, |progress| {
            written.push(path.exists());
            match progress.step {
                4 => assert!(Learner::resume(gpu(), &path).is_ok()),
                5 => return ControlFlow::Break(()),
                _ => {}
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(written, [false, false, false, true, true]);
    assert_eq!(learner.last_checkpoint(), Some(path.as_path()));

    // Stopped at 5: saved there, too.
    let mut resumed = Learner::resume(gpu(), &path).unwrap();
    assert_eq!(bits(&resumed), bits(&learner));
    assert_eq!(resumed.preprocessing(), learner.preprocessing());
    assert_eq!(resumed.model(), learner.model());
    assert!(resumed.frozen().eq(learner.frozen()));
    let rest = resumed.continue_fit(&set, &options, go_on).unwrap();
    assert_eq!(rest.records.len(), 1);
    assert_eq!(learner.continue_fit(&set, &options, go_on).unwrap(), rest);
}

/// Images that request a stop after some batches were taken outside training.
struct Impatient {
    images: ImageSet,
    flag: Arc<AtomicBool>,
    left: AtomicUsize,
}

impl Source for Impatient {
    fn shape(&self) -> [usize; 3] {
        Source::shape(&self.images)
    }
    fn classes(&self) -> &[String] {
        &self.images.classes
    }
    fn labels(&self) -> &[u32] {
        &self.images.labels
    }
    fn gather(
        &self,
        indices: &[usize],
        state: Option<BatchState>,
        out: &mut Batch,
    ) -> Result<(), frostline_loader::Error> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.flag.store(true, Ordering::SeqCst);
        }
        Source::gather(&self.images, indices, state, out)
    }
}

/// In the first batch of the second validation, in its last but one, and in that of the last step.
#[test]
fn a_run_that_is_stopped_in_a_validation_makes_up_for_it() {
    let (set, calm) = (images(18), images(12));
    let folder = tempfile::tempdir().unwrap();
    let files =
        |name: &str| [format!("{name}.last"), format!("{name}.best")].map(|name| folder.path().join(name));
    let with = |name: &str| {
        let [last, best] = files(name);
        options(9).checkpoint(last, 3).keep_best(best)
    };
    let narrow = || {
        let mut learner = learner(1);
        learner.freeze_below("layer3").unwrap();
        learner.set_evaluation_batch(4);
        learner
    };
    let mut whole = narrow();
    let history = whole.fit(&set, &with("whole").validate(&calm, 3), go_on).unwrap();
    // Three batches a validation; the next one is gathered before the flag is checked.
    for (batches, step) in [(4, 6), (5, 6), (7, 9)] {
        let flag = Arc::new(AtomicBool::new(false));
        let impatient = Impatient { images: images(12), flag: flag.clone(), left: AtomicUsize::new(batches) };
        let mut learner = narrow();
        let options = with("stopped").validate(&impatient, 3).stop_when(flag);
        let first = learner.fit(&set, &options, go_on).unwrap();
        assert!(!first.finished && first.evaluations.len() as u64 == step / 3 - 1, "{batches}: {first:?}");
        assert_eq!(first.records.len() as u64, step);

        let mut resumed = Learner::resume(gpu(), &files("stopped")[0]).unwrap();
        resumed.set_evaluation_batch(4);
        let rest = resumed.continue_fit(&set, &with("stopped").validate(&calm, 3), go_on).unwrap();
        assert!(rest.finished);
        assert_eq!([first.evaluations, rest.evaluations].concat(), history.evaluations);
        assert_eq!([first.records, rest.records].concat(), history.records);
        for (stopped, whole) in files("stopped").iter().zip(&files("whole")) {
            assert!(
                std::fs::read(stopped).unwrap() == std::fs::read(whole).unwrap(),
                "{batches}: {stopped:?}"
            );
        }
    }
}

#[test]
fn another_run_is_not_taken_for_the_interrupted_one() {
    let set = images(18);
    let mut learner = learner(1);
    learner.fit(&set, &options(6), stop_at(2)).unwrap();
    let mut refused = |set, options| match learner.continue_fit(&set, &options, go_on) {
        Err(Error::OtherRun { setting, saved, given }) => (setting, saved, given),
        other => panic!("{other:?}"),
    };
    let batch = refused(images(18), options(6).batch(5));
    assert_eq!(batch, ("batch".to_owned(), "4".to_owned(), "5".to_owned()));
    assert_eq!(refused(images(18), options(6).lr(0.1)).0, "learning rate");
    assert_eq!(refused(images(21), options(6)).0, "data");
    assert_eq!(refused(images(18), options(6).storage(Storage::f16())).0, "storage");
    assert_eq!(refused(images(18), options(6).augment(shifting())).0, "augmentation");
    assert_eq!(refused(images(18), options(6).mixup(0.2)).0, "mixup");
    assert_eq!(refused(images(18), options(6).class_weights(vec![1.0, 1.0, 2.0])).0, "class weights");
    // Reading and saving may differ: they change nothing.
    assert!(learner.continue_fit(&set, &options(6).read_every(1), go_on).unwrap().finished);
}

#[test]
fn a_file_that_is_no_learner_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    learner(1).save(&path).unwrap();
    let good = frostline_loader::Checkpoint::load(&path).unwrap();

    let mut other = good.clone();
    other.architecture = "resnet50".to_owned();
    other.save(&path).unwrap();
    let error = Learner::resume(gpu(), &path).unwrap_err();
    assert!(error.to_string().contains("resnet50"), "{error}");

    let mut fewer = good.clone();
    fewer.classes.pop();
    fewer.save(&path).unwrap();
    let error = Learner::resume(gpu(), &path).unwrap_err();
    assert!(error.to_string().contains("2 classes are named"), "{error}");

    let mut plain = good;
    plain.extra.clear();
    plain.save(&path).unwrap();
    assert!(matches!(Learner::resume(gpu(), &path), Err(Error::Checkpoint { .. })));
}
