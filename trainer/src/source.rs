//! Where batches come from.

use frostline_loader::{BatchState, Error as LoaderError, ImageSet, ImageStream};

use crate::prefix::Activations;

/// Images with labels that a learner can be given, in batches.
///
/// [`ImageSet`] is one, in memory; [`ImageStream`] reads a folder as it goes; [`Activations`] are
/// images that frozen stages have seen. A source that changes images at random (augmentation) is
/// another: it draws from the [`BatchState`] it is given and from nothing else, so that a resumed
/// run sees what the uninterrupted one saw.
pub trait Source {
    /// Height, width and channels of every image.
    fn shape(&self) -> [usize; 3];

    /// Names of the classes.
    fn classes(&self) -> &[String];

    /// The class of each image; as many as there are images.
    fn labels(&self) -> &[u32];

    /// Replaces what `out` holds by the images of a batch, in NHWC order, normalised as
    /// `(byte/255 − mean) / std` per channel. `state` is the batch's place in the run; `None`
    /// outside training, where nothing may be random.
    ///
    /// # Errors
    /// For an index that there is not, or a mean and deviation that do not fit the channels.
    fn gather(
        &self,
        indices: &[usize],
        state: Option<BatchState>,
        mean: &[f32],
        std: &[f32],
        out: &mut Vec<f32>,
    ) -> Result<(), LoaderError>;

    /// Is told after every batch which images will be wanted next, in their order, so that it can get
    /// them ready while the device computes. It need not, and what it was told may turn out wrong: a
    /// run can be stopped.
    fn expect(&self, _indices: &[usize]) {}

    /// Names what is random about the images, if anything is. Features computed once would leave
    /// it out without a word, so caching refuses such a source.
    fn stochastic(&self) -> Option<&str> {
        None
    }

    /// The outputs of a stage that stand for the images, if the source has them.
    fn activations(&self) -> Option<&Activations> {
        None
    }
}

/// How many batches a source is told of beforehand: enough to keep every worker busy.
const LOOK_AHEAD: usize = 4;

/// The images of the next batches, for [`Source::expect`].
pub(crate) fn upcoming(batches: impl Iterator<Item = Vec<usize>>) -> Vec<usize> {
    batches.take(LOOK_AHEAD).flatten().collect()
}

impl Source for ImageSet {
    fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn gather(
        &self,
        indices: &[usize],
        _state: Option<BatchState>,
        mean: &[f32],
        std: &[f32],
        out: &mut Vec<f32>,
    ) -> Result<(), LoaderError> {
        ImageSet::gather(self, indices, mean, std, out)
    }
}

impl Source for ImageStream {
    fn shape(&self) -> [usize; 3] {
        ImageStream::shape(self)
    }

    fn classes(&self) -> &[String] {
        ImageStream::classes(self)
    }

    fn labels(&self) -> &[u32] {
        ImageStream::labels(self)
    }

    fn gather(
        &self,
        indices: &[usize],
        _state: Option<BatchState>,
        mean: &[f32],
        std: &[f32],
        out: &mut Vec<f32>,
    ) -> Result<(), LoaderError> {
        ImageStream::gather(self, indices, mean, std, out)
    }

    fn expect(&self, indices: &[usize]) {
        ImageStream::expect(self, indices);
    }
}
