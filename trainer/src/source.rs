//! The sources of batches.

use frostline_engine::Session;
use frostline_loader::{BatchState, Error as LoaderError, ImageSet, ImageStream, normalize};

use crate::error::Result as TrainerResult;
use crate::prefix::Activations;

/// The values of a batch as they are sent to the device: (N, H, W, C) without padding.
#[derive(Clone, Debug, PartialEq)]
pub enum Batch {
    /// Images of bytes, which the device normalises.
    Bytes(Vec<u8>),
    /// Values that are already floats: outputs of a stage, features.
    Floats(Vec<f32>),
}

impl Default for Batch {
    fn default() -> Self {
        Self::Bytes(vec![])
    }
}

impl Batch {
    /// The bytes, to be replaced; the memory of an earlier batch of bytes is used again.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        if !matches!(self, Self::Bytes(_)) {
            *self = Self::Bytes(vec![]);
        }
        let Self::Bytes(bytes) = self else { unreachable!("this was set to bytes just above") };
        bytes
    }

    /// The floats, to be replaced; the memory of an earlier batch of floats is used again.
    pub fn floats(&mut self) -> &mut Vec<f32> {
        if !matches!(self, Self::Floats(_)) {
            *self = Self::Floats(vec![]);
        }
        let Self::Floats(floats) = self else { unreachable!("this was set to floats just above") };
        floats
    }

    /// Gives the batch to `session`.
    ///
    /// # Errors
    /// If it is not of the session's size or kind.
    pub fn write(&self, session: &Session) -> TrainerResult<()> {
        match self {
            Self::Bytes(bytes) => session.write_pixels(bytes)?,
            Self::Floats(floats) => session.write_input(floats)?,
        }
        Ok(())
    }
}

/// Images with labels that a learner can be given, in batches.
///
/// [`ImageSet`] is in memory; [`ImageStream`] reads a folder during training; [`Activations`] are outputs of
/// frozen stages. A source may also change images at random (augmentation). It must draw only from the
/// [`BatchState`] it is given, so that a resumed run uses the same images as an uninterrupted run.
pub trait Source {
    /// Height, width and channels of every image.
    fn shape(&self) -> [usize; 3];

    /// Names of the classes.
    fn classes(&self) -> &[String];

    /// The class of each image; as many as there are images.
    fn labels(&self) -> &[u32];

    /// Replaces what `out` contains by the images of a batch: [`Batch::Bytes`], or [`Batch::Floats`] where
    /// [`Source::activations`] replace the images. `state` is the batch's place in the run; `None` outside
    /// training, where nothing may be random.
    ///
    /// # Errors
    /// For an index out of range.
    fn gather(
        &self,
        indices: &[usize],
        state: Option<BatchState>,
        out: &mut Batch,
    ) -> Result<(), LoaderError>;

    /// Called after every batch with the images that will be needed next, in their order, so that they can be
    /// prepared while the device computes. This is optional. The images may turn out not to be needed,
    /// because a run can be stopped.
    fn expect(&self, _indices: &[usize]) {}

    /// Names the random change of the images, if there is one. Features that are computed once would silently
    /// lack it, so caching refuses such a source.
    fn stochastic(&self) -> Option<&str> {
        None
    }

    /// The outputs of a stage that replace the images, if the source has them.
    fn activations(&self) -> Option<&Activations> {
        None
    }
}

/// Number of batches that are announced to a source in advance: enough to keep every worker busy.
const LOOK_AHEAD: usize = 4;

/// The images of the next batches, for [`Source::expect`].
pub(crate) fn upcoming(batches: impl Iterator<Item = Vec<usize>>) -> Vec<usize> {
    batches.take(LOOK_AHEAD).flatten().collect()
}

/// The values of these images as a network's input, normalised on the host, for callers that need the values
/// of single pixels.
pub(crate) fn normalized(
    source: &dyn Source,
    indices: &[usize],
    mean: &[f32],
    std: &[f32],
) -> TrainerResult<Vec<f32>> {
    let mut batch = Batch::default();
    source.gather(indices, None, &mut batch)?;
    Ok(match batch {
        Batch::Bytes(bytes) => normalize(&bytes, source.shape()[2], mean, std)?,
        Batch::Floats(floats) => floats,
    })
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

    fn gather(&self, indices: &[usize], _: Option<BatchState>, out: &mut Batch) -> Result<(), LoaderError> {
        ImageSet::gather(self, indices, out.bytes())
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

    fn gather(&self, indices: &[usize], _: Option<BatchState>, out: &mut Batch) -> Result<(), LoaderError> {
        ImageStream::gather(self, indices, out.bytes())
    }

    fn expect(&self, indices: &[usize]) {
        ImageStream::expect(self, indices);
    }
}
