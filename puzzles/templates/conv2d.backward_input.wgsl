//! conv2d.backward_input: dx[n, ih, iw, ci] = Σ_{kh, kw, co} dy[n, oh, ow, co] · w[kh, kw, ci,
//! co], over the taps that have an output pixel with
//!
//!   oh·stride + kh − padding = ih,   ow·stride + kw − padding = iw
//!
//! One invocation for one element of dx.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params {
    images: u32, h_in: u32, w_in: u32, c_in: u32, h_out: u32, w_out: u32, c_out: u32,
    kernel: u32, stride: u32, padding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;         // (images, h_out, w_out, c_out)
@group(0) @binding(2) var<storage, read> w: array<f32>;          // (kernel, kernel, c_in, c_out)
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;   // (images, h_in, w_in, c_in)

@compute @workgroup_size(64)
fn backward_input(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
