//! matmul.tiled: c[row, column] = Σ_k a[row, k] · b[k, column], by tiles in workgroup memory.
//!
//! A workgroup of 8 × 8 invocations computes a tile of 8 × 8 elements: `group.y` is the tile's
//! row, `group.x` its column, `local` the place of the invocation in it. In a step of 8 of the
//! inner index k, the 64 invocations copy 8 × 8 numbers of a and of b, one each, and then use
//! each of them 8 times. `tile_a` is (row of the tile, k), `tile_b` is (k, column of the tile).
//!
//! The last tiles stick out of the matrices. workgroupBarrier() waits for all 64 invocations, so
//! none may return early.

struct Params { rows: u32, inner: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;         // (rows, inner)
@group(0) @binding(2) var<storage, read> b: array<f32>;         // (inner, columns)
@group(0) @binding(3) var<storage, read_write> c: array<f32>;   // (rows, columns)

var<workgroup> tile_a: array<f32, 64>;
var<workgroup> tile_b: array<f32, 64>;

@compute @workgroup_size(8, 8)
fn product(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
    // Your lines.
}
