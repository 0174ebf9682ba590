//! global_avg_pool.forward: y[n, c] = (1 / pixels) · Σ_k x[n, k, c], the mean over the pixels of
//! an image.
//!
//! One invocation for one element of y. The last index runs fastest: the channels of a pixel are
//! neighbours.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params { images: u32, pixels: u32, channels: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // (images, pixels, channels)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // (images, channels)

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
