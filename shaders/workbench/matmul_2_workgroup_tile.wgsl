//! Workbench, matrix product 2 of 3: a tile in workgroup memory.
//!
//! The formula and the arrays are those of matmul_1_naive, and one invocation still computes one
//! element.
//!
//! New: the SIDE × SIDE invocations of a workgroup compute a square tile of c. All of a row of it
//! need the same row of a, all of a column the same column of b. In a step they copy SIDE × SIDE
//! numbers of a and of b to workgroup memory, one each; then each invocation takes SIDE products
//! from there. Every number read from memory is used SIDE times:
//!
//!   2 / SIDE = 0.125 reads a multiply-add, in place of 2.
//!
//! Two barriers keep the invocations together: nobody reads before all have copied, and nobody
//! copies the next step's numbers before all have read. At the edges of the matrices, zeros take
//! the place of numbers that there are not; no invocation may leave early, since all have to reach
//! the barriers.

const SIDE: u32 = 16;
const TILE_SIZE = SIDE * SIDE;

struct Params { rows: u32, inner: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;       // (rows, inner)
@group(0) @binding(2) var<storage, read> b: array<f32>;       // (inner, columns)
@group(0) @binding(3) var<storage, read_write> c: array<f32>; // (rows, columns)

var<workgroup> tile_a: array<f32, TILE_SIZE>;   // (SIDE rows, SIDE of the inner index)
var<workgroup> tile_b: array<f32, TILE_SIZE>;   // (SIDE of the inner index, SIDE columns)

// Workgroup: x: tile of columns; y: tile of rows.
@compute @workgroup_size(SIDE, SIDE)
fn product(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
    let row = group.y * SIDE + local.y;
    let column = group.x * SIDE + local.x;
    let mine = local.y * SIDE + local.x;
    var sum = 0.0;
    for (var first = 0u; first < p.inner; first += SIDE) {
        let inner_a = first + local.x;
        let inner_b = first + local.y;
        var from_a = 0.0;
        var from_b = 0.0;
        if row < p.rows && inner_a < p.inner { from_a = a[row * p.inner + inner_a]; }
        if inner_b < p.inner && column < p.columns { from_b = b[inner_b * p.columns + column]; }
        tile_a[mine] = from_a;
        tile_b[mine] = from_b;
        workgroupBarrier();   // everything is copied
        for (var k = 0u; k < SIDE; k++) {
            sum += tile_a[local.y * SIDE + k] * tile_b[k * SIDE + local.x];
        }
        workgroupBarrier();   // everything is used, and may be overwritten
    }
    if row < p.rows && column < p.columns { c[row * p.columns + column] = sum; }
}
