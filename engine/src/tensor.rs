//! Tensors of a graph: their ids, names, shapes, and roles.

use crate::shape::Shape;

/// A tensor of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub(crate) u32);

impl TensorId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The role of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    /// Given by the host for every batch.
    Input(InputKind),
    /// Learned.
    Parameter(Init),
    /// A running statistic: changed by training, never by a gradient. Contains its first value.
    Statistic(f32),
    /// Computed.
    Activation,
}

/// A tensor that the host gives for every batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Images of bytes or floats, or the activations of an earlier stage.
    Images,
    /// One class index per image.
    Labels,
    /// The changes of each image by [`crate::ops::Augment`].
    Transforms {
        /// The shape of the images.
        images: Shape,
    },
    /// The partner and share of each image, and of its label, in [`crate::ops::Mixup`].
    Mixes,
}

/// The initial values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with variance `2 / fan_out` (He et al. 2015), torchvision's for convolutions.
    KaimingNormal,
    /// Uniform within `±1/√fan_in`, PyTorch's for linear layers.
    Uniform {
        /// Inputs of one output.
        fan_in: usize,
    },
    /// One value everywhere.
    Constant(f32),
}

/// Name, shape and role of a tensor.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Parameters and statistics: torchvision's name; others: the layer's.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Its role.
    pub role: Role,
}
