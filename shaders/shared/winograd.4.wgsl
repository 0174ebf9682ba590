// Winograd's transforms in one dimension, F(4, 3): 4 outputs y of 3 taps g from 6 values d, with 6 products:
//
//   y = Aᵀ·[(G·g) ⊙ (Bᵀ·d)],   y[i] = d[i]·g[0] + d[i+1]·g[1] + d[i+2]·g[2]
//
// The points of Toom and Cook are 0, h, −h, r, −r and ∞, where h = 1/√2 and r = √2.
// - Row i of G is the polynomial g[0] + g[1]·t + g[2]·t² at point i, over the value there of row i of Bᵀ,
//   which is a polynomial too. Column i of Aᵀ is the powers of point i. At ∞ only the highest power counts.
// - Row 1 of Bᵀ is t·(t + h)·(t² − 2) = −r·t − 2·t² + h·t³ + t⁴. It is 0 at the points 0, −h, r and −r, and
//   −3/2 at the point h: hence −2/3 in row 1 of G.
// With the textbook's points 0, ±1, ±2, ∞ the largest errors are five times as large (ARCHITECTURE.md).
// In two dimensions, columns are transformed, then rows. drawings/check_winograd.py checks these matrices.
const HALF_ROOT = 0.70710678118654752;   // h
const ROOT = 1.41421356237309505;        // r

// Bᵀ·d
//         1    0  −5/2    0    1    0
//         0   −r   −2     h    1    0
//   Bᵀ =  0    r   −2    −h    1    0
//         0   −h  −1/2    r    1    0
//         0    h  −1/2   −r    1    0
//         0    1    0   −5/2   0    1
fn transform_input_1d(d: array<vec4f, 6>) -> array<vec4f, 6> {
    let even_a = d[4] - 2.0 * d[2];
    let odd_a = HALF_ROOT * (d[3] - 2.0 * d[1]);
    let even_b = d[4] - 0.5 * d[2];
    let odd_b = ROOT * (d[3] - 0.5 * d[1]);
    return array<vec4f, 6>(d[0] - 2.5 * d[2] + d[4], even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b,
                           d[1] - 2.5 * d[3] + d[5]);
}

// G·g, for the 3 taps of a filter
//          1      0       0
//        −2/3  −2/3·h   −1/3
//   G =  −2/3   2/3·h   −1/3
//         1/6   1/6·r    1/3
//         1/6  −1/6·r    1/3
//          0      0       1
fn transform_filter_1d(g: array<vec4f, 3>) -> array<vec4f, 6> {
    let even_a = (-2.0 / 3.0) * (g[0] + 0.5 * g[2]);
    let odd_a = (-2.0 / 3.0 * HALF_ROOT) * g[1];
    let even_b = (1.0 / 6.0) * (g[0] + 2.0 * g[2]);
    let odd_b = (1.0 / 6.0 * ROOT) * g[1];
    return array<vec4f, 6>(g[0], even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, g[2]);
}

// Aᵀ·sums
//         1    1      1     1    1   0
//   Aᵀ =  0    h     −h     r   −r   0
//         0   1/2    1/2    2    2   0
//         0  1/2·h −1/2·h  2·r −2·r  1
fn transform_output_1d(sums: array<vec4f, 6>) -> array<vec4f, 4> {
    let sum_a = sums[1] + sums[2];
    let sum_b = sums[3] + sums[4];
    let difference_a = HALF_ROOT * (sums[1] - sums[2]);
    let difference_b = ROOT * (sums[3] - sums[4]);
    return array<vec4f, 4>(sums[0] + sum_a + sum_b, difference_a + difference_b, 0.5 * sum_a + 2.0 * sum_b,
                           0.5 * difference_a + 2.0 * difference_b + sums[5]);
}

// A·grads, the transpose of transform_output_1d
//         1    0    0    0
//         1    h   1/2  1/2·h
//   A  =  1   −h   1/2 −1/2·h
//         1    r    2   2·r
//         1   −r    2  −2·r
//         0    0    0    1
fn transform_grad_1d(grads: array<vec4f, 4>) -> array<vec4f, 6> {
    let even_a = grads[0] + 0.5 * grads[2];
    let odd_a = HALF_ROOT * (grads[1] + 0.5 * grads[3]);
    let even_b = grads[0] + 2.0 * grads[2];
    let odd_b = ROOT * (grads[1] + 2.0 * grads[3]);
    return array<vec4f, 6>(grads[0], even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, grads[3]);
}

// Gᵀ·sums, the transpose of transform_filter_1d
//         1   −2/3    −2/3    1/6    1/6    0
//   Gᵀ =  0  −2/3·h   2/3·h  1/6·r −1/6·r   0
//         0   −1/3    −1/3    1/3    1/3    1
fn transform_weight_1d(sums: array<vec4f, 6>) -> array<vec4f, 3> {
    let sum_a = (-1.0 / 3.0) * (sums[1] + sums[2]);
    let sum_b = (1.0 / 6.0) * (sums[3] + sums[4]);
    let difference_a = (-2.0 / 3.0 * HALF_ROOT) * (sums[1] - sums[2]);
    let difference_b = (1.0 / 6.0 * ROOT) * (sums[3] - sums[4]);
    return array<vec4f, 3>(sums[0] + 2.0 * sum_a + sum_b, difference_a + difference_b, sum_a + 2.0 * sum_b + sums[5]);
}

// E·values: values[1] to values[6] are those of a tile, values[0] the last of the tile before it, values[7]
// the first of the tile after it. Columns 1 to 6 of E are rows 1 to 4 of B: the transpose of
// transform_input_1d, without the pixels 0 and 5, which the neighbours have too.
//         1    0   −r    r   −h    h    1    0
//   E  =  0  −5/2  −2   −2  −1/2 −1/2   0    0
//         0    0    h   −h    r   −r  −5/2   0
//         0    1    1    1    1    1    0    1
fn transform_overlap_1d(values: array<vec4f, 8>) -> array<vec4f, 4> {
    let sum_a = values[2] + values[3];
    let sum_b = values[4] + values[5];
    let difference_a = values[2] - values[3];
    let difference_b = values[4] - values[5];
    return array<vec4f, 4>(values[0] - ROOT * difference_a - HALF_ROOT * difference_b + values[6],
                           -2.5 * values[1] - 2.0 * sum_a - 0.5 * sum_b,
                           HALF_ROOT * difference_a + ROOT * difference_b - 2.5 * values[6],
                           values[1] + sum_a + sum_b + values[7]);
}
