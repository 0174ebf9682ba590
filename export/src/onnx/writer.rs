//! Nodes and constants of an ONNX graph, one after another.

use super::messages::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionValue, GraphProto, NodeProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, ValueInfoProto,
};

/// A graph that is being written. Values are named by what computes them.
#[derive(Default)]
pub(crate) struct Writer {
    graph: GraphProto,
}

/// A size in the shape of an input or output.
#[derive(Clone, Copy)]
pub(crate) enum Dim {
    /// Always this.
    Of(usize),
    /// Any, under this name.
    Named(&'static str),
}

/// Attributes of a node.
#[derive(Default)]
pub(crate) struct Attributes(Vec<AttributeProto>);

impl Attributes {
    /// A whole number.
    pub fn int(&mut self, name: &str, value: i64) -> &mut Self {
        self.push(AttributeProto { i: value, ..named(name, AttributeType::Int) })
    }

    /// Whole numbers.
    pub fn ints(&mut self, name: &str, values: &[i64]) -> &mut Self {
        self.push(AttributeProto { ints: values.to_vec(), ..named(name, AttributeType::Ints) })
    }

    fn push(&mut self, attribute: AttributeProto) -> &mut Self {
        self.0.push(attribute);
        self
    }
}

fn named(name: &str, of: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: of as i32, ..AttributeProto::default() }
}

impl Writer {
    /// Declares an input of the graph.
    pub fn input(&mut self, name: &str, of: DataType, dims: &[Dim]) {
        self.graph.input.push(value_info(name, of, dims));
    }

    /// Declares an output of the graph.
    pub fn output(&mut self, name: &str, of: DataType, dims: &[Dim]) {
        self.graph.output.push(value_info(name, of, dims));
    }

    /// A node whose output is called `output`; its name, to be given to other nodes.
    pub fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: impl FnOnce(&mut Attributes) -> &mut Attributes,
    ) -> String {
        let mut given = Attributes::default();
        attributes(&mut given);
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op.to_owned(),
            attribute: given.0,
        });
        output.to_owned()
    }

    /// A node without attributes.
    pub fn named(&mut self, op: &str, inputs: &[&str], output: &str) -> String {
        self.node(op, inputs, output, |attributes| attributes)
    }

    /// A constant of f32.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, DataType::Float, dims, bytes)
    }

    /// A constant of f64.
    pub fn doubles(&mut self, name: &str, dims: &[usize], values: &[f64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, DataType::Double, dims, bytes)
    }

    /// A list of whole numbers.
    pub fn ints(&mut self, name: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, DataType::Int64, &[values.len()], bytes)
    }

    /// A single whole number.
    pub fn int(&mut self, name: &str, value: i64) -> String {
        self.constant(name, DataType::Int64, &[], value.to_le_bytes().to_vec())
    }

    fn constant(&mut self, name: &str, of: DataType, dims: &[usize], raw_data: Vec<u8>) -> String {
        self.graph.initializer.push(TensorProto {
            name: name.to_owned(),
            data_type: of as i32,
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            raw_data,
        });
        name.to_owned()
    }

    /// The graph.
    pub fn graph(self, name: &str) -> GraphProto {
        GraphProto { name: name.to_owned(), ..self.graph }
    }
}

fn value_info(name: &str, of: DataType, dims: &[Dim]) -> ValueInfoProto {
    let dim = |dim: &Dim| Dimension {
        value: Some(match *dim {
            Dim::Of(size) => DimensionValue::DimValue(size as i64),
            Dim::Named(name) => DimensionValue::DimParam(name.to_owned()),
        }),
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor_type = Some(TensorType { elem_type: of as i32, shape: Some(shape) });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}
