// Winograd's one-dimensional transforms for 4 outputs of 3 taps from 6 values: the points of
// Toom and Cook are 0, ±1/√2, ±√2 and ∞. The textbook's 0, ±1, ±2, ∞ lose four times more digits;
// these stay within the rounding error of the plain sum.
const HALF_ROOT = 0.70710678118654752;
const ROOT = 1.41421356237309505;

// Bᵀ·d
fn transform_input_1d(d: array<vec4f, 6>) -> array<vec4f, 6> {
    let even_a = d[4] - 2.0 * d[2];
    let odd_a = HALF_ROOT * (d[3] - 2.0 * d[1]);
    let even_b = d[4] - 0.5 * d[2];
    let odd_b = ROOT * (d[3] - 0.5 * d[1]);
    return array<vec4f, 6>(d[0] - 2.5 * d[2] + d[4], even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b,
                           d[1] - 2.5 * d[3] + d[5]);
}

// G·g, for the 3 taps of a filter
fn transform_filter_1d(g: array<vec4f, 3>) -> array<vec4f, 6> {
    let even_a = (-2.0 / 3.0) * (g[0] + 0.5 * g[2]);
    let odd_a = (-2.0 / 3.0 * HALF_ROOT) * g[1];
    let even_b = (1.0 / 6.0) * (g[0] + 2.0 * g[2]);
    let odd_b = (1.0 / 6.0 * ROOT) * g[1];
    return array<vec4f, 6>(g[0], even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, g[2]);
}

// Aᵀ·sums
fn transform_output_1d(sums: array<vec4f, 6>) -> array<vec4f, 4> {
    let sum_a = sums[1] + sums[2];
    let sum_b = sums[3] + sums[4];
    let difference_a = HALF_ROOT * (sums[1] - sums[2]);
    let difference_b = ROOT * (sums[3] - sums[4]);
    return array<vec4f, 4>(sums[0] + sum_a + sum_b, difference_a + difference_b, 0.5 * sum_a + 2.0 * sum_b,
                           0.5 * difference_a + 2.0 * difference_b + sums[5]);
}

// G·grads, where 4 values of dy take the part of the taps
fn transform_grad_1d(grads: array<vec4f, 4>) -> array<vec4f, 6> {
    let even_a = (-2.0 / 3.0) * (grads[0] + 0.5 * grads[2]);
    let odd_a = (-2.0 / 3.0 * HALF_ROOT) * (grads[1] + 0.5 * grads[3]);
    let even_b = (1.0 / 6.0) * (grads[0] + 2.0 * grads[2]);
    let odd_b = (1.0 / 6.0 * ROOT) * (grads[1] + 2.0 * grads[3]);
    return array<vec4f, 6>(grads[0], even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, grads[3]);
}

// Aᵀ·sums, where 3 taps of dw take the part of the outputs
fn transform_weight_1d(sums: array<vec4f, 6>) -> array<vec4f, 3> {
    let sum_a = sums[1] + sums[2];
    let sum_b = sums[3] + sums[4];
    return array<vec4f, 3>(sums[0] + sum_a + sum_b, HALF_ROOT * (sums[1] - sums[2]) + ROOT * (sums[3] - sums[4]),
                           0.5 * sum_a + 2.0 * sum_b + sums[5]);
}
