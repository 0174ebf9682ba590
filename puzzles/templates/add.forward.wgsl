//! add.forward: y = a + b, element by element.
//!
//! One invocation for one element. `id.x` is its number.
//!
//! More invocations run than there are elements, and arrays are longer than what they hold:
//! compare with `p`, not with arrayLength().

struct Params { size: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;         // (size)
@group(0) @binding(2) var<storage, read> b: array<f32>;         // (size)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // (size)

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    // Your lines.
}
