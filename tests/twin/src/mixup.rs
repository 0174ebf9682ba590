//! mixup: y_n = λ_n·x_n + (1 − λ_n)·x_m, m the partner of image n.

use crate::{Array, Value, exact};

/// `mixup.forward`: x (N, C, H, W); of each image its partner and its own share λ.
///
/// # Panics
/// Unless there is a pair for each image, with a partner that there is.
pub fn forward(x: &Array, mixes: &[(usize, f64)]) -> Value {
    let [n, _, _, _] = x.dims();
    assert_eq!(mixes.len(), n, "one mix per image");
    let size = x.data.len() / n;
    Value::build(&x.shape, |i| {
        let (partner, share) = mixes[i / size];
        exact(share) * exact(x.data[i])
            + (exact(1.0) - exact(share)) * exact(x.data[partner * size + i % size])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_image_and_the_rest_of_its_partner() {
        let x = Array::new(&[2, 1, 1, 2], vec![1.0, 2.0, 10.0, 20.0]);
        assert_eq!(forward(&x, &[(1, 0.75), (1, 0.3)]).value.data, [3.25, 6.5, 10.0, 20.0]);
        assert_eq!(forward(&x, &[(1, 1.0), (0, 0.0)]).value.data, [1.0, 2.0, 1.0, 2.0]);
    }
}
