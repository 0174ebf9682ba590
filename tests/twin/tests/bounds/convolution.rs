//! Convolution in f32: one accumulator per output.

use crate::{accepted, refused};
use frostline_twin::cases;
use frostline_twin::conv2d;

/// Direct convolution in f32, one sum after another.
fn forward_f32(case: &cases::ConvCase, x: &[f32], w: &[f32]) -> Vec<f32> {
    let [n, c_in, height, width] = case.x_shape();
    let [c_out, _, kernel_h, kernel_w] = case.w_shape();
    let [_, _, h_out, w_out] = case.y_shape();
    let [top, left, ..] = case.padding;
    let mut y = Vec::new();
    for n in 0..n {
        for o in 0..c_out {
            for oh in 0..h_out {
                for ow in 0..w_out {
                    let mut sum = 0f32;
                    for c in 0..c_in {
                        for kh in 0..kernel_h {
                            for kw in 0..kernel_w {
                                let ih = (oh * case.stride + kh).wrapping_sub(top);
                                let iw = (ow * case.stride + kw).wrapping_sub(left);
                                if ih < height && iw < width {
                                    sum += x[((n * c_in + c) * height + ih) * width + iw]
                                        * w[((o * c_in + c) * kernel_h + kh) * kernel_w + kw];
                                }
                            }
                        }
                    }
                    y.push(sum);
                }
            }
        }
    }
    y
}

/// Keeps 11 bits of the significand, as f16 and TF32 do.
fn eleven_bits(values: &[f32]) -> Vec<f32> {
    let cut = |v: &f32| f32::from_bits(v.to_bits() & !0x1FFF);
    values.iter().map(cut).collect()
}

#[test]
fn random_cases() {
    let mut rng = cases::rng(20);
    let mut noticed = 0;
    let all = cases::conv_cases(20, 40);
    for case in &all {
        let x = cases::uniform(&mut rng, &case.x_shape(), -1.0..1.0);
        let w = cases::uniform(&mut rng, &case.w_shape(), -1.0..1.0);
        let expected = conv2d::forward(&x, &w, case.stride, case.padding);
        let y = forward_f32(case, &x.to_f32(), &w.to_f32());
        accepted(&format!("{case:?}"), &y, &expected);

        let half = forward_f32(case, &x.to_f32(), &eleven_bits(&w.to_f32()));
        refused(&format!("half precision, {case:?}"), &half, &expected);

        // Swapping top and bottom leaves the shape as it is.
        let [top, left, bottom, right] = case.padding;
        if top != bottom {
            let swapped = cases::ConvCase { padding: [bottom, left, top, right], ..*case };
            let y = forward_f32(&swapped, &x.to_f32(), &w.to_f32());
            refused(&format!("swapped padding, {case:?}"), &y, &expected);
            noticed += 1;
        }
    }
    assert!(noticed > 0, "no case tried the swapped padding");
}
