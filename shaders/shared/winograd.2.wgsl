// Winograd's transforms in one dimension, F(2, 3): 2 outputs y of 3 taps g from 4 values d, with 4 products:
//
//   y = Aᵀ·[(G·g) ⊙ (Bᵀ·d)],   y[i] = d[i]·g[0] + d[i+1]·g[1] + d[i+2]·g[2]
//
// The points of Toom and Cook are 0, 1, −1 and ∞.
// - Row i of G is the polynomial g[0] + g[1]·t + g[2]·t² at point i, over the value there of row i of Bᵀ,
//   which is a polynomial too. Column i of Aᵀ is the powers of point i. At ∞ only the highest power counts.
// - Row 1 of Bᵀ is t + t². It is 0 at the points 0 and −1, and 2 at the point 1: hence 1/2 in row 1 of G.
// In two dimensions, columns are transformed, then rows. drawings/check_winograd.py checks these matrices.

// Bᵀ·d
//         1   0  −1   0
//   Bᵀ =  0   1   1   0
//         0  −1   1   0
//         0  −1   0   1
fn transform_input_1d(d: array<vec4f, 4>) -> array<vec4f, 4> {
    return array<vec4f, 4>(d[0] - d[2], d[1] + d[2], d[2] - d[1], d[3] - d[1]);
}

// G·g, for the 3 taps of a filter
//         1     0    0
//   G =  1/2   1/2  1/2
//        1/2  −1/2  1/2
//         0     0    1
fn transform_filter_1d(g: array<vec4f, 3>) -> array<vec4f, 4> {
    let even = 0.5 * (g[0] + g[2]);
    let odd = 0.5 * g[1];
    return array<vec4f, 4>(g[0], even + odd, even - odd, g[2]);
}

// Aᵀ·sums
//   Aᵀ =  1   1   1   0
//         0   1  −1   1
fn transform_output_1d(sums: array<vec4f, 4>) -> array<vec4f, 2> {
    return array<vec4f, 2>(sums[0] + sums[1] + sums[2], sums[1] - sums[2] + sums[3]);
}

// A·grads, the transpose of transform_output_1d
//         1   0
//   A  =  1   1
//         1  −1
//         0   1
fn transform_grad_1d(grads: array<vec4f, 2>) -> array<vec4f, 4> {
    return array<vec4f, 4>(grads[0], grads[0] + grads[1], grads[0] - grads[1], grads[1]);
}

// Gᵀ·sums, the transpose of transform_filter_1d
//         1  1/2  1/2  0
//   Gᵀ =  0  1/2 −1/2  0
//         0  1/2  1/2  1
fn transform_weight_1d(sums: array<vec4f, 4>) -> array<vec4f, 3> {
    let half_sum = 0.5 * (sums[1] + sums[2]);
    return array<vec4f, 3>(sums[0] + half_sum, 0.5 * (sums[1] - sums[2]), half_sum + sums[3]);
}

// E·values: values[1] to values[4] are those of a tile, values[0] the last of the tile before it, values[5]
// the first of the tile after it. Columns 1 to 4 of E are rows 1 and 2 of B: the transpose of
// transform_input_1d, without the pixels 0 and 3, which the neighbours have too.
//   E  =  1   0   1  −1  −1   0
//         0  −1   1   1   0   1
fn transform_overlap_1d(values: array<vec4f, 6>) -> array<vec4f, 2> {
    return array<vec4f, 2>(values[0] + values[2] - values[3] - values[4],
                           values[2] + values[3] - values[1] + values[5]);
}
