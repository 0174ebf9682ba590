//! One shape to try a kernel at: its inputs, its `Params`, its grid, and what the twin computes.

use crate::device::Scalar;
use frostline_twin::{Array, Value};

/// How many workgroups are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// As many as this number of invocations fill, and one more.
    Invocations(usize),
    /// These, of a workgroup that must have this size.
    Workgroups([u32; 3], [u32; 3]),
}

/// An array that the kernel reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The binding.
    pub name: &'static str,
    /// Its words: bits of `f32`, or `u32`.
    pub words: Vec<u32>,
    /// Whether they are floats.
    pub float: bool,
}

/// What the kernel is to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// The binding.
    pub name: &'static str,
    /// Words for each axis, outermost first, such as `image, row, column, channel`.
    pub axes: Vec<&'static str>,
    /// The twin's result and its terms, in the order of memory.
    pub value: Value,
}

/// A shape, with everything to run a kernel once and to judge what it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The shape, for people: `2 images of 4×4 pixels, 8 channels`.
    pub what: String,
    /// Values of `Params` by name.
    pub params: Vec<(&'static str, Scalar)>,
    /// What is read.
    pub inputs: Vec<Input>,
    /// What is written.
    pub expected: Expected,
    /// Workgroups.
    pub grid: Grid,
    /// Numbers that a result may be wrong by a factor of, with what they are.
    pub counts: Vec<(&'static str, f64)>,
}

impl Case {
    /// A case that writes `value` to the binding `name`, one invocation for each element.
    pub fn new(what: String, name: &'static str, axes: &[&'static str], value: Value) -> Self {
        assert_eq!(axes.len(), value.value.shape.len(), "an axis is named for every dimension");
        let invocations = value.value.data.len();
        let expected = Expected { name, axes: axes.to_vec(), value };
        let grid = Grid::Invocations(invocations);
        Self { what, params: vec![], inputs: vec![], expected, grid, counts: vec![] }
    }

    /// With whole numbers of `Params`.
    pub fn sizes(mut self, sizes: &[(&'static str, usize)]) -> Self {
        self.params.extend(sizes.iter().map(|&(name, size)| (name, Scalar::Whole(size as u32))));
        self
    }

    /// With a number of `Params`.
    pub fn float(mut self, name: &'static str, value: f32) -> Self {
        self.params.push((name, Scalar::Float(value)));
        self
    }

    /// With an array of floats, in the order of memory.
    pub fn input(mut self, name: &'static str, array: &Array) -> Self {
        let words = array.to_f32().into_iter().map(f32::to_bits).collect();
        self.inputs.push(Input { name, words, float: true });
        self
    }

    /// With an array of whole numbers.
    pub fn words(mut self, name: &'static str, words: Vec<u32>) -> Self {
        self.inputs.push(Input { name, words, float: false });
        self
    }

    /// With this grid.
    pub fn grid(mut self, grid: Grid) -> Self {
        self.grid = grid;
        self
    }

    /// With a number that a result may be wrong by a factor of.
    pub fn count(mut self, name: &'static str, count: usize) -> Self {
        self.counts.push((name, count as f64));
        self
    }
}

/// (N, C, H, W) as it is stored: (N, H, W, C).
pub fn stored(array: &Array) -> Array {
    permuted(array, [0, 2, 3, 1])
}

/// A result (N, C, H, W) as it is stored: (N, H, W, C).
pub fn stored_value(value: &Value) -> Value {
    Value { value: stored(&value.value), terms: stored(&value.terms) }
}

/// The array whose axis 0 is axis `order[0]` of this one, and so on.
pub fn permuted(array: &Array, order: [usize; 4]) -> Array {
    let sizes: [usize; 4] = array.dims();
    let shape = order.map(|axis| sizes[axis]);
    let mut moved = Array::zeros(&shape);
    for i in 0..moved.data.len() {
        let (mut rest, mut index) = (i, [0; 4]);
        for at in (0..4).rev() {
            index[order[at]] = rest % shape[at];
            rest /= shape[at];
        }
        moved.data[i] = array[index];
    }
    moved
}
