//! relu.backward: dx = dy · slope, where y = relu(x). dy is the derivative of the loss by y, dx
//! that by x. The slope is known from y: 1 where y > 0, else 0.
//!
//! One invocation for one element.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params { size: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;          // (size)
@group(0) @binding(2) var<storage, read> dy: array<f32>;         // (size)
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;   // (size)

@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
