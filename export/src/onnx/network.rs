//! The network as nodes: what the model's code records, with its batch norms folded.
//!
//! y = γ·(conv(x, w) - mean)/√(var + eps) + β is a convolution with the weight w·s and the bias
//! β - mean·s, where s = γ/√(var + eps). Computed in f64 and rounded once.

use super::writer::Writer;
use crate::Trained;
use crate::error::{Error, Result};
use frostline_engine::TensorId;
use frostline_engine::graph::Node;
use frostline_engine::ops::{
    Activation, Add, BatchNorm, Conv2d, DepthwiseConv2d, GlobalAvgPool, Linear, MaxPool2d, Op, Relu,
};
use frostline_engine::{Graph, Padding};
use std::any::Any;
use std::collections::HashMap;

/// Writes the nodes from the input `x`, (1, channels, crop, crop), to the logits (1, classes), whose
/// name is returned.
pub(crate) fn write(writer: &mut Writer, x: &str, trained: &Trained<'_>) -> Result<String> {
    let (mut graph, crop) = (Graph::new(), trained.preprocessing.crop);
    let input = graph.input(1, crop, crop, trained.model.input_channels());
    let output = trained.model.record(&mut graph, input)?.output();
    let mut network =
        Network { graph: &graph, trained, writer, values: HashMap::from([(input, x.to_owned())]) };
    let mut nodes = graph.nodes().iter().peekable();
    while let Some(node) = nodes.next() {
        // A batch norm follows its convolution, and nothing else reads what that convolution gives.
        let norm = nodes.next_if(|next| {
            is::<BatchNorm>(&*next.op).is_some() && next.inputs[0] == node.output && has_filter(&*node.op)
        });
        network.node(node, norm)?;
    }
    network.value(output)
}

struct Network<'a, 'w> {
    graph: &'a Graph,
    trained: &'a Trained<'a>,
    writer: &'w mut Writer,
    /// Names of what was written, by the tensor it stands for.
    values: HashMap<TensorId, String>,
}

impl Network<'_, '_> {
    fn node(&mut self, node: &Node, norm: Option<&Node>) -> Result<()> {
        let op = &*node.op;
        let cannot = || Error::Op { layer: node.layer.clone(), op: op.name().to_owned() };
        let x = self.value(node.inputs[0])?;
        let name = format!("net/{}", node.layer);
        let output = if let Some(Conv2d { stride, padding, bias: false }) = is(op) {
            self.convolution(node, norm, &x, *stride, *padding, 1)?
        } else if let Some(DepthwiseConv2d { stride, padding }) = is(op) {
            let channels = self.graph.shape(node.inputs[0]).channels();
            self.convolution(node, norm, &x, *stride, *padding, channels)?
        } else if let Some(Relu { activation }) = is(op) {
            match activation {
                Activation::Relu => self.writer.named("Relu", &[&x], &name),
                Activation::Relu6 => {
                    let low = self.writer.floats(&format!("{name}.min"), &[], &[0.0]);
                    let high = self.writer.floats(&format!("{name}.max"), &[], &[6.0]);
                    self.writer.named("Clip", &[&x, &low, &high], &name)
                }
                Activation::None => x,
                Activation::Silu => return Err(cannot()),
            }
        } else if is::<Add>(op).is_some() {
            let other = self.value(node.inputs[1])?;
            self.writer.named("Add", &[&x, &other], &name)
        } else if let Some(MaxPool2d { kernel, stride, padding }) = is(op) {
            let (kernel, stride, padding) = (*kernel as i64, *stride as i64, *padding as i64);
            self.writer.node("MaxPool", &[&x], &name, |a| {
                a.ints("kernel_shape", &[kernel; 2]).ints("strides", &[stride; 2]).ints("pads", &[padding; 4])
            })
        } else if is::<GlobalAvgPool>(op).is_some() {
            let pooled = self.writer.named("GlobalAveragePool", &[&x], &format!("{name}.image"));
            self.writer.node("Flatten", &[&pooled], &name, |a| a.int("axis", 1))
        } else if is::<Linear>(op).is_some() {
            let [weight, bias] = [1, 2].map(|i| self.weight(node.inputs[i]));
            let ((weight_name, shape, weight), (bias_name, bias_shape, bias)) = (weight?, bias?);
            let weight = self.writer.floats(&weight_name, &shape, &weight);
            let bias = self.writer.floats(&bias_name, &bias_shape, &bias);
            self.writer.node("Gemm", &[&x, &weight, &bias], &name, |a| a.int("transB", 1))
        } else {
            return Err(cannot());
        };
        self.values.insert(norm.map_or(node.output, |norm| norm.output), output);
        Ok(())
    }

    fn convolution(
        &mut self,
        node: &Node,
        norm: Option<&Node>,
        x: &str,
        stride: usize,
        padding: Padding,
        groups: usize,
    ) -> Result<String> {
        let (weight_name, shape, mut weight) = self.weight(node.inputs[1])?;
        let outputs = shape[0];
        let mut bias = vec![0.0; outputs];
        if let Some(norm) = norm {
            let BatchNorm { eps, .. } = is(&*norm.op)
                .ok_or_else(|| Error::Op { layer: norm.layer.clone(), op: norm.op.name().to_owned() })?;
            let mut vectors = vec![];
            for &input in &norm.inputs[1..] {
                vectors.push(self.weight(input)?.2);
            }
            let [gamma, beta, mean, var] = &vectors[..] else {
                return Err(Error::Op { layer: norm.layer.clone(), op: norm.op.name().to_owned() });
            };
            let taps = weight.len() / outputs.max(1);
            for (c, filter) in weight.chunks_exact_mut(taps.max(1)).enumerate() {
                let scale = f64::from(gamma[c]) / (f64::from(var[c]) + f64::from(*eps)).sqrt();
                filter.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
                bias[c] = (f64::from(beta[c]) - f64::from(mean[c]) * scale) as f32;
            }
        }
        let name = format!("net/{}", node.layer);
        let weight = self.writer.floats(&weight_name, &shape, &weight);
        let bias = self.writer.floats(&format!("{}.bias", node.layer), &[outputs], &bias);
        let Padding { top, left, bottom, right } = padding;
        Ok(self.writer.node("Conv", &[x, &weight, &bias], &name, |a| {
            a.ints("kernel_shape", &[shape[2] as i64, shape[3] as i64])
                .ints("strides", &[stride as i64; 2])
                .ints("pads", &[top, left, bottom, right].map(|side| side as i64))
                .int("group", groups as i64)
        }))
    }

    /// Name, PyTorch's shape and values of a parameter or statistic.
    fn weight(&self, id: TensorId) -> Result<(String, Vec<usize>, Vec<f32>)> {
        let tensor = self.graph.tensor(id);
        let expected = tensor.shape.torch();
        let given = self.trained.weights.get(&tensor.name);
        match given {
            Some(given)
                if given.shape == expected && given.data.len() == expected.iter().product::<usize>() =>
            {
                Ok((tensor.name.clone(), expected, given.data.clone()))
            }
            _ => Err(Error::Weight {
                name: tensor.name.clone(),
                expected,
                got: given.map_or("none".to_owned(), |given| format!("{:?}", given.shape)),
            }),
        }
    }

    fn value(&self, id: TensorId) -> Result<String> {
        let name = &self.graph.tensor(id).name;
        self.values
            .get(&id)
            .cloned()
            .ok_or_else(|| Error::Op { layer: name.clone(), op: "its input".to_owned() })
    }
}

fn is<T: 'static>(op: &dyn Op) -> Option<&T> {
    let any: &dyn Any = op;
    any.downcast_ref()
}

fn has_filter(op: &dyn Op) -> bool {
    is::<Conv2d>(op).is_some() || is::<DepthwiseConv2d>(op).is_some()
}
