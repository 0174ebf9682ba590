//! Tensors on the host, as in files: a shape and a flat row-major list of f32.

use crate::Error;

/// A tensor in main memory, in PyTorch's order: the last dimension varies fastest,
/// convolution weights are (out, in, height, width), linear weights (out, in).
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Sizes of the dimensions, slowest first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values, `shape.iter().product()` of them.
    pub data: Vec<f32>,
}

/// Parameters and statistics by their torchvision names (`layer1.0.conv1.weight`), in file order.
pub type StateDict = indexmap::IndexMap<String, HostTensor>;

impl HostTensor {
    /// A tensor of this shape and these values.
    ///
    /// # Errors
    /// [`Error::ElementCount`] if the shape does not have exactly `data.len()` values.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Result<Self, Error> {
        let tensor = Self { shape, data };
        tensor.check("")?;
        Ok(tensor)
    }

    /// Fails unless shape and data match. Both fields are public, so a writer must check them.
    pub(crate) fn check(&self, name: &str) -> Result<(), Error> {
        let expected = element_count(&self.shape);
        if expected == self.data.len() as u64 {
            return Ok(());
        }
        Err(Error::ElementCount {
            tensor: name.to_owned(),
            shape: self.shape.clone(),
            expected,
            actual: self.data.len(),
        })
    }
}

/// Number of elements of a shape that may come from a file: `u64::MAX`, a length that no data has, if the
/// product overflows. Zeros are left out until the end, so that `(0, 2^63, 4)` is too large as well, and
/// strides computed from an accepted shape cannot overflow.
pub(crate) fn element_count(shape: &[usize]) -> u64 {
    let product = shape.iter().try_fold(1u64, |n, &size| n.checked_mul(size.max(1) as u64));
    match product {
        Some(_) if shape.contains(&0) => 0,
        Some(product) => product,
        None => u64::MAX,
    }
}

/// A shape in the usual notation: `(64, 3, 7, 7)`, `(1000,)`, `()`.
pub fn shape_text(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    match sizes.as_slice() {
        [one] => format!("({one},)"),
        many => format!("({})", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_and_data_must_agree() {
        assert!(HostTensor::new(vec![2, 3], vec![0.0; 6]).is_ok());
        let error = HostTensor::new(vec![2, 3], vec![0.0; 5]).unwrap_err();
        assert!(error.to_string().contains("(2, 3)"), "{error}");
        assert!(HostTensor::new(vec![3, 0], vec![]).is_ok());
        for hostile in [vec![usize::MAX; 2], vec![usize::MAX, 2, 0], vec![0, usize::MAX, 2]] {
            assert!(HostTensor::new(hostile, vec![]).is_err());
        }
        assert!(HostTensor::new(vec![], vec![1.0]).is_ok());
    }

    #[test]
    fn shapes_read_like_python_tuples() {
        assert_eq!(shape_text(&[64, 3, 7, 7]), "(64, 3, 7, 7)");
        assert_eq!(shape_text(&[1000]), "(1000,)");
        assert_eq!(shape_text(&[]), "()");
    }
}
