//! partials: y[i] = Σ_z x[z, i], the sum over splits, in the order of z.
//!   rows: y[chunk, c] = Σ x[row, c] over the rows of a chunk (the gradient of a bias)
//! `sum`: one invocation per vec4 of y; `rows`: one per (chunk, 4 channels).
const WG: u32 = 64;

struct Params { splits: u32, size4: u32, rows: u32, rows_per_chunk: u32, c4: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;        // (splits, size/4) or (rows, C/4)
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;  // (size/4) or (chunks, C/4)

@compute @workgroup_size(WG)
fn sum(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.size4 { return; }
    var total = vec4f();
    for (var z = 0u; z < p.splits; z++) { total += x[z * p.size4 + i]; }
    y[i] = total;
}

@compute @workgroup_size(WG)
fn rows(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.y * groups.x * WG + id.x;
    if i >= p.size4 { return; }
    let first = i / p.c4 * p.rows_per_chunk;
    var total = vec4f();
    for (var row = first; row < min(first + p.rows_per_chunk, p.rows); row++) { total += x[row * p.c4 + i % p.c4]; }
    y[i] = total;
}
