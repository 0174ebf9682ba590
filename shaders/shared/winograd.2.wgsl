// Winograd's one-dimensional transforms for 2 outputs of 3 taps from 4 values: the points of
// Toom and Cook are 0, ±1 and ∞.

// Bᵀ·d
fn transform_input_1d(d: array<vec4f, 4>) -> array<vec4f, 4> {
    return array<vec4f, 4>(d[0] - d[2], d[1] + d[2], d[2] - d[1], d[3] - d[1]);
}

// G·g, for the 3 taps of a filter
fn transform_filter_1d(g: array<vec4f, 3>) -> array<vec4f, 4> {
    let even = 0.5 * (g[0] + g[2]);
    let odd = 0.5 * g[1];
    return array<vec4f, 4>(g[0], even + odd, even - odd, g[2]);
}

// Aᵀ·sums
fn transform_output_1d(sums: array<vec4f, 4>) -> array<vec4f, 2> {
    return array<vec4f, 2>(sums[0] + sums[1] + sums[2], sums[1] - sums[2] + sums[3]);
}

// G·grads, where 2 values of dy take the part of the taps
fn transform_grad_1d(grads: array<vec4f, 2>) -> array<vec4f, 4> {
    return array<vec4f, 4>(grads[0], 0.5 * (grads[0] + grads[1]), 0.5 * (grads[0] - grads[1]), grads[1]);
}

// Aᵀ·sums, where 3 taps of dw take the part of the outputs
fn transform_weight_1d(sums: array<vec4f, 4>) -> array<vec4f, 3> {
    return array<vec4f, 3>(sums[0] + sums[1] + sums[2], sums[1] - sums[2], sums[1] + sums[2] + sums[3]);
}
