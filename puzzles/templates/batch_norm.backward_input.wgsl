//! batch_norm.backward_input: dx, where mean and variance are those of the batch, so that x moves
//! them too.
//!
//!   dx = gamma · rstd · (dy − (dbeta + x̂ · dgamma) / rows)
//!   x̂ = (x − mean) · rstd,   rstd = 1 / √(variance + eps)
//!   dbeta = Σ_row dy,        dgamma = Σ_row dy · x̂
//!
//! dy goes through directly. The term with dbeta is the way through the mean, the one with dgamma
//! that through the variance. One invocation for one element; the sums are given, one a channel.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params { rows: u32, channels: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // (rows, channels)
@group(0) @binding(2) var<storage, read> dy: array<f32>;         // (rows, channels)
@group(0) @binding(3) var<storage, read> mean: array<f32>;       // (channels)
@group(0) @binding(4) var<storage, read> rstd: array<f32>;       // (channels)
@group(0) @binding(5) var<storage, read> gamma: array<f32>;      // (channels)
@group(0) @binding(6) var<storage, read> dgamma: array<f32>;     // (channels)
@group(0) @binding(7) var<storage, read> dbeta: array<f32>;      // (channels)
@group(0) @binding(8) var<storage, read_write> dx: array<f32>;   // (rows, channels)

@compute @workgroup_size(64)
fn backward_input(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
