//! The puzzles, from the first to the last.

mod conv2d;
mod elementwise;
mod loss;
mod matrix;
mod norm;
mod pool;

use crate::case::Case;
use frostline_twin::cases;
use rand::Rng;

/// A kernel to write.
#[derive(Clone, Copy, Debug)]
pub struct Puzzle {
    /// `relu.backward`
    pub name: &'static str,
    /// What is to be learnt, in a few words.
    pub about: &'static str,
    /// The entry point to fill in.
    pub entry: &'static str,
    /// The file with header, bindings and an empty body.
    pub template: &'static str,
    /// Three hints, each saying more than the one before.
    pub hints: [&'static str; 3],
    /// The shapes of a seed: the first is even, the others are odd, the last ones random.
    pub cases: fn(u64) -> Vec<Case>,
}

/// The line of a template that the reader replaces.
pub const YOUR_LINES: &str = "    // Your lines.\n";

macro_rules! puzzles {
    ($($name:literal, $entry:literal, $cases:path, $about:literal, $hints:expr;)*) => {
        /// All puzzles in order.
        pub static PUZZLES: &[Puzzle] = &[$(Puzzle {
            name: $name,
            about: $about,
            entry: $entry,
            template: include_str!(concat!("../templates/", $name, ".wgsl")),
            hints: $hints,
            cases: $cases,
        }),*];
    };
}

puzzles! {
    "add.forward", "forward", elementwise::add, "one invocation, one element", [
        "The invocation `i = id.x` is for element i of all three arrays.",
        "More invocations run than there are elements. Compare i with `p.size` before you write.",
        "if i < p.size { y[i] = a[i] + b[i]; } with `let i = id.x;` before it.",
    ];
    "relu.forward", "forward", elementwise::relu, "a function of each element", [
        "What is negative becomes 0, the rest stays.",
        "WGSL has `max(a, b)`; a literal needs a point: 0.0.",
        "y[i] = max(x[i], 0.0); behind the comparison of i with p.size.",
    ];
    "relu.backward", "backward", elementwise::relu_backward, "the first gradient", [
        "The slope of relu is 1 where y is positive, else 0. The gradient passes, or it does not.",
        "Where y is 0 the slope counts as 0: compare with `>`, not with `>=`.",
        "dx[i] = select(0.0, dy[i], y[i] > 0.0); `select` takes the second where the third is true.",
    ];
    "global_avg_pool.forward", "forward", pool::average, "a loop, and how images are stored", [
        "Element i of y is channel i % channels of image i / channels.",
        "The channels of a pixel are neighbours: pixel k of image n starts at (n * p.pixels + k) * \
         p.channels.",
        "Add up x[(n * p.pixels + k) * p.channels + c] for all k, and divide by f32(p.pixels) once.",
    ];
    "global_avg_pool.backward", "backward", pool::average_backward, "every pixel gets its share", [
        "One invocation is for one element of dx, and reads one of dy.",
        "All pixels of an image read the same dy: which image and channel is element i of dx?",
        "c = i % channels, n = i / channels / pixels; dx[i] = dy[n * p.channels + c] / f32(p.pixels).",
    ];
    "linear.forward", "forward", matrix::linear, "a matrix product, read naively", [
        "Element i of y is row i / outputs, column i % outputs.",
        "The weight is stored as (inputs, outputs): the element for input k and output o is w[k * outputs + \
         o].",
        "Start with bias[o] and add x[row * p.inputs + k] * w[k * p.outputs + o] for all k.",
    ];
    "linear.backward_bias", "backward_bias", matrix::bias, "a sum by many invocations, in a tree", [
        "Each of the 64 invocations adds up every 64th row of its column, from row `lane` on.",
        "Put the sums into `sums`, wait, and let the first half add the second half's: 32, 16, 8, … 1. \
         Every invocation has to reach every barrier.",
        "for (var half = 32u; half > 0u; half /= 2u) { if lane < half { sums[lane] += sums[lane + half]; } \
         workgroupBarrier(); } Then invocation 0 writes.",
    ];
    "matmul.tiled", "product", matrix::tiled, "workgroup memory and barriers", [
        "For every 8 of the inner index: copy a tile of a and a tile of b, wait, multiply, wait.",
        "Each invocation copies one element of each tile: row `row` of a at inner index first + local.x, \
         column `column` of b at first + local.y; 0 outside. Nobody may return before the last barrier.",
        "After the barrier: sum += tile_a[local.y * 8u + k] * tile_b[k * 8u + local.x] for k < 8; then a \
         second barrier, before the next tile is copied. At the end write if row < p.rows && column < \
         p.columns.",
    ];
    "cross_entropy.forward", "forward", loss::forward, "a logarithm of a sum that does not overflow", [
        "One invocation is for one row. The loss is log Σ exp(z) − z[label].",
        "exp(100) is infinite in 32 bits. Subtract the largest logit of the row from all of them first: the \
         loss stays the same.",
        "Three loops or two: the largest z, then Σ exp(z − largest); loss = log(sum) − (z[label] − largest).",
    ];
    "cross_entropy.backward", "backward", loss::backward, "softmax minus one-hot, over the rows", [
        "One invocation is for one logit: row i / classes, class i % classes.",
        "p = exp(z − largest) / Σ exp(z − largest), over the classes of its row. Subtract 1 if its class is \
         the label.",
        "The loss is the mean over rows: dlogits[i] = (p − select(0.0, 1.0, k == labels[row])) / \
         f32(p.rows).",
    ];
    "max_pool2d.forward", "forward", pool::max, "a window and its border", [
        "Channels run fastest: c = i % channels, then column, row, image by division.",
        "The window starts at row·stride − padding, which may be negative: compute it as i32, and leave out \
         what is outside of the image. Padding is not 0: it never wins.",
        "Start with the lowest number, -3.4028234e38, and take max(best, x[((n * p.h_in + u32(ih)) * p.w_in \
         + u32(iw)) * p.channels + c]) over the window.",
    ];
    "max_pool2d.backward", "backward", pool::max_backward, "gather instead of scatter", [
        "One invocation is for one element of dx. It adds up dy over all windows that had their maximum \
         here: nobody else writes this element.",
        "Tap (kh, kw) of window (oh, ow) is at row oh·stride + kh − padding. For every tap: is (ih + \
         padding − kh) a multiple of the stride, and which window is it?",
        "For each kh, kw: t = ih + padding − kh must be ≥ 0, divisible by the stride, and t / stride < \
         h_out; the same for columns. If place[at] == kh * p.kernel + kw, add dy[at].",
    ];
    "batch_norm.statistics", "statistics", norm::statistics, "mean and variance that keep their digits", [
        "One invocation is for one channel, and reads it at every row. Write mean to stats[c] and variance \
         to stats[channels + c].",
        "Mean of squares minus square of the mean loses all digits when the mean is large. Compute the mean \
         first, then the mean of (x − mean)².",
        "Two loops over x[row * p.channels + c]; the variance is divided by rows, not by rows − 1.",
    ];
    "batch_norm.forward", "forward", norm::forward, "one number a channel", [
        "Normalise, scale, shift: (x − mean) / sqrt(variance + eps) · gamma + beta.",
        "The channel of element i is i % p.channels.",
        "y[i] = (x[i] - mean[c]) / sqrt(variance[c] + p.eps) * gamma[c] + beta[c];",
    ];
    "batch_norm.backward_input", "backward_input", norm::backward_input, "a gradient through mean and variance", [
        "x moves y in three ways: directly, through the mean, and through the variance. The header has a \
         term for each.",
        "x̂ = (x − mean) · rstd. The sums over all rows, dbeta and dgamma, are given.",
        "dx[i] = gamma[c] * rstd[c] * (dy[i] - (dbeta[c] + (x[i] - mean[c]) * rstd[c] * dgamma[c]) / \
         f32(p.rows));",
    ];
    "conv2d.forward", "forward", conv2d::forward, "the convolution itself", [
        "One invocation is for one element of y: output channel, column, row, image, in the order they run.",
        "Tap (kh, kw) sees row oh·stride + kh − padding. Leave it out if it is outside of the image; \
         compute it as i32.",
        "sum += x[((n * p.h_in + ih) * p.w_in + iw) * p.c_in + ci] * w[((kh * p.kernel + kw) * p.c_in + ci) \
         * p.c_out + co], over kh, kw and ci.",
    ];
    "conv2d.backward_input", "backward_input", conv2d::backward_input, "the same triples, gathered by x", [
        "x[ih] meets w[kh] in y[oh] if oh·stride + kh − padding = ih. Go through all taps and solve for oh.",
        "t = ih + padding − kh has to be ≥ 0, divisible by the stride, and oh = t / stride below h_out. The \
         same for columns.",
        "sum += dy[((n * p.h_out + oh) * p.w_out + ow) * p.c_out + co] * w[((kh * p.kernel + kw) * p.c_in + \
         ci) * p.c_out + co], over kh, kw and co.",
    ];
    "conv2d.backward_weight", "backward_weight", conv2d::backward_weight, "the same triples, gathered by w", [
        "One invocation is for one weight: i = ((kh·kernel + kw)·c_in + ci)·c_out + co.",
        "It meets every pixel of every image of dy. The pixel of x is at row oh·stride + kh − padding; \
         leave out what is outside.",
        "sum += x[((n * p.h_in + ih) * p.w_in + iw) * p.c_in + ci] * dy[((n * p.h_out + oh) * p.w_out + ow) \
         * p.c_out + co], over n, oh and ow.",
    ];
}

impl Puzzle {
    /// The puzzle of this name.
    pub fn find(name: &str) -> Option<&'static Puzzle> {
        PUZZLES.iter().find(|puzzle| puzzle.name == name)
    }
}

/// The axes of images.
const IMAGE: [&str; 4] = ["image", "row", "column", "channel"];

/// Shapes (N, C, H, W) of images, with channels in fours as the engine stores them.
fn images(seed: u64) -> Vec<[usize; 4]> {
    let mut rng = cases::rng(seed);
    let mut shapes = vec![[2, 8, 4, 4], [1, 4, 1, 1], [3, 12, 5, 7], [1, 20, 3, 2]];
    shapes.extend([(); 2].map(|()| {
        [rng.random_range(1..4), 4 * rng.random_range(1..6), rng.random_range(1..10), rng.random_range(1..10)]
    }));
    shapes
}

fn words_of([n, c, h, w]: [usize; 4]) -> String {
    format!("{}, {c} channels", images_of(n, h, w))
}

fn images_of(n: usize, h: usize, w: usize) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} image{s} of {h}×{w} pixels")
}
