//! partials: y[j, i] = Σ_z x[z, i], the sum of part j of the splits z, in the order of z.
//!   rows: y[chunk, c] = Σ x[row, c] over the rows of a chunk (the gradient of a bias)
//! `sum`: one invocation per vec4 of y, of which the last dispatch has one part: the splits are added
//! up as a tree, so that no sum is long. `rows`: one invocation per (chunk, 4 channels).
const WG: u32 = 64;

struct Params {
    splits: u32, splits_per_part: u32, size4: u32,   // sum
    rows: u32, rows_per_chunk: u32, c4: u32,         // rows
    items: u32,                                      // invocations that have work
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;        // (splits, size/4) or (rows, C/4)
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;  // (parts, size/4) or (chunks, C/4)
fn load_x(i: u32) -> vec4f { return x[i]; }
fn store_y(i: u32, value: vec4f) { y[i] = value; }

@compute @workgroup_size(WG)
fn sum(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let first = i / p.size4 * p.splits_per_part;
    var total = vec4f();
    for (var z = first; z < min(first + p.splits_per_part, p.splits); z++) {
        total += load_x(z * p.size4 + i % p.size4);
    }
    store_y(i, total);
}

@compute @workgroup_size(WG)
fn rows(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.items { return; }
    let first = i / p.c4 * p.rows_per_chunk;
    var total = vec4f();
    for (var row = first; row < min(first + p.rows_per_chunk, p.rows); row++) {
        total += load_x(row * p.c4 + i % p.c4);
    }
    store_y(i, total);
}
