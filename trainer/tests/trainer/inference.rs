use frostline_loader::{BatchState, ImageSet};
use frostline_trainer::{Batch, Error, Features, Learner, Source};

use crate::setup::{go_on, gpu, images, learner, model, options};

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * a.abs().max(1.0)
}

#[test]
fn a_short_last_batch_counts_like_any_other() {
    let set = images(7);
    let mut learner = learner(1);
    learner.fit(&images(18), &options(10), go_on).unwrap();
    learner.set_evaluation_batch(4); // 7 images: a batch of 4 and one of 3
    let together = learner.evaluate(&set).unwrap();
    learner.set_evaluation_batch(1);
    let one_by_one = learner.evaluate(&set).unwrap();
    assert_eq!(together.predictions, one_by_one.predictions);
    assert_eq!(together.confusion, one_by_one.confusion);
    assert!(close(together.loss, one_by_one.loss), "{} {}", together.loss, one_by_one.loss);

    // Compared with a direct computation: mean −ln p and share of hits.
    let predictions = learner.predict(&set).unwrap();
    let p = |i: usize| predictions[i].probabilities[set.labels[i] as usize];
    let loss = (0..7).map(|i| -p(i).ln()).sum::<f64>() / 7.0;
    assert!(close(loss, together.loss));
    let hits = (0..7).filter(|&i| predictions[i].class == set.labels[i]).count();
    assert!(close(together.accuracy, hits as f64 / 7.0));
    let parts = together.per_class();
    assert_eq!(parts.len(), 3);
    assert!(predictions.iter().all(|p| close(p.probabilities.iter().sum(), 1.0)));
}

/// 64 of these images have first activations of 144 MiB, and many adapters bind 128 at most.
#[test]
fn a_batch_that_the_adapter_cannot_bind_is_divided() {
    let size = 192;
    let small = images(64);
    let pixels = (0..64 * size * size).map(|i| small.images[i % small.images.len()]).collect();
    let set = ImageSet { height: size, width: size, images: pixels, ..small };
    let mut learner = Learner::new(gpu(), model().width(16), size, 0).unwrap();
    let features = learner.features(&set, "stem", 1).unwrap();
    learner.set_evaluation_batch(8);
    let expected = learner.features(&set, "stem", 1).unwrap();
    assert!(expected.values.iter().any(|value| *value > 0.0));
    assert!(features.values.iter().zip(&expected.values).all(|(a, b)| close((*a).into(), (*b).into())));
}

#[test]
fn evaluation_sees_the_weights_of_now() {
    let set = images(9);
    let mut learner = learner(1);
    let before = learner.evaluate(&set).unwrap();
    learner.fit(&images(18), &options(6), go_on).unwrap();
    let after = learner.evaluate(&set).unwrap();
    assert_ne!(before.loss, after.loss);
    assert_eq!(learner.evaluate(&set).unwrap(), after);
    let none = set.subset(&[]).unwrap();
    assert!(matches!(learner.evaluate(&none), Err(Error::NoImages { .. })));
}

#[test]
fn features_are_means_of_a_stage() {
    let set = images(5);
    let mut learner = learner(1);
    let whole = learner.features(&set, "layer2", 4).unwrap(); // 8 channels of 4 x 4
    let cells = learner.features(&set, "layer2", 2).unwrap();
    let pooled = learner.features(&set, "layer2", 1).unwrap();
    assert_eq!((whole.width, cells.width, pooled.width), (8 * 16, 8 * 4, 8));
    assert_eq!(pooled.labels, set.labels);
    for i in 0..5 {
        for c in 0..8 {
            let plane = &whole.row(i)[16 * c..16 * (c + 1)];
            let mean = plane.iter().sum::<f32>() / 16.0;
            assert!((pooled.row(i)[c] - mean).abs() < 1e-5);
            let corner = (plane[0] + plane[1] + plane[4] + plane[5]) / 4.0;
            assert!((cells.row(i)[4 * c] - corner).abs() < 1e-5);
        }
    }
    assert!(pooled.values.iter().any(|value| *value > 0.0));
    assert_eq!(learner.features(&set, "avgpool", 1).unwrap().width, 32);
    assert!(matches!(learner.features(&set, "layer9", 1), Err(Error::UnknownGroup { .. })));
    assert!(matches!(learner.features(&set, "layer2", 5), Err(Error::Setting { .. })));
}

/// The device normalises, so a plan that was made before is made again.
#[test]
fn another_normalization_counts_from_the_next_image_on() {
    let set = images(9);
    let mut changed = learner(1);
    let before = changed.logits(&set).unwrap();
    changed.set_normalization(&[0.25], &[0.5]).unwrap();
    let mut fresh = learner(1);
    fresh.set_normalization(&[0.25], &[0.5]).unwrap();
    let after = changed.logits(&set).unwrap();
    assert_eq!(after, fresh.logits(&set).unwrap());
    assert_ne!(after, before);
}

/// Shifts images by a random number of pixels, or only reports that it does.
struct Shifted(ImageSet);

impl Source for Shifted {
    fn shape(&self) -> [usize; 3] {
        self.0.shape()
    }
    fn classes(&self) -> &[String] {
        &self.0.classes
    }
    fn labels(&self) -> &[u32] {
        &self.0.labels
    }
    fn gather(
        &self,
        indices: &[usize],
        state: Option<BatchState>,
        out: &mut Batch,
    ) -> Result<(), frostline_loader::Error> {
        Source::gather(&self.0, indices, state, out)?;
        if let Some(state) = state {
            out.bytes().rotate_left(state.position % 3);
        }
        Ok(())
    }
    fn stochastic(&self) -> Option<&str> {
        Some("a random shift")
    }
}

#[test]
fn random_images_are_trained_on_but_not_cached() {
    let set = Shifted(images(18));
    let mut learner = learner(1);
    let losses = learner.fit(&set, &options(4), go_on).unwrap().losses();
    let plain = crate::setup::learner(1).fit(&set.0, &options(4), go_on).unwrap().losses();
    assert_eq!(losses[0], plain[0], "position 0 shifts by nothing");
    assert_ne!(losses[1], plain[1]);
    let error = learner.features(&set, "layer2", 1).unwrap_err();
    assert!(error.to_string().contains("a random shift"), "{error}");
    assert!(matches!(Features::pixels(&set, &[0.5], &[0.5]), Err(Error::StochasticCache { .. })));
}
