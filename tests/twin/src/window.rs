//! The arithmetic of sliding windows, shared by convolutions and pooling.

/// Pixels of padding: `[top, left, bottom, right]`.
pub type Padding = [usize; 4];

/// Height and width of what a window leaves: `floor((size + padding − kernel) / stride) + 1`.
///
/// # Panics
/// If the stride is zero or the kernel is larger than the padded image.
pub fn output_size([h, w]: [usize; 2], [kh, kw]: [usize; 2], stride: usize, padding: Padding) -> [usize; 2] {
    let [top, left, bottom, right] = padding;
    let (h, w) = (h + top + bottom, w + left + right);
    assert!(
        stride > 0 && 0 < kh && kh <= h && 0 < kw && kw <= w,
        "kernel {kh}x{kw}, stride {stride} does not fit a padded image of {h}x{w}"
    );
    [(h - kh) / stride + 1, (w - kw) / stride + 1]
}

/// The input pixel under tap `(kh, kw)` of output pixel `(oh, ow)`; `None` in the padding.
pub(crate) fn input_pixel(
    [oh, ow]: [usize; 2],
    [kh, kw]: [usize; 2],
    stride: usize,
    padding: Padding,
    [h, w]: [usize; 2],
) -> Option<[usize; 2]> {
    let [top, left, _, _] = padding;
    let ih = (oh * stride + kh).checked_sub(top)?;
    let iw = (ow * stride + kw).checked_sub(left)?;
    (ih < h && iw < w).then_some([ih, iw])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_known_from_resnet_and_mobilenet() {
        assert_eq!(output_size([224, 224], [7, 7], 2, [3; 4]), [112, 112]);
        assert_eq!(output_size([112, 112], [3, 3], 2, [1; 4]), [56, 56]);
        // TensorFlow's SAME on an even image pads only below and to the right.
        assert_eq!(output_size([64, 64], [3, 3], 2, [0, 0, 1, 1]), [32, 32]);
        assert_eq!(output_size([5, 4], [1, 3], 2, [0, 1, 0, 0]), [3, 2]);
    }

    #[test]
    fn taps_in_the_padding_have_no_pixel() {
        let pixel = |tap| input_pixel([0, 1], tap, 2, [1, 1, 0, 0], [3, 3]);
        assert_eq!(pixel([0, 0]), None);
        assert_eq!(pixel([1, 0]), Some([0, 1]));
        assert_eq!(pixel([1, 1]), Some([0, 2]));
        assert_eq!(pixel([1, 2]), None);
    }

    #[test]
    #[should_panic(expected = "kernel 3x3, stride 1 does not fit a padded image of 2x4")]
    fn a_kernel_that_does_not_fit_is_refused() {
        output_size([2, 4], [3, 3], 1, [0; 4]);
    }
}
