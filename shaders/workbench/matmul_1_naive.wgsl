//! Workbench, matrix product 1 of 3: the formula as it stands.
//!
//!   c[row, column] = Σ_k a[row, k] · b[k, column]
//!
//! a has `rows` rows and `inner` columns, b has `inner` rows and `columns` columns. Matrices are
//! stored row by row. One invocation computes one element of c, from 2 reads a multiply-add.
//! Neighbouring invocations have neighbouring columns: together they read a piece of a row of b.

const WORKGROUP: u32 = 64;

struct Params { rows: u32, inner: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;       // (rows, inner)
@group(0) @binding(2) var<storage, read> b: array<f32>;       // (inner, columns)
@group(0) @binding(3) var<storage, read_write> c: array<f32>; // (rows, columns)

@compute @workgroup_size(WORKGROUP)
fn product(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
    let index = (group.y * groups.x + group.x) * WORKGROUP + local;
    let row = index / p.columns;
    let column = index % p.columns;
    if row >= p.rows { return; }

    var sum = 0.0;
    for (var k = 0u; k < p.inner; k++) {
        sum += a[row * p.inner + k] * b[k * p.columns + column];
    }
    c[index] = sum;
}
