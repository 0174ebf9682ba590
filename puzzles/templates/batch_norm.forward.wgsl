//! batch_norm.forward: y = gamma · x̂ + beta,   x̂ = (x − mean) / √(variance + eps), channel by
//! channel.
//!
//! One invocation for one element.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params { rows: u32, channels: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // (rows, channels)
@group(0) @binding(2) var<storage, read> mean: array<f32>;       // (channels)
@group(0) @binding(3) var<storage, read> variance: array<f32>;   // (channels)
@group(0) @binding(4) var<storage, read> gamma: array<f32>;      // (channels)
@group(0) @binding(5) var<storage, read> beta: array<f32>;       // (channels)
@group(0) @binding(6) var<storage, read_write> y: array<f32>;    // (rows, channels)

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
