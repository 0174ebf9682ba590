//! Convolutions, linear layers, activations, additions, poolings and losses.

use crate::bench::{depthwise, filter, matrix, vector};
use crate::{Case, Tester};
use frostline_engine::ops::{
    Activation, Add, Conv2d, CrossEntropy, DepthwiseConv2d, GlobalAvgPool, Linear, MaxPool2d, MultiMargin,
    Op, Relu, Silu,
};
use frostline_engine::{Freeze, Padding, Result};
use frostline_twin::activation::Activation as Twin;
use frostline_twin::cases::{self, ConvCase, WindowCase};
use frostline_twin::{
    Array, Value, add, conv2d, depthwise_conv2d, global_avg_pool, linear, max_pool2d, multi_margin,
    softmax_cross_entropy,
};

/// In the order of a network.
pub const CASES: &[Case] = &[
    ("conv2d 7×7 stride 2", |t| Box::pin(convolution(t, [2, 3, 8], [13, 11], 7, 2))),
    ("conv2d 3×3", |t| Box::pin(convolution(t, [2, 8, 12], [7, 9], 3, 1))),
    ("conv2d 3×3 stride 2", |t| Box::pin(convolution(t, [2, 8, 12], [7, 9], 3, 2))),
    ("conv2d 1×1", |t| Box::pin(convolution(t, [3, 6, 5], [5, 4], 1, 1))),
    ("conv2d 3×3 of 32 channels", |t| Box::pin(convolution(t, [2, 32, 33], [8, 8], 3, 1))),
    ("conv2d with bias", |t| Box::pin(biased_convolution(t))),
    ("depthwise_conv2d 3×3", |t| Box::pin(depthwise_convolution(t, [7, 9], 3, 1))),
    ("depthwise_conv2d 5×5 stride 2", |t| Box::pin(depthwise_convolution(t, [8, 7], 5, 2))),
    ("linear", |t| Box::pin(linear_layer(t, [67, 6, 3]))),
    // Realistic numbers of pixels, rows and inputs, for which kernels split sums.
    ("conv2d 7×7 stride 2 of photos", |t| Box::pin(convolution(t, [2, 3, 4], [112, 112], 7, 2))),
    ("conv2d 1×1 over 62,720 pixels", |t| Box::pin(convolution(t, [20, 4, 4], [56, 56], 1, 1))),
    ("depthwise_conv2d 3×3 of photos", |t| Box::pin(depthwise_convolution(t, [112, 112], 3, 1))),
    ("linear over 30,011 rows", |t| Box::pin(linear_layer(t, [30_011, 4, 4]))),
    ("linear of 25,088 inputs", |t| Box::pin(linear_layer(t, [2, 25_088, 5]))),
    ("linear of 10,000 outputs", |t| Box::pin(linear_layer(t, [2, 5, 10_000]))),
    ("relu", |t| Box::pin(activation(t, Relu { activation: Activation::Relu }, Twin::Relu))),
    ("relu6", |t| Box::pin(activation(t, Relu { activation: Activation::Relu6 }, Twin::Relu6))),
    ("silu", |t| Box::pin(activation(t, Silu, Twin::Silu))),
    ("relu before a frozen convolution", |t| Box::pin(masked_activation(t))),
    ("add", |t| Box::pin(addition(t, Activation::None, Twin::None))),
    ("add and relu", |t| Box::pin(addition(t, Activation::Relu, Twin::Relu))),
    ("max_pool2d 3×3 stride 2", |t| Box::pin(max_pool(t))),
    ("global_avg_pool", |t| Box::pin(average_pool(t))),
    ("cross_entropy", |t| Box::pin(softmax_loss(t, 70))),
    ("cross_entropy of 5,000 rows", |t| Box::pin(softmax_loss(t, 5_000))),
    ("multi_margin", |t| Box::pin(margin_loss(t))),
];

async fn convolution(
    t: &mut Tester<'_>,
    [n, c_in, c_out]: [usize; 3],
    size: [usize; 2],
    k: usize,
    stride: usize,
) -> Result<()> {
    let case = ConvCase { n, c_in, c_out, size, kernel: [k; 2], stride, padding: [k / 2; 4] };
    let [x, w, dy] = [case.x_shape(), case.w_shape(), case.y_shape()]
        .map(|shape| cases::uniform(&mut t.rng, &shape, -1.0..1.0));
    let mut bench = t.bench();
    let inputs = [bench.image("x", &x)?, bench.parameter("w", filter(&w), &w)?];
    let op = Conv2d { stride, padding: Padding::all(k / 2), ..Default::default() };
    let y = bench.graph.record(op, "conv", &inputs)?;
    let ran = bench.run(y, &dy, &Freeze::none(), t.tuning).await?;
    t.ran(&ran.kernels);
    let winograd = ran.kernels.iter().any(|kernel| kernel.starts_with("winograd."));
    let by_tile = |value: Value, m: usize| if winograd { value.by_tile(m) } else { value };
    t.check("output", &ran.output, &by_tile(conv2d::forward(&x, &w, stride, case.padding), 4));
    let dx = conv2d::backward_input(&dy, &w, x.dims(), stride, case.padding);
    t.check("gradient of x", ran.gradient("x"), &by_tile(dx, 4));
    let dw = conv2d::backward_weight(&x, &dy, w.dims(), stride, case.padding);
    t.check("gradient of w", ran.gradient("w"), &by_tile(dw, 3));
    Ok(())
}

async fn biased_convolution(t: &mut Tester<'_>) -> Result<()> {
    let [x, dy] = [[2, 5, 4, 7], [2, 6, 4, 7]].map(|shape| cases::uniform(&mut t.rng, &shape, -1.0..1.0));
    let (w, b) =
        (cases::uniform(&mut t.rng, &[6, 5, 1, 1], -1.0..1.0), cases::uniform(&mut t.rng, &[6], -1.0..1.0));
    let mut bench = t.bench();
    let inputs =
        [bench.image("x", &x)?, bench.parameter("w", filter(&w), &w)?, bench.parameter("b", vector(&b), &b)?];
    let y = bench.graph.record(Conv2d { stride: 1, bias: true, ..Default::default() }, "conv", &inputs)?;
    let ran = bench.run(y, &dy, &Freeze::none(), t.tuning).await?;
    t.ran(&ran.kernels);
    let epilogue = frostline_twin::epilogue::Epilogue { shift: Some(&b), ..Default::default() };
    t.check("output", &ran.output, &conv2d::forward_fused(&x, &w, 1, [0; 4], &epilogue));
    t.check("gradient of b", ran.gradient("b"), &linear::backward_bias(&pixels(&dy)));
    Ok(())
}

/// (N, C, H, W) as rows of channels.
fn pixels(array: &Array) -> Array {
    let [n, c, h, w] = array.dims();
    let mut rows = Array::zeros(&[n * h * w, c]);
    for (i, &value) in array.data.iter().enumerate() {
        let (pixel, channel, image) = (i % (h * w), i / (h * w) % c, i / (h * w * c));
        rows.data[(image * h * w + pixel) * c + channel] = value;
    }
    rows
}

async fn depthwise_convolution(t: &mut Tester<'_>, size: [usize; 2], k: usize, stride: usize) -> Result<()> {
    let case = WindowCase { n: 2, c: 6, size, kernel: [k; 2], stride, padding: [k / 2; 4] };
    let [x, w, dy] = [case.x_shape(), case.w_shape(), case.y_shape()]
        .map(|shape| cases::uniform(&mut t.rng, &shape, -1.0..1.0));
    let mut bench = t.bench();
    let inputs = [bench.image("x", &x)?, bench.parameter("w", depthwise(&w), &w)?];
    let op = DepthwiseConv2d { stride, padding: Padding::all(k / 2) };
    let y = bench.graph.record(op, "conv", &inputs)?;
    let ran = bench.run(y, &dy, &Freeze::none(), t.tuning).await?;
    t.ran(&ran.kernels);
    t.check("output", &ran.output, &depthwise_conv2d::forward(&x, &w, stride, case.padding));
    t.check(
        "gradient of x",
        ran.gradient("x"),
        &depthwise_conv2d::backward_input(&dy, &w, x.dims(), stride, case.padding),
    );
    t.check(
        "gradient of w",
        ran.gradient("w"),
        &depthwise_conv2d::backward_weight(&x, &dy, w.dims(), stride, case.padding),
    );
    Ok(())
}

async fn linear_layer(t: &mut Tester<'_>, [rows, c_in, c_out]: [usize; 3]) -> Result<()> {
    let shapes = [&[rows, c_in][..], &[c_out, c_in], &[c_out], &[rows, c_out]];
    let [x, w, b, dy] = shapes.map(|shape| cases::uniform(&mut t.rng, shape, -1.0..1.0));
    let mut bench = t.bench();
    let inputs =
        [bench.image("x", &x)?, bench.parameter("w", matrix(&w), &w)?, bench.parameter("b", vector(&b), &b)?];
    let y = bench.graph.record(Linear, "fc", &inputs)?;
    let ran = bench.run(y, &dy, &Freeze::none(), t.tuning).await?;
    t.ran(&ran.kernels);
    t.check("output", &ran.output, &linear::forward(&x, &w, Some(&b)));
    t.check("gradient of x", ran.gradient("x"), &linear::backward_input(&dy, &w));
    t.check("gradient of w", ran.gradient("w"), &linear::backward_weight(&x, &dy));
    t.check("gradient of b", ran.gradient("b"), &linear::backward_bias(&dy));
    Ok(())
}

async fn activation(t: &mut Tester<'_>, op: impl Op, twin: Twin) -> Result<()> {
    let shape = [3, 3, 5, 7];
    let (x, dy) =
        (cases::uniform(&mut t.rng, &shape, -4.0..10.0), cases::uniform(&mut t.rng, &shape, -1.0..1.0));
    let mut bench = t.bench();
    let input = bench.image("x", &x)?;
    let y = bench.graph.record(op, "act", &[input])?;
    let ran = bench.run(y, &dy, &Freeze::none(), t.tuning).await?;
    t.ran(&ran.kernels);
    t.check("output", &ran.output, &twin.forward(&x));
    t.check("gradient of x", ran.gradient("x"), &twin.backward(&dy, &x));
    Ok(())
}

/// The activation's output is not kept here: a bit mask stores where its slope is one.
async fn masked_activation(t: &mut Tester<'_>) -> Result<()> {
    let x = cases::uniform(&mut t.rng, &[2, 5, 3, 3], -4.0..10.0);
    let w = cases::uniform(&mut t.rng, &[3, 5, 1, 1], -1.0..1.0);
    let dy = cases::uniform(&mut t.rng, &[2, 3, 3, 3], -1.0..1.0);
    let mut bench = t.bench();
    let (input, weight) = (bench.image("x", &x)?, bench.parameter("w", filter(&w), &w)?);
    let a = bench.graph.record(Relu { activation: Activation::Relu }, "act", &[input])?;
    let y = bench.graph.record(Conv2d { stride: 1, ..Default::default() }, "conv", &[a, weight])?;
    let ran = bench.run(y, &dy, &Freeze::names(["w"]), t.tuning).await?;
    t.ran(&ran.kernels);
    let mut dx = conv2d::backward_input(&dy, &w, x.dims(), 1, [0; 4]);
    for (i, _) in x.data.iter().enumerate().filter(|(_, value)| !Twin::Relu.passes(**value)) {
        dx.set([i], frostline_twin::Tracked::ZERO);
    }
    t.check("gradient of x", ran.gradient("x"), &dx);
    Ok(())
}

async fn addition(t: &mut Tester<'_>, activation: Activation, twin: Twin) -> Result<()> {
    let shape = [3, 3, 5, 7];
    let [a, b, dy] = [-2.0..5.0, -2.0..5.0, -1.0..1.0].map(|range| cases::uniform(&mut t.rng, &shape, range));
    let mut bench = t.bench();
    let inputs = [bench.image("a", &a)?, bench.image("b", &b)?];
    let y = bench.graph.record(Add, "add", &inputs)?;
    let y = bench.graph.record(Relu { activation }, "act", &[y])?;
    let ran = bench.run(y, &dy, &Freeze::none(), t.tuning).await?;
    t.ran(&ran.kernels);
    t.check("output", &ran.output, &add::forward(&a, &b, twin));
    let gradient = add::backward(&dy, &ran.output_array(&shape), twin);
    t.check("gradient of a", ran.gradient("a"), &gradient);
    t.check("gradient of b", ran.gradient("b"), &gradient);
    Ok(())
}

async fn max_pool(t: &mut Tester<'_>) -> Result<()> {
    let x = cases::distinct(&mut t.rng, &[2, 5, 7, 9], 0.1);
    let pooled = max_pool2d::forward(&x, [3; 2], 2, [1; 4]);
    let dy = cases::uniform(&mut t.rng, &pooled.y.value.shape, -1.0..1.0);
    let mut bench = t.bench();
    let input = bench.image("x", &x)?;
    let y = bench.graph.record(MaxPool2d { kernel: 3, stride: 2, padding: 1 }, "pool", &[input])?;
    let ran = bench.run(y, &dy, &Freeze::none(), t.tuning).await?;
    t.ran(&ran.kernels);
    t.check("output", &ran.output, &pooled.y);
    t.check("gradient of x", ran.gradient("x"), &max_pool2d::backward(&dy, &pooled.pixel, x.dims()));
    Ok(())
}

async fn average_pool(t: &mut Tester<'_>) -> Result<()> {
    let x = cases::uniform(&mut t.rng, &[2, 5, 7, 9], -1.0..1.0);
    let dy = cases::uniform(&mut t.rng, &[2, 5], -1.0..1.0);
    let mut bench = t.bench();
    let input = bench.image("x", &x)?;
    let y = bench.graph.record(GlobalAvgPool, "pool", &[input])?;
    let ran = bench.run(y, &dy, &Freeze::none(), t.tuning).await?;
    t.ran(&ran.kernels);
    t.check("output", &ran.output, &global_avg_pool::forward(&x));
    t.check("gradient of x", ran.gradient("x"), &global_avg_pool::backward(&dy, x.dims()));
    Ok(())
}

/// The backward pass starts at the loss: a gradient given from outside has no effect.
async fn softmax_loss(t: &mut Tester<'_>, rows: usize) -> Result<()> {
    let smoothing = 0.1f32;
    let op = CrossEntropy { label_smoothing: smoothing, ..Default::default() };
    loss(t, rows, op, |logits, labels| {
        let smoothing = f64::from(smoothing);
        let backward = softmax_cross_entropy::backward(logits, labels, smoothing);
        (softmax_cross_entropy::forward(logits, labels, smoothing), backward)
    })
    .await
}

async fn margin_loss(t: &mut Tester<'_>) -> Result<()> {
    let op = MultiMargin { margin: 1.0 };
    let twin = |logits: &Array, labels: &[u32]| {
        (multi_margin::forward(logits, labels, 1.0), multi_margin::backward(logits, labels, 1.0))
    };
    loss(t, 70, op, twin).await
}

async fn loss(
    t: &mut Tester<'_>,
    rows: usize,
    op: impl Op,
    twin: impl Fn(&Array, &[u32]) -> (Value, Value),
) -> Result<()> {
    // No two logits are equal, because a margin's gradient is discontinuous there.
    let classes = 10;
    let logits = cases::distinct(&mut t.rng, &[rows, classes], 2.1 / rows as f32);
    let labels = cases::labels_with_ignored(&mut t.rng, rows, classes);
    let mut bench = t.bench();
    let inputs = [bench.image("logits", &logits)?, bench.labels(&labels)];
    let loss = bench.graph.record(op, "loss", &inputs)?;
    let ran = bench.run(loss, &Array::new(&[4], vec![7.0; 4]), &Freeze::none(), t.tuning).await?;
    t.ran(&ran.kernels);
    let (mean, gradient) = twin(&logits, &labels);
    t.check("output", &ran.output[..ran.output.len().min(1)], &mean);
    t.check("gradient of logits", ran.gradient("logits"), &gradient);
    Ok(())
}
