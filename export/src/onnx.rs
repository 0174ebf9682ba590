//! ONNX: one graph from a decoded photo to probabilities.
//!
//! Input `image`: bytes (height, width, 3), a decoded RGB photo of any size, the right way up. Output
//! `probabilities`: (classes), which add up to 1. In between: the scaling, cropping and normalising of
//! [`Preprocessing`](frostline_loader::Preprocessing) with the same bytes (`preprocess.rs`), and the network with
//! its batch norms folded into its convolutions (`network.rs`). Class names, the preprocessing as
//! settings and the model card are in the file's metadata. Opset 17, which onnxruntime reads from 1.12
//! on; weights are f32.
//!
//! The messages are those of ONNX's `onnx.proto3` (`messages.rs`).

mod messages;
mod network;
mod preprocess;
mod writer;

use crate::Trained;
use crate::error::Result;
use messages::{DataType, ModelProto, OperatorSetIdProto, StringStringEntryProto};
use prost::Message;
use writer::{Dim, Writer};

/// Version of the operators' meanings.
pub const OPSET: i64 = 17;
/// Version of the file format that came with this opset.
const IR_VERSION: i64 = 8;
/// Name of the graph's input.
pub const IMAGE: &str = "image";
/// Name of the graph's output.
pub const PROBABILITIES: &str = "probabilities";

/// The bytes of the ONNX file.
///
/// # Errors
/// [`Error::NoHead`](crate::Error::NoHead), [`Error::Classes`](crate::Error::Classes),
/// [`Error::Weight`](crate::Error::Weight); [`Error::Op`](crate::Error::Op) for a network that has an
/// operation with no counterpart here.
pub fn model(trained: &Trained<'_>) -> Result<Vec<u8>> {
    let Trained { model, preprocessing, .. } = trained;
    let outputs = trained.check()?;
    let mut writer = Writer::default();
    writer.input(IMAGE, DataType::Uint8, &[Dim::Named("height"), Dim::Named("width"), Dim::Of(3)]);
    let x = preprocess::write(&mut writer, IMAGE, preprocessing);
    let logits = network::write(&mut writer, &x, trained)?;
    let rows = writer.node("Softmax", &[&logits], "probabilities_of_batch", |node| node.int("axis", 1));
    let shape = writer.ints("one_dimension", &[outputs as i64]);
    writer.named("Reshape", &[&rows, &shape], PROBABILITIES);
    writer.output(PROBABILITIES, DataType::Float, &[Dim::Of(outputs)]);
    let proto = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "frostline".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: format!(
            "{model}. Input: a decoded RGB photo of any size as bytes (height, width, 3). Output: the probability of each of {outputs} classes."
        ),
        graph: Some(writer.graph(model.name())),
        metadata_props: metadata(trained),
    };
    Ok(proto.encode_to_vec())
}

/// `classes` and `preprocessing` as JSON, and the caller's metadata.
fn metadata(trained: &Trained<'_>) -> Vec<StringStringEntryProto> {
    let Trained { model, about, .. } = trained;
    let own = [
        ("classes", trained.classes_json()),
        ("preprocessing", trained.preprocessing_json()),
        ("network", model.to_string()),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value));
    let entries = own.chain(about.iter().map(|(key, value)| (key.clone(), value.clone())));
    entries.map(|(key, value)| StringStringEntryProto { key, value }).collect()
}
