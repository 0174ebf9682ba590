//! Layers by torchvision's names: the methods with which model code records itself.

use crate::error::Result;
use crate::graph::Graph;
use crate::ops::augment::{self, Augment};
use crate::ops::mixup::{self, Mixup};
use crate::ops::normalize::Normalize;
use crate::ops::{
    Activation, Add, BatchNorm, Conv2d, CrossEntropy, DepthwiseConv2d, GlobalAvgPool, Linear, MaxPool2d,
    MultiMargin, Padding, Relu, Silu,
};
use crate::shape::Shape;
use crate::tensor::{Init, InputKind, Role, TensorId};

impl Graph {
    /// (x/255 − mean) / std of images of bytes, with a mean and a deviation per channel.
    pub fn normalize(&mut self, pixels: TensorId, mean: &[f32], std: &[f32]) -> Result<TensorId> {
        self.record(Normalize { mean: mean.to_vec(), std: std.to_vec() }, "normalize", &[pixels])
    }

    /// The images of `x`, changed by [`Augment`]; the changes of each are given to
    /// [`crate::Session::write_transforms`] for every batch. `x` contains values in 0..=1.
    pub fn augment(&mut self, x: TensorId, augment: Augment) -> Result<TensorId> {
        let images = self.shape(x);
        let n = match images {
            Shape::Image { n, .. } => n,
            _ => 0,
        };
        let role = Role::Input(InputKind::Transforms { images });
        let transforms = self.add_tensor("transforms", augment::transforms_shape(n), role);
        self.record(augment, "augment", &[x, transforms])
    }

    /// The partner and share of each of `n` images and labels in mixup: given to
    /// [`crate::Session::write_mixes`] for every batch.
    pub fn mixes(&mut self, n: usize) -> TensorId {
        self.add_tensor("mixes", mixup::mixes_shape(n), Role::Input(InputKind::Mixes))
    }

    /// `x` with every image mixed with another one of the batch. The loss mixes their labels:
    /// [`CrossEntropy`] with `mixes` for its third input.
    pub fn mixup(&mut self, x: TensorId, mixes: TensorId) -> Result<TensorId> {
        self.record(Mixup, "mixup", &[x, mixes])
    }

    /// A convolution `layer` with `c_out` filters of `kernel` × `kernel`, without bias: `layer.weight`.
    pub fn conv2d(
        &mut self,
        x: TensorId,
        layer: &str,
        c_out: usize,
        kernel: usize,
        stride: usize,
        padding: Padding,
    ) -> Result<TensorId> {
        let c_in = self.shape(x).channels();
        let shape = Shape::Filter { kh: kernel, kw: kernel, c_in, c_out };
        let weight = self.parameter(&format!("{layer}.weight"), shape, Init::KaimingNormal)?;
        self.record(Conv2d { stride, padding, ..Default::default() }, layer, &[x, weight])
    }

    /// A convolution with bias: `layer.weight`, `layer.bias`.
    pub fn conv2d_bias(
        &mut self,
        x: TensorId,
        layer: &str,
        c_out: usize,
        kernel: usize,
        stride: usize,
        padding: Padding,
    ) -> Result<TensorId> {
        let c_in = self.shape(x).channels();
        let shape = Shape::Filter { kh: kernel, kw: kernel, c_in, c_out };
        let weight = self.parameter(&format!("{layer}.weight"), shape, Init::KaimingNormal)?;
        let bias = self.parameter(
            &format!("{layer}.bias"),
            Shape::Vector { c: c_out },
            Init::Uniform { fan_in: shape.fan_in() },
        )?;
        self.record(Conv2d { stride, padding, bias: true }, layer, &[x, weight, bias])
    }

    /// A depthwise convolution `layer` without bias: `layer.weight`.
    pub fn depthwise_conv2d(
        &mut self,
        x: TensorId,
        layer: &str,
        kernel: usize,
        stride: usize,
        padding: Padding,
    ) -> Result<TensorId> {
        let shape = Shape::Depthwise { kh: kernel, kw: kernel, c: self.shape(x).channels() };
        let weight = self.parameter(&format!("{layer}.weight"), shape, Init::KaimingNormal)?;
        self.record(DepthwiseConv2d { stride, padding }, layer, &[x, weight])
    }

    /// Batch norm `layer`: `layer.weight`, `layer.bias`, `layer.running_mean`, `layer.running_var`.
    pub fn batch_norm(&mut self, x: TensorId, layer: &str, eps: f32) -> Result<TensorId> {
        let shape = Shape::Vector { c: self.shape(x).channels() };
        let weight = self.parameter(&format!("{layer}.weight"), shape, Init::Constant(1.0))?;
        let bias = self.parameter(&format!("{layer}.bias"), shape, Init::Constant(0.0))?;
        let mean = self.statistic(&format!("{layer}.running_mean"), shape, 0.0)?;
        let var = self.statistic(&format!("{layer}.running_var"), shape, 1.0)?;
        self.record(BatchNorm { eps, ..Default::default() }, layer, &[x, weight, bias, mean, var])
    }

    /// max(x, 0).
    pub fn relu(&mut self, x: TensorId, layer: &str) -> Result<TensorId> {
        self.record(Relu { activation: Activation::Relu }, layer, &[x])
    }

    /// min(max(x, 0), 6).
    pub fn relu6(&mut self, x: TensorId, layer: &str) -> Result<TensorId> {
        self.record(Relu { activation: Activation::Relu6 }, layer, &[x])
    }

    /// x·σ(x), with σ(x) = 1/(1 + exp(−x)).
    pub fn silu(&mut self, x: TensorId, layer: &str) -> Result<TensorId> {
        self.record(Silu, layer, &[x])
    }

    /// a + b.
    pub fn add(&mut self, a: TensorId, b: TensorId, layer: &str) -> Result<TensorId> {
        self.record(Add, layer, &[a, b])
    }

    /// The largest value of every `kernel` × `kernel` window.
    pub fn max_pool2d(
        &mut self,
        x: TensorId,
        layer: &str,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Result<TensorId> {
        self.record(MaxPool2d { kernel, stride, padding }, layer, &[x])
    }

    /// The mean over all pixels.
    pub fn global_avg_pool(&mut self, x: TensorId, layer: &str) -> Result<TensorId> {
        self.record(GlobalAvgPool, layer, &[x])
    }

    /// A linear layer with bias: `layer.weight`, `layer.bias`.
    pub fn linear(&mut self, x: TensorId, layer: &str, c_out: usize) -> Result<TensorId> {
        let c_in = self.shape(x).channels();
        let init = Init::Uniform { fan_in: c_in };
        let weight = self.parameter(&format!("{layer}.weight"), Shape::Matrix { c_in, c_out }, init)?;
        let bias = self.parameter(&format!("{layer}.bias"), Shape::Vector { c: c_out }, init)?;
        self.record(Linear, layer, &[x, weight, bias])
    }

    /// The mean loss of a softmax over `logits`, with the fraction `label_smoothing` of every target
    /// spread over all classes.
    pub fn cross_entropy(
        &mut self,
        logits: TensorId,
        labels: TensorId,
        label_smoothing: f32,
    ) -> Result<TensorId> {
        self.record(CrossEntropy { label_smoothing, ..Default::default() }, "loss", &[logits, labels])
    }

    /// The mean hinge loss of a linear support vector machine over `logits`: every other class should stay
    /// `margin` below the label's.
    pub fn multi_margin(&mut self, logits: TensorId, labels: TensorId, margin: f32) -> Result<TensorId> {
        self.record(MultiMargin { margin }, "loss", &[logits, labels])
    }
}
