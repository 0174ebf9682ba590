//! Which images go into which step.
//!
//! The engine's plans have a fixed batch size. Training therefore drops the images that do not fill a last
//! batch. They differ from epoch to epoch, because the order does. Evaluation must use every image exactly
//! once, so it pads the last batch and returns how many of its images count.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::shuffle::permutation;

/// An endless sequence of training batches: each epoch has a new order of all images, which depends only on
/// the seed and the number of the epoch.
#[derive(Clone, Debug)]
pub struct Batches {
    len: usize,
    batch: usize,
    state: BatchState,
    order: Vec<usize>,
}

/// A position in the sequence of batches, to save and to continue from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchState {
    /// Seed of the sequence.
    pub seed: u64,
    /// Epochs completed before this one.
    pub epoch: u64,
    /// Batches already delivered in this epoch.
    pub position: usize,
}

impl Batches {
    /// Batches of `batch` out of `len` images.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] if either is 0, [`Error::BatchTooLarge`] if there are fewer images than a batch.
    pub fn new(len: usize, batch: usize, seed: u64) -> Result<Self, Error> {
        let start = BatchState { seed, epoch: 0, position: 0 };
        Self::restore(len, batch, start)
    }

    /// Continues where [`Batches::state`] was taken; the batches that follow are the same.
    ///
    /// # Errors
    /// As [`Batches::new`]; [`Error::BatchPosition`] if an epoch has fewer batches.
    pub fn restore(len: usize, batch: usize, state: BatchState) -> Result<Self, Error> {
        if batch == 0 || len == 0 {
            return Err(Error::EmptyBatch { batch, len });
        }
        if batch > len {
            return Err(Error::BatchTooLarge { batch, len });
        }
        let per_epoch = len / batch;
        if state.position >= per_epoch {
            return Err(Error::BatchPosition { position: state.position, per_epoch });
        }
        Ok(Self { len, batch, state, order: permutation(len, state.seed, state.epoch) })
    }

    /// The indices of the next batch's images, `batch` of them, without advancing.
    pub fn peek(&self) -> &[usize] {
        &self.order[self.state.position * self.batch..][..self.batch]
    }

    /// The indices of the next batch's images, `batch` of them.
    pub fn next_batch(&mut self) -> Vec<usize> {
        let indices = self.peek().to_vec();
        self.state.position += 1;
        if self.state.position == self.per_epoch() {
            self.state.position = 0;
            self.state.epoch = self.state.epoch.wrapping_add(1);
            self.order = permutation(self.len, self.state.seed, self.state.epoch);
        }
        indices
    }

    /// Number of batches in an epoch: the images over the batch size, rounded down.
    pub fn per_epoch(&self) -> usize {
        self.len / self.batch
    }

    /// The source state of the next batch.
    pub fn state(&self) -> BatchState {
        self.state
    }
}

impl Iterator for Batches {
    type Item = Vec<usize>;

    /// Never `None`.
    fn next(&mut self) -> Option<Vec<usize>> {
        Some(self.next_batch())
    }
}

/// One batch of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalBatch {
    /// Indices of images, always a full batch; the last image is repeated to fill it.
    pub indices: Vec<usize>,
    /// How many of them count, from the first.
    pub count: usize,
}

/// All images once, in order, in batches of `batch`; none if `len` is 0.
///
/// # Errors
/// [`Error::EmptyBatch`] if `batch` is 0.
pub fn eval_batches(len: usize, batch: usize) -> Result<impl ExactSizeIterator<Item = EvalBatch>, Error> {
    if batch == 0 {
        return Err(Error::EmptyBatch { batch, len });
    }
    Ok((0..len.div_ceil(batch)).map(move |number| {
        let begin = number * batch;
        EvalBatch {
            indices: (begin..begin + batch).map(|i| i.min(len - 1)).collect(),
            count: batch.min(len - begin),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_shows_no_image_twice_and_drops_the_rest() {
        let mut batches = Batches::new(11, 4, 7).unwrap();
        let mut seen = [batches.next_batch(), batches.next_batch()].concat();
        assert_eq!(batches.state().epoch, 1);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 8);
    }

    #[test]
    fn each_epoch_and_seed_has_its_own_order() {
        let epochs: Vec<_> = Batches::new(64, 64, 7).unwrap().take(3).collect();
        assert_ne!(epochs[0], epochs[1]);
        assert_ne!(epochs[1], epochs[2]);
        assert_ne!(epochs[0], Batches::new(64, 64, 8).unwrap().next_batch());
        assert_eq!(epochs[0], Batches::new(64, 64, 7).unwrap().next_batch());
    }

    #[test]
    fn continues_from_every_place_as_if_never_interrupted() {
        let mut batches = Batches::new(10, 3, 1).unwrap();
        for _ in 0..8 {
            let json = serde_json::to_string(&batches.state()).unwrap();
            let mut resumed = Batches::restore(10, 3, serde_json::from_str(&json).unwrap()).unwrap();
            assert_eq!(resumed.peek(), batches.clone().next_batch());
            for (expected, actual) in batches.clone().zip(&mut resumed).take(7) {
                assert_eq!(expected, actual);
            }
            batches.next_batch();
        }
    }

    #[test]
    fn a_batch_larger_than_the_set_says_both_numbers() {
        let text = Batches::new(5, 32, 0).unwrap_err().to_string();
        assert!(text.contains("32") && text.contains('5'), "{text}");
        assert!(matches!(Batches::new(0, 1, 0), Err(Error::EmptyBatch { .. })));
        assert!(matches!(Batches::new(5, 0, 0), Err(Error::EmptyBatch { .. })));
        assert!(matches!(eval_batches(5, 0).map(|_| ()), Err(Error::EmptyBatch { .. })));
    }

    #[test]
    fn a_place_beyond_the_epoch_is_refused() {
        let state = BatchState { seed: 0, epoch: 3, position: 2 };
        assert!(Batches::restore(10, 4, state).is_err());
        assert!(Batches::restore(12, 4, state).is_ok());
    }

    #[test]
    fn evaluation_counts_every_image_once() {
        for (len, batch) in [(0, 4), (1, 4), (4, 4), (5, 4), (8, 3), (3, 1)] {
            let batches: Vec<_> = eval_batches(len, batch).unwrap().collect();
            let counted = batches.iter().flat_map(|b| &b.indices[..b.count]).copied();
            assert!(counted.eq(0..len));
            assert!(batches.iter().all(|b| b.indices.len() == batch));
            assert!(batches.iter().flat_map(|b| &b.indices).all(|&i| i < len));
        }
    }
}
