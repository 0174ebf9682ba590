//! max_pool2d.backward: dx[n, ih, iw, c] = Σ dy[n, oh, ow, c] over the windows whose largest
//! pixel is (ih, iw).
//!
//! `place` says which tap of its window was the largest: kh·kernel + kw. As in forward,
//!
//!   ih = oh·stride + kh − padding,   iw = ow·stride + kw − padding
//!
//! Windows overlap where the stride is smaller than the kernel: a pixel may have won several. Two
//! invocations must not add to one element, and WGSL has no atomic addition of f32. So one
//! invocation is for one element of dx, and looks for its windows.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params {
    images: u32, h_in: u32, w_in: u32, h_out: u32, w_out: u32, channels: u32,
    kernel: u32, stride: u32, padding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;         // (images, h_out, w_out, channels)
@group(0) @binding(2) var<storage, read> place: array<u32>;      // (images, h_out, w_out, channels)
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;   // (images, h_in, w_in, channels)

@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
