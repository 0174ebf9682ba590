//! The place of each parameter in a flat buffer: parameters are in model order, so that "frozen below layer4"
//! is an offset, and a run of neighbouring parameters is one dispatch of the optimiser.

use crate::graph::Graph;
use crate::shape::Shape;
use crate::tensor::Role;
use indexmap::IndexMap;

/// Bindings must start at a multiple of this on every adapter.
const ALIGNMENT: u64 = 256;

/// A tensor's place in a flat buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// First byte.
    pub offset: u64,
    /// The tensor's shape.
    pub shape: Shape,
}

/// Names and places of the tensors of a flat buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    slices: IndexMap<String, Slice>,
    bytes: u64,
}

impl Layout {
    /// Lays out tensors one after another.
    pub fn new<'a>(tensors: impl IntoIterator<Item = (&'a str, Shape)>) -> Self {
        let mut layout = Self::default();
        for (name, shape) in tensors {
            layout.slices.insert(name.to_owned(), Slice { offset: layout.bytes, shape });
            layout.bytes += shape.bytes().next_multiple_of(ALIGNMENT);
        }
        layout
    }

    /// The parameters of `graph`.
    pub fn parameters(graph: &Graph) -> Self {
        Self::new(
            graph
                .tensors
                .iter()
                .filter(|t| matches!(t.role, Role::Parameter(_)))
                .map(|t| (t.name.as_str(), t.shape)),
        )
    }

    /// The running statistics of `graph`.
    pub fn statistics(graph: &Graph) -> Self {
        Self::new(
            graph
                .tensors
                .iter()
                .filter(|t| matches!(t.role, Role::Statistic(_)))
                .map(|t| (t.name.as_str(), t.shape)),
        )
    }

    /// The place of `name`.
    pub fn get(&self, name: &str) -> Option<Slice> {
        self.slices.get(name).copied()
    }

    /// Byte range from the first byte of `first` to the last of `last`.
    pub fn run(&self, first: &str, last: &str) -> Option<(u64, u64)> {
        let (first, last) = (self.get(first)?, self.get(last)?);
        Some((first.offset, last.offset + last.shape.bytes() - first.offset))
    }

    /// Names and places, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Slice)> {
        self.slices.iter().map(|(name, slice)| (name.as_str(), *slice))
    }

    /// Size of the flat buffer.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.slices.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }
}
