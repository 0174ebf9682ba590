//! The messages of an ONNX file that this program writes: a part of `onnx.proto3` of ONNX 1.16, whose names and
//! field numbers these are (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3>). `prost` encodes them.
//!
//! They are written down here because the crates that have all of them have a runtime for graphs, too: in the
//! engine for browsers it would be four times as large as all the rest.

use prost::{Enumeration, Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelProto {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer_name: String,
    #[prost(string, tag = "3")]
    pub producer_version: String,
    #[prost(string, tag = "6")]
    pub doc_string: String,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    #[prost(enumeration = "AttributeType", tag = "20")]
    pub r#type: i32,
}

/// Which field of an [`AttributeProto`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum AttributeType {
    Undefined = 0,
    Int = 2,
    Ints = 7,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(enumeration = "DataType", tag = "2")]
    pub data_type: i32,
    #[prost(string, tag = "8")]
    pub name: String,
    /// Little-endian, row-major.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

/// Element types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum DataType {
    Undefined = 0,
    Float = 1,
    Uint8 = 2,
    Int64 = 7,
    Double = 11,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

/// Of a tensor, which is the only kind of value here.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorType {
    #[prost(enumeration = "DataType", tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dimension {
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
}

/// A size, or a name for any.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum DimensionValue {
    #[prost(int64, tag = "1")]
    DimValue(i64),
    #[prost(string, tag = "2")]
    DimParam(String),
}

#[cfg(all(test, feature = "runner"))]
mod tests {
    use super::*;

    #[test]
    fn all_messages_of_onnx_read_and_write_the_same_bytes() {
        let shape = TensorShapeProto {
            dim: vec![
                Dimension { value: Some(DimensionValue::DimValue(3)) },
                Dimension { value: Some(DimensionValue::DimParam("height".to_owned())) },
            ],
        };
        let tensor_type = Some(TensorType { elem_type: DataType::Uint8 as i32, shape: Some(shape) });
        let value = ValueInfoProto { name: "x".to_owned(), r#type: Some(TypeProto { tensor_type }) };
        let attribute = |r#type, i, ints| AttributeProto { name: "a".to_owned(), i, ints, r#type };
        let model = ModelProto {
            ir_version: 8,
            producer_name: "a producer".to_owned(),
            producer_version: "1".to_owned(),
            doc_string: "a model".to_owned(),
            graph: Some(GraphProto {
                node: vec![NodeProto {
                    input: vec!["x".to_owned()],
                    output: vec!["y".to_owned()],
                    name: "node".to_owned(),
                    op_type: "Relu".to_owned(),
                    attribute: vec![
                        attribute(AttributeType::Int as i32, -1, vec![]),
                        attribute(AttributeType::Ints as i32, 0, vec![1, -2]),
                    ],
                }],
                name: "graph".to_owned(),
                initializer: vec![TensorProto {
                    dims: vec![2],
                    data_type: DataType::Double as i32,
                    name: "constant".to_owned(),
                    raw_data: vec![7; 16],
                }],
                input: vec![value.clone()],
                output: vec![value],
            }),
            opset_import: vec![OperatorSetIdProto { domain: "d".to_owned(), version: 17 }],
            metadata_props: vec![StringStringEntryProto { key: "k".to_owned(), value: "v".to_owned() }],
        };
        let bytes = model.encode_to_vec();
        let known = tract_onnx::pb::ModelProto::decode(&*bytes).unwrap();
        assert_eq!(known.encode_to_vec(), bytes);
        let node = &known.graph.as_ref().unwrap().node[0];
        assert_eq!((node.op_type.as_str(), node.attribute[1].ints.as_slice()), ("Relu", &[1, -2][..]));
        assert_eq!(known.metadata_props[0].value, "v");
    }
}
