//! copy: y[i] = x[i]. Puts weights where convolutions read fastest (see src/format.rs).
//! One invocation per vec4.
const WG: u32 = 64;

struct Params { size4: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;        // (size/4)
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;  // (size/4)
fn load_x(i: u32) -> vec4f { return x[i]; }
fn store_y(i: u32, value: vec4f) { y[i] = value; }

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i < p.size4 { store_y(i, load_x(i)); }
}
