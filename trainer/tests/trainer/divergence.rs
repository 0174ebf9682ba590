use std::ops::ControlFlow;

use frostline_engine::{LossScale, Storage};
use frostline_trainer::{Error, Learner, Progress};

use crate::setup::{bits, go_on, gpu, images, learner, options};

fn spoil(learner: &Learner, name: &str, value: f32) {
    let mut values = learner.params().get(name).unwrap();
    values[0] = value;
    learner.params().set(name, &values).unwrap();
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_leaves_weights_and_file() {
    let set = images(18);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut learner = learner(1);
    learner.fit(&set, &options(2).checkpoint(&path, 1), go_on).unwrap();
    let good = std::fs::read(&path).unwrap();

    spoil(&learner, "layer2.0.conv2.weight", f32::NAN);
    let before = bits(&learner);
    let options = options(8).read_every(3).checkpoint(&path, 4);
    let error = learner.fit(&set, &options, go_on).unwrap_err();
    let Error::Diverged { step, layer, parameter, checkpoint, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*step, 1);
    assert_eq!(layer.as_deref(), Some("layer2.0.conv2"));
    assert_eq!(parameter.as_deref(), Some("layer2.0.conv2.weight"));
    assert_eq!(checkpoint.as_deref(), Some(path.as_path()));
    let text = error.to_string();
    for part in ["step 1", "layer2.0.conv2", "run.safetensors"] {
        assert!(text.contains(part), "{text}");
    }
    let weights = |bits: Vec<(String, Vec<u32>)>| -> Vec<_> {
        bits.into_iter().filter(|(name, _)| !name.contains("running")).collect()
    };
    assert_eq!(weights(bits(&learner)), weights(before), "the guard let a step through");
    assert_eq!(std::fs::read(&path).unwrap(), good);
    assert!(matches!(learner.continue_fit(&set, &options, go_on), Err(Error::NoRun)));

    let mut back = Learner::resume(gpu(), &path).unwrap();
    assert!(back.fit(&set, &options, go_on).is_ok());
}

#[test]
fn an_overflow_is_found_at_the_step_where_it_happened() {
    let set = images(18);
    let mut learner = learner(1);
    let options = options(6).read_every(4);
    let stop_at_2 = |progress: &Progress<'_>| match progress.step {
        2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    learner.fit(&set, &options, stop_at_2).unwrap();
    // Finite, but its products are not. (In a convolution, batch norm would scale it away.)
    let count = learner.params().get("fc.weight").unwrap().len();
    learner.params().set("fc.weight", &vec![3e38; count]).unwrap();
    let error = learner.continue_fit(&set, &options, go_on).unwrap_err();
    let Error::Diverged { step, layer, parameter, checkpoint, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*step, layer.as_deref()), (3, Some("fc")));
    assert_eq!(*parameter, None, "every parameter is finite");
    assert_eq!(*checkpoint, None);
    assert!(error.to_string().contains("no checkpoint"), "{error}");
}

#[test]
fn weights_that_are_not_finite_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut learner = learner(1);
    learner.save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    spoil(&learner, "bn1.running_var", f32::INFINITY);
    let error = learner.save(&path).unwrap_err();
    assert!(matches!(&error, Error::NotSaved { tensor, .. } if tensor == "bn1.running_var"));
    assert_eq!(std::fs::read(&path).unwrap(), good);
}

#[test]
fn a_rate_that_is_too_high_stops_the_run_and_the_checkpoint_before_it_goes_on() {
    let set = images(18);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.safetensors");
    let mut learner = learner(1);
    learner.fit(&set, &options(4).checkpoint(&path, 4), go_on).unwrap();
    let (good, before) = (std::fs::read(&path).unwrap(), bits(&learner));
    // A checkpoint is due at step 8 only; the weights overflow long before that.
    let error =
        learner.fit(&set, &options(8).lr(1e30).read_every(3).checkpoint(&path, 8), go_on).unwrap_err();
    let Error::Diverged { step, layer, checkpoint, .. } = &error else {
        panic!("{error}");
    };
    assert!((2..=4).contains(step), "the first loss is that of good weights: {error}");
    assert!(layer.is_some(), "{error}");
    assert_eq!(checkpoint.as_deref(), Some(path.as_path()));
    assert_eq!(std::fs::read(&path).unwrap(), good);
    let mut back = Learner::resume(gpu(), &path).unwrap();
    assert!(bits(&back) == before);
    assert!(back.fit(&set, &options(8), go_on).is_ok());
}

#[test]
fn a_weight_that_is_no_number_is_named_wherever_it_is() {
    let set = images(18);
    // After a ReLU that would hide it, in folded, frozen and trained layers.
    for (name, layer) in [
        ("conv1.weight", "conv1"),
        ("bn1.bias", "bn1"),
        ("layer1.0.bn2.running_mean", "layer1.0.bn2"),
        ("layer3.0.downsample.0.weight", "layer3.0.downsample.0"),
        ("layer4.0.bn1.weight", "layer4.0.bn1"),
        ("fc.bias", "fc"),
    ] {
        let mut learner = learner(1);
        learner.freeze_below("layer4").unwrap();
        spoil(&learner, name, f32::NAN);
        let error = learner.fit(&set, &options(3), go_on).unwrap_err();
        let Error::Diverged { step: 1, layer: Some(found), parameter, .. } = &error else {
            panic!("{name}: {error}");
        };
        assert_eq!(parameter.as_deref(), Some(name));
        // A folded batch norm is part of its convolution.
        let convolution = layer.replace("bn", "conv");
        assert!(found == layer || *found == convolution, "{name}: {error}");
    }
}

/// Gradients that overflow f16 at every step: no step is taken, and the run ends with a reason.
#[test]
fn a_fixed_loss_scale_that_never_fits_ends_the_run() {
    if !gpu().has_f16() {
        eprintln!("skipped: {} has no 16-bit floats", gpu().describe());
        return;
    }
    let mut learner = learner(1);
    let before = learner.snapshot().unwrap();
    let storage = Storage::F16 { loss_scale: LossScale::fixed(1 << 24) };
    let options = options(60).storage(storage).read_every(10);
    let error = learner.fit(&images(18), &options, go_on).unwrap_err();
    let Error::GradientOverflow { step: 30, skipped: 30, scale: 16_777_216, checkpoint: None } = &error
    else {
        panic!("{error:?}");
    };
    assert!(error.to_string().contains("loss scale of 16777216"), "{error}");
    for moved in learner.updates_since(&before).unwrap() {
        assert_eq!(moved.relative, 0.0, "{} moved", moved.stage);
    }
}
