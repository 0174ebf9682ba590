//! The objective of a regression and its gradient, by blocks of rows: products in 32 bits, sums over blocks
//! in 64.

use super::lbfgs::Function;

/// Rows of a block. A sum over so many 32-bit products is exact enough, and a block stays in the cache.
const BLOCK: usize = 256;

/// Mean cross entropy + ½·penalty·‖W‖², a function of W (classes, width) and b (classes).
pub struct Objective<'a> {
    /// (rows, width).
    pub values: &'a [f32],
    pub width: usize,
    pub labels: &'a [u32],
    pub classes: usize,
    pub penalty: f64,
}

impl Function for Objective<'_> {
    fn value(&self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        let (width, classes) = (self.width, self.classes);
        let rows = self.labels.len() as f64;
        let floats = |values: &[f64]| -> Vec<f32> { values.iter().map(|value| *value as f32).collect() };
        let (w, b) = theta.split_at(classes * width);
        let (weight, bias) = (floats(w), floats(b));
        gradient.fill(0.0);
        let (grad_weight, grad_bias) = gradient.split_at_mut(classes * width);
        let mut block_gradient = vec![0f32; classes * width];
        let mut loss = 0.0;
        for (values, labels) in self.values.chunks(BLOCK * width).zip(self.labels.chunks(BLOCK)) {
            let mut logits = logits(values, width, &weight, &bias);
            for (row, label) in logits.chunks_exact_mut(classes).zip(labels) {
                loss += to_residuals(row, *label as usize);
                row.iter().zip(grad_bias.iter_mut()).for_each(|(residual, sum)| *sum += f64::from(*residual));
            }
            // (classes, rows) · (rows, width)
            let (m, k, n) = (classes, labels.len(), width);
            product([m, k, n], (&logits, 1, classes), (values, width, 1), &mut block_gradient);
            block_gradient
                .iter()
                .zip(grad_weight.iter_mut())
                .for_each(|(part, sum)| *sum += f64::from(*part));
        }
        grad_bias.iter_mut().for_each(|sum| *sum /= rows);
        for (sum, w) in grad_weight.iter_mut().zip(w) {
            *sum = *sum / rows + self.penalty * w;
        }
        loss / rows + 0.5 * self.penalty * w.iter().map(|w| w * w).sum::<f64>()
    }
}

/// Replaces logits by softmax − one-hot, and gives −ln softmax\[label\].
fn to_residuals(logits: &mut [f32], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    let loss = sum.ln() - f64::from(logits[label] - largest);
    logits.iter_mut().for_each(|logit| *logit = (f64::from(*logit - largest).exp() / sum) as f32);
    logits[label] -= 1.0;
    loss
}

/// x·Wᵀ + b of every row: (rows, classes).
pub fn logits(values: &[f32], width: usize, weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let (rows, classes) = (values.len() / width, bias.len());
    let mut logits = vec![0f32; rows * classes];
    product([rows, width, classes], (values, width, 1), (weight, 1, width), &mut logits);
    for row in logits.chunks_exact_mut(classes) {
        row.iter_mut().zip(bias).for_each(|(logit, bias)| *logit += bias);
    }
    logits
}

/// A matrix with the distances of its rows and of its columns.
type Strided<'a> = (&'a [f32], usize, usize);

/// out = a·b, of m×k and k×n.
fn product([m, k, n]: [usize; 3], a: Strided<'_>, b: Strided<'_>, out: &mut [f32]) {
    let fits = |(data, row, column): Strided<'_>, rows: usize, columns: usize| {
        (rows - 1) * row + (columns - 1) * column < data.len()
    };
    assert!(fits(a, m, k) && fits(b, k, n) && m * n <= out.len(), "matrices smaller than {m}×{k}×{n}");
    // SAFETY: all indices are within the three slices, as was asserted.
    unsafe {
        matrixmultiply::sgemm(
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
