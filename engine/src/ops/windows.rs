//! Windows that move over images: the zeros around an image, and the size of the output.

use super::image;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Zero rows and columns around the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same on all sides.
    pub fn all(size: usize) -> Self {
        Self { top: size, left: size, bottom: size, right: size }
    }

    /// TensorFlow's "SAME" for an image of `h` × `w`: the output is the input divided by the
    /// stride, rounded up; an odd row or column is added below or to the right.
    pub fn same(h: usize, w: usize, kernel: usize, stride: usize) -> Self {
        let last = |size: usize| size.div_ceil(stride.max(1)).saturating_sub(1).saturating_mul(stride);
        let total = |size: usize| last(size).saturating_add(kernel).saturating_sub(size);
        let (rows, columns) = (total(h), total(w));
        Self { top: rows / 2, left: columns / 2, bottom: rows - rows / 2, right: columns - columns / 2 }
    }

    /// The output size for an image of `h` × `w`, or `None` if the kernel does not fit.
    pub(crate) fn output(
        &self,
        h: usize,
        w: usize,
        kernel: (usize, usize),
        stride: usize,
    ) -> Option<(usize, usize)> {
        let rows = h.saturating_add(self.top).saturating_add(self.bottom);
        let columns = w.saturating_add(self.left).saturating_add(self.right);
        (rows >= kernel.0 && columns >= kernel.1)
            .then(|| ((rows - kernel.0) / stride + 1, (columns - kernel.1) / stride + 1))
    }
}

/// The largest window, stride or padding: kernels count in 32 bits, signed.
const LARGEST_WINDOW: usize = 1 << 20;

/// Height and width of the output if windows of `kernel` (height, width) move over the images `input`, or an
/// error of `op` with the reason why there is no output.
pub(crate) fn windows(
    op: &'static str,
    layer: &str,
    input: Shape,
    kernel: (usize, usize),
    stride: usize,
    padding: Padding,
) -> Result<(usize, usize)> {
    let [_, h, w, _] = image(op, layer, input)?;
    let wrong = |reason| Err(Error::shape(op, layer, reason));
    if stride == 0 {
        return wrong("stride 0: windows must move by at least one pixel".to_owned());
    }
    let (kh, kw) = kernel;
    if kh == 0 || kw == 0 {
        return wrong(format!("kernel {kh}x{kw}: a window must have at least one pixel"));
    }
    let Padding { top, left, bottom, right } = padding;
    if let Some(size) =
        [kh, kw, stride, top, left, bottom, right].into_iter().find(|&size| size > LARGEST_WINDOW)
    {
        return wrong(format!(
            "kernel {kh}x{kw}, stride {stride}, {padding:?}: {size} is too large, the maximum is \
             {LARGEST_WINDOW}"
        ));
    }
    match padding.output(h, w, kernel, stride) {
        Some(size) => Ok(size),
        None => {
            wrong(format!("a window of {kh}x{kw} does not fit into input {input} with padding {padding:?}"))
        }
    }
}
