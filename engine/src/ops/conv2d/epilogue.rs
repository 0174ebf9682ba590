//! The epilogue of a convolution's kernels, and sums that are too long for one dispatch.

use crate::dispatch::BufferId;
use crate::ops::Activation;
use crate::request::Request;
use crate::tuning::LONGEST_RUN;
use std::ops::Range;

/// The operation of `forward` on the sums: none, + shift, · scale + shift, or · scale; and the buffer of
/// these.
#[derive(Clone, Copy)]
pub(crate) enum Affine {
    None,
    Shift(BufferId),
    ScaleShift(BufferId),
    /// The scale of a buffer that has a shift too.
    Scale(BufferId),
}

impl Affine {
    fn parts(self) -> (usize, Option<BufferId>) {
        match self {
            Affine::None => (0, None),
            Affine::Shift(buffer) => (1, Some(buffer)),
            Affine::ScaleShift(buffer) => (2, Some(buffer)),
            Affine::Scale(buffer) => (3, Some(buffer)),
        }
    }

    fn without_shift(self) -> Self {
        match self {
            Affine::None | Affine::Shift(_) => Affine::None,
            Affine::ScaleShift(buffer) | Affine::Scale(buffer) => Affine::Scale(buffer),
        }
    }
}

/// The operations on the sums before they are stored: act(sum · scale + shift + residual).
#[derive(Clone, Copy)]
pub(crate) struct Epilogue {
    pub affine: Affine,
    pub residual: Option<BufferId>,
    pub activation: Activation,
}

impl Epilogue {
    /// Only an addition.
    pub fn adding(residual: Option<BufferId>) -> Self {
        Self { affine: Affine::None, residual, activation: Activation::None }
    }

    /// The epilogue of dispatch `i` of a chain that writes to `outputs` one after the other, each a range of
    /// the sum: the first adds shift and residual, the others add the output of the previous one, and the
    /// last applies the activation.
    pub fn link(&self, i: usize, outputs: &[BufferId]) -> Self {
        let (first, last) = (i == 0, i + 1 == outputs.len());
        Self {
            affine: if first { self.affine } else { self.affine.without_shift() },
            residual: if first { self.residual } else { Some(outputs[i - 1]) },
            activation: if last { self.activation } else { Activation::None },
        }
    }

    /// `request` with this epilogue at its end.
    pub fn end(&self, request: Request) -> Request {
        let (kind, affine) = self.affine.parts();
        let act = self.activation.code() as usize;
        request
            .params(&[("affine", kind), ("residual", self.residual.is_some() as usize), ("act", act)])
            .bind_if("affine", affine)
            .bind_if("residual", self.residual)
    }
}

/// Maximum number of terms that one dispatch of a chain sums.
pub(super) const LINK: usize = 1_024;

/// The ranges of a sum over a depth of `depth` places with `terms` each: one range, or if that has more than
/// [`LONGEST_RUN`] terms, ranges of at most [`LINK`] terms. All start at multiples of `step`.
pub(super) fn ranges(depth: usize, terms: usize, step: usize) -> Vec<Range<usize>> {
    let length = if depth * terms <= LONGEST_RUN { depth } else { (LINK / terms / step).max(1) * step };
    (0..depth).step_by(length).map(|first| first..(first + length).min(depth)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_the_depth_once_and_none_is_long() {
        for (depth, terms, step, count) in
            [(1, 4, 4, 1), (1_152, 4, 4, 1), (6_272, 4, 4, 25), (1_153, 4, 8, 5), (9, 4_900, 1, 9)]
        {
            let ranges = ranges(depth, terms, step);
            assert_eq!(ranges.len(), count, "{ranges:?}");
            assert!(
                count == 1 || ranges.iter().all(|range| range.len() == 1 || range.len() * terms <= LINK),
                "{ranges:?}"
            );
            assert!(ranges.iter().all(|range| range.start % step == 0), "{ranges:?}");
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{ranges:?}");
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, depth), "{ranges:?}");
        }
    }
}
