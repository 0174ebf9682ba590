//! cross_entropy.forward: loss[row] = −log p[row, label], with p = softmax(logits):
//!
//!   p[row, k] = exp(z[k]) / Σ_j exp(z[j]),   z the logits of the row
//!
//! One invocation for one row. Logits may be large: exp(100) does not fit 32 bits.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params { rows: u32, classes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;       // (rows, classes)
@group(0) @binding(2) var<storage, read> labels: array<u32>;       // (rows)
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;   // (rows)

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
