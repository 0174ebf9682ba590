//! linear.forward: y[row, o] = bias[o] + Σ_k x[row, k] · w[k, o].
//!
//! One invocation for one element of y.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params { rows: u32, inputs: u32, outputs: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // (rows, inputs)
@group(0) @binding(2) var<storage, read> w: array<f32>;         // (inputs, outputs)
@group(0) @binding(3) var<storage, read> bias: array<f32>;      // (outputs)
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // (rows, outputs)

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
