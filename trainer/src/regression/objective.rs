//! The objective of a regression and its gradient, in 64 bits: with 32 bits, rounding hides the last
//! decreases and a search ends before the optimum. Rows are widened block by block, so features take no more
//! memory.

use super::HeadLoss;
use super::lbfgs::Function;
use crate::side_by_side::side_by_side;

/// Rows per block; a block fits into the cache.
const BLOCK: usize = 128;
/// Number of parts of the rows that are summed in parallel.
const PARTS: usize = 4;

/// Mean loss + ½·penalty·‖W‖², a function of W (classes, width) and b (classes).
pub struct Objective<'a> {
    /// (rows, width).
    pub values: &'a [f32],
    pub width: usize,
    /// The mean square of every feature.
    pub squares: &'a [f64],
    pub labels: &'a [u32],
    pub classes: usize,
    pub loss: HeadLoss,
    pub penalty: f64,
}

impl Function for Objective<'_> {
    fn value(&self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        let rows = self.labels.len();
        let (weight, _) = theta.split_at(self.classes * self.width);
        // Parts and their order depend only on the number of rows, so sums have the same bits on any machine.
        let rows_of_part = rows.div_ceil(PARTS).next_multiple_of(BLOCK);
        let parts = self.values.chunks(rows_of_part * self.width).zip(self.labels.chunks(rows_of_part));
        let part = |(values, labels)| self.part(values, labels, theta);
        let sums: Vec<(f64, Vec<f64>)> =
            if rows_of_part >= rows { parts.map(part).collect() } else { side_by_side(parts, part) };
        gradient.fill(0.0);
        let mut loss = 0.0;
        for (part, sum) in sums {
            loss += part;
            gradient.iter_mut().zip(sum).for_each(|(gradient, sum)| *gradient += sum / rows as f64);
        }
        gradient.iter_mut().zip(weight).for_each(|(sum, w)| *sum += self.penalty * w);
        loss / rows as f64 + 0.5 * self.penalty * weight.iter().map(|w| w * w).sum::<f64>()
    }

    fn curvature(&self, variables: usize) -> Vec<f64> {
        // With equal probabilities: p(1 − p) for softmax, and about the same for margins.
        let share = 1.0 / self.classes as f64;
        let of_logit = share * (1.0 - share).max(0.1);
        let weights = self.squares.iter().cycle().take(self.classes * self.width);
        let mut curvature: Vec<f64> = weights.map(|square| of_logit * square + self.penalty).collect();
        curvature.resize(variables, of_logit);
        curvature
    }
}

impl Objective<'_> {
    /// The sum of the losses of some rows, and its gradient.
    fn part(&self, values: &[f32], labels: &[u32], theta: &[f64]) -> (f64, Vec<f64>) {
        let (width, classes) = (self.width, self.classes);
        let (weight, bias) = theta.split_at(classes * width);
        let mut gradient = vec![0.0; theta.len()];
        let (grad_weight, grad_bias) = gradient.split_at_mut(classes * width);
        let mut block_gradient = vec![0f64; classes * width];
        let mut loss = 0.0;
        for (values, labels) in values.chunks(BLOCK * width).zip(labels.chunks(BLOCK)) {
            let values: Vec<f64> = values.iter().copied().map(f64::from).collect();
            let mut logits = logits_of(&values, width, weight, bias);
            for (row, label) in logits.chunks_exact_mut(classes).zip(labels) {
                loss += match self.loss {
                    HeadLoss::Softmax => softmax(row, *label as usize),
                    HeadLoss::SquaredHinge => squared_hinge(row, *label as usize),
                };
                row.iter().zip(grad_bias.iter_mut()).for_each(|(residual, sum)| *sum += residual);
            }
            // (classes, rows) · (rows, width)
            let (m, k, n) = (classes, labels.len(), width);
            product([m, k, n], (&logits, 1, classes), (&values, width, 1), &mut block_gradient);
            block_gradient.iter().zip(grad_weight.iter_mut()).for_each(|(part, sum)| *sum += part);
        }
        (loss, gradient)
    }
}

/// The mean square of every feature: (width).
pub fn squares(values: &[f32], width: usize) -> Vec<f64> {
    let mut squares = vec![0.0; width];
    for row in values.chunks_exact(width) {
        squares.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x).powi(2));
    }
    let rows = (values.len() / width.max(1)).max(1) as f64;
    squares.iter_mut().for_each(|sum| *sum /= rows);
    squares
}

/// −ln softmax\[label\]; replaces the logits by its gradient, softmax − one-hot.
fn softmax(logits: &mut [f64], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    let loss = sum.ln() - (logits[label] - largest);
    logits.iter_mut().for_each(|logit| *logit = (*logit - largest).exp() / sum);
    logits[label] -= 1.0;
    loss
}

/// The mean over the classes of squared margins that are missing; replaces the logits by its gradient.
fn squared_hinge(logits: &mut [f64], label: usize) -> f64 {
    let (classes, truth) = (logits.len() as f64, logits[label]);
    let (mut loss, mut sum) = (0.0, 0.0);
    for (class, logit) in logits.iter_mut().enumerate() {
        let missing = if class == label { 0.0 } else { (1.0 - truth + *logit).max(0.0) };
        loss += missing * missing / classes;
        *logit = 2.0 * missing / classes;
        sum += *logit;
    }
    logits[label] = -sum;
    loss
}

/// x·Wᵀ + b of every row: (rows, classes).
pub fn logits(values: &[f32], width: usize, weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().copied().map(f64::from).collect() };
    let (weight, bias) = (wide(weight), wide(bias));
    let block = |values: &[f32]| logits_of(&wide(values), width, &weight, &bias);
    values.chunks(BLOCK * width).flat_map(block).map(|logit| logit as f32).collect()
}

fn logits_of(values: &[f64], width: usize, weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let (rows, classes) = (values.len() / width, bias.len());
    let mut logits = vec![0f64; rows * classes];
    product([rows, width, classes], (values, width, 1), (weight, 1, width), &mut logits);
    for row in logits.chunks_exact_mut(classes) {
        row.iter_mut().zip(bias).for_each(|(logit, bias)| *logit += bias);
    }
    logits
}

/// A matrix with the distances of its rows and of its columns.
type Strided<'a> = (&'a [f64], usize, usize);

/// out = a·b, of m×k and k×n.
fn product([m, k, n]: [usize; 3], a: Strided<'_>, b: Strided<'_>, out: &mut [f64]) {
    let fits = |(data, row, column): Strided<'_>, rows: usize, columns: usize| {
        (rows - 1) * row + (columns - 1) * column < data.len()
    };
    assert!(fits(a, m, k) && fits(b, k, n) && m * n <= out.len(), "matrices smaller than {m}×{k}×{n}");
    // SAFETY: all indices are within the three slices, as was asserted.
    unsafe {
        matrixmultiply::dgemm(
            m,
            k,
            n,
            1.0,
            a.0.as_ptr(),
            a.1 as isize,
            a.2 as isize,
            b.0.as_ptr(),
            b.1 as isize,
            b.2 as isize,
            0.0,
            out.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}
