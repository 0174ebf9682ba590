//! Class activation maps (Zhou et al. 2016, "Learning Deep Features for Discriminative Localization").
//!
//! All networks here end in a mean over positions and a linear layer. The two can be exchanged: a class's
//! logit is its bias plus the mean, over the positions (y, x) of the last stage's output a, of Σ_c w\[class,
//! c\]·a\[y, x, c\]. This sum, as a function of (y, x), is the class's map: how much each part of the photo
//! adds to the logit. It needs no gradient and is exact.

use crate::error::Result;
use crate::evaluate::Prediction;
use crate::inference::Inference;
use crate::learner::{Cut, Learner};
use crate::prefix::channels_last;
use frostline_engine::blocking::block_on;

/// Classifies single images, and keeps what the maps are computed from, at the cost of one pass through the
/// network. Made by [`Learner::class_activation`]; it borrows the learner, so that the weights stay as they
/// are.
pub struct ClassActivation<'a> {
    /// The borrow that keeps the weights unchanged.
    _learner: &'a Learner,
    /// From the image to the last stage.
    body: Inference,
    /// Height, width and channels of that stage's output.
    shape: [usize; 3],
    /// The mean and the last layer.
    head: Inference,
    /// (classes, channels).
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// The result for one image. See [`ClassActivation::look`].
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// Bit-identical to the result of [`Learner::predict`] for the image.
    pub prediction: Prediction,
    /// The logits of the last layer, one per class.
    pub logits: Vec<f32>,
    shape: [usize; 3],
    /// The last stage's output: (height, width, channels).
    values: Vec<f32>,
    weight: &'a [f32],
    bias: &'a [f32],
}

impl Look<'_> {
    /// Height and width of a map, which covers the whole image that the network took.
    pub fn size(&self) -> [usize; 2] {
        [self.shape[0], self.shape[1]]
    }

    /// The map of `class`, row by row: its mean plus the class's bias is the class's logit.
    ///
    /// # Panics
    /// If there is no such class, as indexing does.
    pub fn map(&self, class: usize) -> Vec<f64> {
        let channels = self.shape[2];
        let weight = &self.weight[class * channels..][..channels];
        let sum = |place: &[f32]| place.iter().zip(weight).map(|(a, w)| f64::from(*a) * f64::from(*w)).sum();
        self.values.chunks_exact(channels).map(sum).collect()
    }

    /// The bias of `class`: its logit if the last stage's output is zero.
    ///
    /// # Panics
    /// If there is no such class, as indexing does.
    pub fn bias(&self, class: usize) -> f32 {
        self.bias[class]
    }
}

impl Learner {
    /// Prepares for single images. The plans are made here, for any number of images.
    ///
    /// # Errors
    /// [`Error::NoClasses`](crate::Error::NoClasses) without a last layer;
    /// [`Error::Engine`](crate::Error::Engine) if the device has too little memory.
    pub fn class_activation(&self) -> Result<ClassActivation<'_>> {
        let layer = self.head_layer()?;
        // The last layer is a stage as well, the only one without positions.
        let mut stages = self.model.stages();
        stages.pop();
        let last = stages.pop().ok_or_else(|| self.no_classes())?;
        let [channels, height, width] = self.stage_shape(&last)?;
        Ok(ClassActivation {
            _learner: self,
            body: block_on(self.prepare(&(None, Cut::Stage(last.clone())), 1))?,
            shape: [height, width, channels],
            head: block_on(self.prepare(&(Some(last), Cut::Logits), 1))?,
            weight: self.params.get(&format!("{layer}.weight"))?,
            bias: self.params.get(&format!("{layer}.bias"))?,
        })
    }
}

impl ClassActivation<'_> {
    /// Classifies an image of the learner's size: bytes, (height, width, channels), as
    /// [`Preprocessing::pixels`](frostline_loader::Preprocessing::pixels) makes them.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine), also for an image of another size.
    pub fn look(&mut self, pixels: &[u8]) -> Result<Look<'_>> {
        let planes = self.body.run(1, |_, batch| {
            batch.bytes().extend_from_slice(pixels);
            Ok(())
        });
        let planes = block_on(planes)?;
        let values: Vec<f32> = channels_last(&planes, self.shape[2]).collect();
        let logits = self.head.run(1, |_, batch| {
            batch.floats().extend_from_slice(&values);
            Ok(())
        });
        let logits = block_on(logits)?;
        Ok(Look {
            prediction: Prediction::of(&logits),
            logits,
            shape: self.shape,
            values,
            weight: &self.weight,
            bias: &self.bias,
        })
    }
}
