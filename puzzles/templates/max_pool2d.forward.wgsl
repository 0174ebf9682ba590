//! max_pool2d.forward: y[n, oh, ow, c] = the largest x[n, ih, iw, c] of a window of kernel ×
//! kernel pixels, at
//!
//!   ih = oh·stride + kh − padding,   iw = ow·stride + kw − padding,   0 ≤ kh, kw < kernel
//!
//! Where (ih, iw) is outside of the image there is no pixel, not a zero.
//!
//! One invocation for one element of y.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params {
    images: u32, h_in: u32, w_in: u32, h_out: u32, w_out: u32, channels: u32,
    kernel: u32, stride: u32, padding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // (images, h_in, w_in, channels)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // (images, h_out, w_out, channels)

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
