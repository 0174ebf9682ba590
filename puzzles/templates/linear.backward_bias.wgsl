//! linear.backward_bias: dbias[o] = Σ_row dy[row, o], the sum of a column.
//!
//! One workgroup of 64 invocations for one column: `group.x` is the column, `lane` is 0 to 63.
//! They share `sums`. workgroupBarrier() waits until all of them have come there, so all of them
//! have to.

struct Params { rows: u32, outputs: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;            // (rows, outputs)
@group(0) @binding(2) var<storage, read_write> dbias: array<f32>;   // (outputs)

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn backward_bias(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    // Your lines.
}
