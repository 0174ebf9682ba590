//! Arrays in row-major order, and results that carry their tolerance.

use crate::Tracked;
use std::ops::{Index, IndexMut};

/// A dense row-major array of f64: the last index runs fastest, as in PyTorch.
///
/// Indexed with one array of indices: `x[[n, c, h, w]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// The elements, as many as the product of `shape`.
    pub data: Vec<f64>,
}

impl Array {
    /// An array of these elements.
    ///
    /// # Panics
    /// If `data` does not have as many elements as `shape` requires.
    pub fn new(shape: &[usize], data: Vec<f64>) -> Array {
        let expected: usize = shape.iter().product();
        assert_eq!(data.len(), expected, "an array of shape {shape:?} has {expected} elements");
        Array { shape: shape.to_vec(), data }
    }

    /// An array of zeros.
    pub fn zeros(shape: &[usize]) -> Array {
        Array::new(shape, vec![0.0; shape.iter().product()])
    }

    /// Widens f32 elements, which is exact.
    ///
    /// # Panics
    /// If `data` does not have as many elements as `shape` requires.
    pub fn from_f32(shape: &[usize], data: &[f32]) -> Array {
        Array::new(shape, data.iter().map(|&v| f64::from(v)).collect())
    }

    /// The elements rounded to f32, to be uploaded. Exact if they came from f32.
    pub fn to_f32(&self) -> Vec<f32> {
        self.data.iter().map(|&v| v as f32).collect()
    }

    /// The sizes as a fixed number of dimensions: `let [n, c, h, w] = x.dims();`
    ///
    /// # Panics
    /// If the array has another number of dimensions.
    pub fn dims<const R: usize>(&self) -> [usize; R] {
        self.shape
            .as_slice()
            .try_into()
            .unwrap_or_else(|_| panic!("expected {R} dimensions, got shape {:?}", self.shape))
    }

    /// Panics, naming the array, unless it has exactly this shape.
    pub(crate) fn expect_shape(&self, name: &str, shape: &[usize]) {
        assert_eq!(self.shape, shape, "{name} has another shape than expected");
    }

    fn offset<const R: usize>(&self, index: [usize; R]) -> usize {
        debug_assert_eq!(self.shape.len(), R, "index {index:?}");
        let mut offset = 0;
        for (i, size) in index.into_iter().zip(&self.shape) {
            debug_assert!(i < *size, "index {index:?} of shape {:?}", self.shape);
            offset = offset * size + i;
        }
        offset
    }
}

impl<const R: usize> Index<[usize; R]> for Array {
    type Output = f64;
    fn index(&self, index: [usize; R]) -> &f64 {
        &self.data[self.offset(index)]
    }
}

impl<const R: usize> IndexMut<[usize; R]> for Array {
    fn index_mut(&mut self, index: [usize; R]) -> &mut f64 {
        let offset = self.offset(index);
        &mut self.data[offset]
    }
}

/// A twin's result, and the allowed difference of an f32 kernel from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The result.
    pub value: Array,
    /// Σ|terms| of each element, same shape: see [`Tracked`].
    pub terms: Array,
}

impl Value {
    /// Zeros with no terms: the start of a sum.
    pub fn zeros(shape: &[usize]) -> Value {
        Value { value: Array::zeros(shape), terms: Array::zeros(shape) }
    }

    /// An unchanged input: each element is its only term.
    pub fn exact(array: &Array) -> Value {
        Value::build(&array.shape, |i| crate::exact(array.data[i]))
    }

    /// This (N, C, H, W), but the terms of every element are the largest in its tile of m × m, which is what
    /// Winograd's algorithm computes an element from.
    pub fn by_tile(mut self, m: usize) -> Value {
        let [_, _, h, w] = self.terms.dims();
        let terms = self.terms.clone();
        for (i, largest) in self.terms.data.iter_mut().enumerate() {
            let (image, row, column) = (i / (h * w), i / w % h / m * m, i % w / m * m);
            let tile = (row..(row + m).min(h))
                .flat_map(|row| (column..(column + m).min(w)).map(move |column| (row, column)));
            *largest =
                tile.map(|(row, column)| terms.data[(image * h + row) * w + column]).fold(0.0, f64::max);
        }
        self
    }

    /// Computes every element from its row-major index.
    pub fn build(shape: &[usize], element: impl Fn(usize) -> Tracked) -> Value {
        let mut result = Value::zeros(shape);
        for i in 0..result.value.data.len() {
            result.set([i], element(i));
        }
        result
    }

    /// An element. The index has one number per dimension, or is a single row-major one.
    pub fn at<const R: usize>(&self, index: [usize; R]) -> Tracked {
        let i = self.flat(index);
        Tracked { value: self.value.data[i], terms: self.terms.data[i] }
    }

    /// Replaces an element, indexed as in [`Value::at`].
    pub fn set<const R: usize>(&mut self, index: [usize; R], element: Tracked) {
        let i = self.flat(index);
        self.value.data[i] = element.value;
        self.terms.data[i] = element.terms;
    }

    /// Adds to an element, indexed as in [`Value::at`].
    pub fn add<const R: usize>(&mut self, index: [usize; R], term: Tracked) {
        self.set(index, self.at(index) + term);
    }

    fn flat<const R: usize>(&self, index: [usize; R]) -> usize {
        if R == 1 { index[0] } else { self.value.offset(index) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_index_runs_fastest() {
        let a = Array::new(&[2, 3], vec![0., 1., 2., 10., 11., 12.]);
        assert_eq!(a[[0, 2]], 2.0);
        assert_eq!(a[[1, 0]], 10.0);
        assert_eq!(a.dims(), [2, 3]);
    }

    #[test]
    #[should_panic(expected = "has 6 elements")]
    fn too_few_elements_are_refused() {
        Array::new(&[2, 3], vec![0.0; 5]);
    }

    #[test]
    #[should_panic(expected = "expected 4 dimensions, got shape [2, 3]")]
    fn another_rank_is_refused() {
        Array::zeros(&[2, 3]).dims::<4>();
    }
}
