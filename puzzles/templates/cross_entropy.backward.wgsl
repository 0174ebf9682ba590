//! cross_entropy.backward: the gradient of the mean of the rows' losses by every logit.
//!
//!   dlogits[row, k] = (p[row, k] − (1 if k is the label, else 0)) / rows,   p = softmax(logits)
//!
//! One invocation for one logit. Logits may be large: exp(100) does not fit 32 bits.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params { rows: u32, classes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;          // (rows, classes)
@group(0) @binding(2) var<storage, read> labels: array<u32>;          // (rows)
@group(0) @binding(3) var<storage, read_write> dlogits: array<f32>;   // (rows, classes)

@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
