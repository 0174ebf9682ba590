//! Shapes, and how a tensor's values are stored in a buffer.
//!
//! In files and in the public API, tensors have PyTorch's order. On the device, activations are NHWC and
//! weights (KH, KW, C_in, C_out), with channels padded by zeros to a multiple of 4, so that every kernel
//! reads `vec4f`. [`Shape::pack`] and [`Shape::unpack`] convert between the two.

use std::fmt;

/// The kind and the sizes of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Activations: `n` images of `h` × `w` pixels with `c` channels. Features are 1 × 1 images.
    Image {
        /// Images.
        n: usize,
        /// Height in pixels.
        h: usize,
        /// Width in pixels.
        w: usize,
        /// Channels.
        c: usize,
    },
    /// Images of bytes in the order of decoders: `n` images of `h` × `w` pixels with `c` bytes each. The
    /// buffer has the order (N, H, W, C) without padding.
    Pixels {
        /// Images.
        n: usize,
        /// Height in pixels.
        h: usize,
        /// Width in pixels.
        w: usize,
        /// Channels.
        c: usize,
    },
    /// Weights of a convolution; PyTorch's (c_out, c_in, kh, kw).
    Filter {
        /// Kernel height.
        kh: usize,
        /// Kernel width.
        kw: usize,
        /// Input channels.
        c_in: usize,
        /// Output channels.
        c_out: usize,
    },
    /// Weights of a depthwise convolution; PyTorch's (c, 1, kh, kw).
    Depthwise {
        /// Kernel height.
        kh: usize,
        /// Kernel width.
        kw: usize,
        /// Channels.
        c: usize,
    },
    /// Weights of a linear layer; PyTorch's (c_out, c_in).
    Matrix {
        /// Input features.
        c_in: usize,
        /// Output features.
        c_out: usize,
    },
    /// One value per channel: biases, and parameters and statistics of batch norm.
    Vector {
        /// Channels.
        c: usize,
    },
    /// One class index per image.
    Labels {
        /// Images.
        n: usize,
    },
}

/// `channels` rounded up to a multiple of 4.
pub(crate) fn padded(channels: usize) -> usize {
    channels.checked_next_multiple_of(4).unwrap_or(usize::MAX)
}

/// The product of `sizes`; `usize::MAX` if it is more than that.
fn product(sizes: impl IntoIterator<Item = usize>) -> usize {
    let (mut product, mut empty) = (1usize, false);
    for size in sizes {
        empty |= size == 0;
        product = product.saturating_mul(size.max(1));
    }
    if empty { 0 } else { product }
}

impl Shape {
    /// The dimensions in PyTorch's order.
    pub fn torch(&self) -> Vec<usize> {
        match *self {
            Shape::Image { n, h, w, c } | Shape::Pixels { n, h, w, c } => vec![n, c, h, w],
            Shape::Filter { kh, kw, c_in, c_out } => vec![c_out, c_in, kh, kw],
            Shape::Depthwise { kh, kw, c } => vec![c, 1, kh, kw],
            Shape::Matrix { c_in, c_out } => vec![c_out, c_in],
            Shape::Vector { c } => vec![c],
            Shape::Labels { n } => vec![n],
        }
    }

    /// Number of values, without padding; `usize::MAX` if it is more than that.
    pub fn count(&self) -> usize {
        product(self.torch())
    }

    /// Whether it has no values, because one of its sizes is 0.
    pub fn is_empty(&self) -> bool {
        self.torch().contains(&0)
    }

    /// Number of values of 4 bytes in the buffer, padding included; `usize::MAX` if it is more than that.
    pub fn padded_count(&self) -> usize {
        product(self.padded_dims())
    }

    /// Bytes in the buffer.
    pub fn bytes(&self) -> u64 {
        (self.padded_count() as u64).saturating_mul(4)
    }

    /// Pixels times images: the rows of channel vectors.
    pub fn rows(&self) -> usize {
        match *self {
            Shape::Image { n, h, w, .. } | Shape::Pixels { n, h, w, .. } => product([n, h, w]),
            _ => 1,
        }
    }

    /// The innermost dimension: channels.
    pub fn channels(&self) -> usize {
        match *self {
            Shape::Image { c, .. }
            | Shape::Pixels { c, .. }
            | Shape::Depthwise { c, .. }
            | Shape::Vector { c } => c,
            Shape::Filter { c_out, .. } | Shape::Matrix { c_out, .. } => c_out,
            Shape::Labels { n } => n,
        }
    }

    /// Inputs that are summed into one output: `c_in · kh · kw`.
    pub fn fan_in(&self) -> usize {
        match *self {
            Shape::Filter { kh, kw, c_in, .. } => product([kh, kw, c_in]),
            Shape::Depthwise { kh, kw, .. } => product([kh, kw]),
            Shape::Matrix { c_in, .. } => c_in,
            _ => 1,
        }
    }

    /// Outputs that one input reaches: `c_out · kh · kw`.
    pub fn fan_out(&self) -> usize {
        match *self {
            Shape::Filter { kh, kw, c_out, .. } => product([kh, kw, c_out]),
            Shape::Depthwise { kh, kw, .. } => product([kh, kw]),
            Shape::Matrix { c_out, .. } => c_out,
            _ => 1,
        }
    }

    /// The buffer's dimensions, in values of 4 bytes.
    fn padded_dims(&self) -> [usize; 4] {
        match *self {
            Shape::Image { n, h, w, c } => [n, h, w, padded(c)],
            Shape::Pixels { n, h, w, c } => {
                [1, 1, 1, [n, h, w, c].into_iter().fold(1, usize::saturating_mul).div_ceil(4)]
            }
            Shape::Filter { kh, kw, c_in, c_out } => [kh, kw, padded(c_in), padded(c_out)],
            Shape::Depthwise { kh, kw, c } => [1, kh, kw, padded(c)],
            Shape::Matrix { c_in, c_out } => [1, 1, padded(c_in), padded(c_out)],
            Shape::Vector { c } => [1, 1, 1, padded(c)],
            Shape::Labels { n } => [1, 1, 1, padded(n)],
        }
    }

    /// For every value in PyTorch's order, its place in the buffer.
    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        let dims = self.padded_dims();
        // Outer to inner loop lengths in PyTorch's order, and which buffer axis each of them walks.
        let (lengths, axes) = match *self {
            Shape::Image { n, h, w, c } => ([n, c, h, w], [0, 3, 1, 2]),
            Shape::Filter { kh, kw, c_in, c_out } => ([c_out, c_in, kh, kw], [3, 2, 0, 1]),
            Shape::Depthwise { kh, kw, c } => ([c, 1, kh, kw], [3, 0, 1, 2]),
            Shape::Matrix { c_in, c_out } => ([1, 1, c_out, c_in], [0, 1, 3, 2]),
            Shape::Vector { c } => ([1, 1, 1, c], [0, 1, 2, 3]),
            Shape::Labels { n } => ([1, 1, 1, n], [0, 1, 2, 3]),
            Shape::Pixels { .. } => (dims, [0, 1, 2, 3]),
        };
        let strides = [dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1];
        let step = axes.map(|axis: usize| strides[axis]);
        (0..lengths[0]).flat_map(move |i| {
            (0..lengths[1]).flat_map(move |j| {
                (0..lengths[2]).flat_map(move |k| {
                    (0..lengths[3]).map(move |l| i * step[0] + j * step[1] + k * step[2] + l * step[3])
                })
            })
        })
    }

    /// PyTorch's order into the buffer's; padding becomes zero.
    pub fn pack(&self, values: &[f32]) -> Vec<f32> {
        let mut packed = vec![0.0; self.padded_count()];
        for (place, value) in self.places().zip(values) {
            packed[place] = *value;
        }
        packed
    }

    /// The buffer's order into PyTorch's; padding is dropped.
    pub fn unpack(&self, packed: &[f32]) -> Vec<f32> {
        self.places().map(|place| packed[place]).collect()
    }

    /// NHWC without padding (the order of decoders) into the buffer's order.
    pub fn pack_nhwc(&self, values: &[f32]) -> Vec<f32> {
        let c = self.channels();
        if c.is_multiple_of(4) {
            return values.to_vec();
        }
        let mut packed = vec![0.0; self.padded_count()];
        for (to, from) in packed.chunks_exact_mut(padded(c)).zip(values.chunks_exact(c)) {
            to[..c].copy_from_slice(from);
        }
        packed
    }

    /// The buffer's order into NHWC without padding.
    pub fn unpack_nhwc(&self, packed: &[f32]) -> Vec<f32> {
        let c = self.channels();
        packed.chunks_exact(padded(c)).flat_map(|pixel| &pixel[..c]).copied().collect()
    }
}

impl fmt::Display for Shape {
    /// PyTorch's order, such as `(128, 64, 3, 3)`, or `(32, 3, 224, 224) bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.torch().iter().map(usize::to_string).collect();
        write!(f, "({})", dims.join(", "))?;
        if matches!(self, Shape::Pixels { .. }) { write!(f, " bytes") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pack_and_unpack_are_inverse_for_every_kind() {
        for shape in [
            Shape::Image { n: 2, h: 3, w: 5, c: 6 },
            Shape::Filter { kh: 3, kw: 1, c_in: 5, c_out: 7 },
            Shape::Depthwise { kh: 3, kw: 5, c: 6 },
            Shape::Matrix { c_in: 5, c_out: 3 },
            Shape::Vector { c: 9 },
        ] {
            let values: Vec<f32> = (1..=shape.count()).map(|i| i as f32).collect();
            let packed = shape.pack(&values);
            assert_eq!(shape.unpack(&packed), values, "{shape}");
            assert_eq!(packed.iter().filter(|v| **v == 0.0).count(), shape.padded_count() - shape.count());
        }
    }

    #[test]
    fn pixels_lose_their_padding_again() {
        for c in [1, 3, 4, 6] {
            let shape = Shape::Image { n: 2, h: 3, w: 5, c };
            let values: Vec<f32> = (1..=shape.count()).map(|i| i as f32).collect();
            assert_eq!(shape.unpack_nhwc(&shape.pack_nhwc(&values)), values, "{c} channels");
        }
    }

    #[test]
    fn a_filter_lies_as_kh_kw_cin_cout() {
        let shape = Shape::Filter { kh: 1, kw: 2, c_in: 2, c_out: 2 };
        let packed = shape.pack(&[1., 2., 3., 4., 5., 6., 7., 8.]); // w[o][i][0][k] = 4o + 2i + k + 1
        assert_eq!(packed[0..2], [1., 5.]); // k 0, i 0, o 0..2
        assert_eq!(packed[4..6], [3., 7.]); // k 0, i 1
        assert_eq!(packed[16..18], [2., 6.]); // k 1, i 0
    }
}
