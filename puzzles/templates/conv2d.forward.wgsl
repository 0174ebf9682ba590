//! conv2d.forward: y[n, oh, ow, co] = Σ_{kh, kw, ci} x[n, ih, iw, ci] · w[kh, kw, ci, co], where
//!
//!   ih = oh·stride + kh − padding,   iw = ow·stride + kw − padding
//!
//! and x is 0 outside of the image. One invocation for one element of y.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params {
    images: u32, h_in: u32, w_in: u32, c_in: u32, h_out: u32, w_out: u32, c_out: u32,
    kernel: u32, stride: u32, padding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // (images, h_in, w_in, c_in)
@group(0) @binding(2) var<storage, read> w: array<f32>;         // (kernel, kernel, c_in, c_out)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // (images, h_out, w_out, c_out)

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
