//! normalize: y = (x/255 − mean) / std, with a mean and a deviation per channel.

use crate::{Array, Value, exact};

/// `normalize.forward`: x (N, C, H, W), bytes.
///
/// # Panics
/// Unless there are a mean and a deviation for each channel.
pub fn forward(x: &Array, mean: &[f64], std: &[f64]) -> Value {
    let [_, c, h, w] = x.dims();
    assert_eq!([mean.len(), std.len()], [c, c], "one of each a channel");
    Value::build(&x.shape, |i| {
        let channel = i / (h * w) % c;
        (exact(x.data[i]) / exact(255.0) - exact(mean[channel])) / exact(std[channel])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torchvision.transforms.functional.normalize(x / 255, mean, std)` in f64.
    #[test]
    fn channels_have_their_own_mean_and_deviation() {
        let x = Array::new(&[1, 2, 1, 2], vec![0.0, 255.0, 51.0, 102.0]);
        assert_eq!(forward(&x, &[0.5, 0.2], &[0.25, 0.5]).value.data, [-2.0, 2.0, 0.0, 0.4]);
    }
}
