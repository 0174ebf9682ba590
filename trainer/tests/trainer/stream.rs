//! Photos that are decoded during the computation give the same training as photos in memory.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;

use frostline_loader::{
    BatchState, Error as LoaderError, ImageFolder, ImageSet, ImageStream, OnCorrupt, StreamOptions,
};
use frostline_trainer::{Batch, Source};

use crate::setup::{bits, go_on, images, learner, options};

/// The images of a set, each in a file of its class's folder.
fn write(set: &ImageSet, root: &Path) {
    for (i, &label) in set.labels.iter().enumerate() {
        let folder = root.join(&set.classes[label as usize]);
        std::fs::create_dir_all(&folder).unwrap();
        let single = set.subset(&[i]).unwrap();
        let (png, _) = single.to_sheet(1).unwrap();
        std::fs::write(folder.join(format!("{i:02}.png")), png).unwrap();
    }
}

#[test]
fn a_stream_trains_to_the_same_bits_as_a_set_in_memory() {
    let root = tempfile::tempdir().unwrap();
    write(&images(18), root.path());
    let mut folder = ImageFolder::open(root.path(), OnCorrupt::Fail).unwrap();
    let preprocessing = learner(0).preprocessing().clone();
    let set = folder.load_all(&preprocessing).unwrap();
    let train = |source: &dyn Source, cache: bool| {
        let mut learner = learner(1);
        learner.freeze_below("layer4").unwrap();
        let history =
            learner.fit(source, &options(11).validate(source, 5).cache_frozen(cache), go_on).unwrap();
        (history.losses(), history.evaluations, bits(&learner))
    };
    for cache in [false, true] {
        let expected = train(&set, cache);
        for cache_bytes in [0, 1 << 20] {
            let stream = ImageStream::new(
                &folder,
                &preprocessing,
                StreamOptions { workers: 2, ahead: 6, cache_bytes },
            )
            .unwrap();
            assert!(train(&stream, cache) == expected, "cache_frozen {cache}, {cache_bytes} bytes of cache");
        }
    }
}

/// Compares the requested images with the announced ones.
struct Watched {
    set: ImageSet,
    announced: RefCell<Option<Vec<usize>>>,
    checked: RefCell<usize>,
}

impl Source for Watched {
    fn shape(&self) -> [usize; 3] {
        Source::shape(&self.set)
    }

    fn classes(&self) -> &[String] {
        &self.set.classes
    }

    fn labels(&self) -> &[u32] {
        &self.set.labels
    }

    fn gather(&self, indices: &[usize], _: Option<BatchState>, out: &mut Batch) -> Result<(), LoaderError> {
        if let Some(announced) = self.announced.take() {
            // The last batch of an evaluation is padded.
            let mut distinct = indices.to_vec();
            distinct.dedup();
            assert!(announced.starts_with(&distinct), "announced {announced:?}, wanted {indices:?}");
            *self.checked.borrow_mut() += 1;
        }
        self.set.gather(indices, out.bytes())
    }

    fn expect(&self, indices: &[usize]) {
        self.announced.replace(Some(indices.to_vec()));
    }
}

/// Over the ends of epochs, too: an epoch is 4 batches of 4.
#[test]
fn every_batch_is_announced_before_it_is_wanted() {
    let watched = || Watched { set: images(18), announced: RefCell::default(), checked: RefCell::default() };
    let source = watched();
    learner(1).fit(&source, &options(11), go_on).unwrap();
    assert_eq!(*source.checked.borrow(), 10);

    // The next batch was submitted before the losses are read, so the device has work meanwhile.
    let source = watched();
    let mut given = vec![];
    learner(1)
        .fit(&source, &options(11).read_every(3), |progress| {
            if !progress.read.is_empty() {
                given.push((progress.step, *source.checked.borrow()));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(given, [(3, 3), (6, 6), (9, 9), (11, 10)], "all batches but the first count");

    let source = watched();
    let mut learner = learner(1);
    learner.set_evaluation_batch(4);
    learner.evaluate(&source).unwrap();
    assert_eq!(*source.checked.borrow(), 4);
    assert_eq!(source.announced.take(), Some(vec![]), "after the last batch nothing is left to decode");
}
