//! batch_norm.statistics: mean and variance of every channel, over the rows (all pixels of all
//! images).
//!
//!   mean[c] = Σ_row x[row, c] / rows,   variance[c] = Σ_row (x[row, c] − mean[c])² / rows
//!
//! Statistic 0 of a channel is its mean, statistic 1 its variance: `stats` holds all means, then
//! all variances.
//!
//! One invocation for one channel. Values lie around 500 with a deviation of 1, and f32 has 7
//! digits.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params { rows: u32, channels: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // (rows, channels)
@group(0) @binding(2) var<storage, read_write> stats: array<f32>;   // (2, channels)

@compute @workgroup_size(64)
fn statistics(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
