//! global_avg_pool.backward: dx[n, k, c] = dy[n, c] / pixels, the same for all pixels of an
//! image.
//!
//! One invocation for one element of dx.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params { images: u32, pixels: u32, channels: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;         // (images, channels)
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;   // (images, pixels, channels)

@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
