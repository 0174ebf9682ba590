//! Workbench, matrix product 3 of 3: registers on top of the tile.
//!
//! The formula and the arrays are those of matmul_1_naive, the two barriers those of matmul_2.
//!
//! New: an invocation computes not one element but PER_THREAD × PER_THREAD. From workgroup memory
//! it reads PER_THREAD numbers of a and of b for PER_THREAD² multiply-adds, 2 / PER_THREAD = 0.25
//! each, where matmul_2 reads 2. The workgroup's tile grows with it, to SIDE = 64, and what is read
//! from memory is
//!
//!   2 / SIDE = 0.031 reads a multiply-add.
//!
//! This is the shape of every fast matrix product: memory feeds workgroup memory, which feeds
//! registers, and each level uses a number several times. The engine's GPU kernels
//! (conv2d_tiled.wgsl) are this one with two tiles by turns, so that copying goes on during the
//! arithmetic.

const SIDE: u32 = 64;         // rows and columns of the tile
const DEPTH: u32 = 16;        // of the inner index in a step
const PER_THREAD: u32 = 8;    // rows and columns of an invocation
const ACROSS = SIDE / PER_THREAD;
const WORKGROUP = ACROSS * ACROSS;
const TILE_SIZE = SIDE * DEPTH;

struct Params { rows: u32, inner: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;       // (rows, inner)
@group(0) @binding(2) var<storage, read> b: array<f32>;       // (inner, columns)
@group(0) @binding(3) var<storage, read_write> c: array<f32>; // (rows, columns)

var<workgroup> tile_a: array<f32, TILE_SIZE>;   // (DEPTH, SIDE rows)
var<workgroup> tile_b: array<f32, TILE_SIZE>;   // (DEPTH, SIDE columns)

// Workgroup: x: tile of columns; y: tile of rows. Invocation (i, j): rows i, i + ACROSS, … and
// columns j, j + ACROSS, …, so that neighbours read and write neighbouring numbers.
@compute @workgroup_size(WORKGROUP)
fn product(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let first_row = group.y * SIDE;
    let first_column = group.x * SIDE;
    let i = local / ACROSS;
    let j = local % ACROSS;

    var sums: array<array<f32, PER_THREAD>, PER_THREAD>;
    for (var first = 0u; first < p.inner; first += DEPTH) {
        for (var at = local; at < TILE_SIZE; at += WORKGROUP) {
            // Neighbours copy along a row of a, and along a row of b.
            let row = first_row + at / DEPTH;
            let inner_a = first + at % DEPTH;
            let inner_b = first + at / SIDE;
            let column = first_column + at % SIDE;
            var from_a = 0.0;
            var from_b = 0.0;
            if row < p.rows && inner_a < p.inner { from_a = a[row * p.inner + inner_a]; }
            if inner_b < p.inner && column < p.columns { from_b = b[inner_b * p.columns + column]; }
            tile_a[at % DEPTH * SIDE + at / DEPTH] = from_a;
            tile_b[at] = from_b;
        }
        workgroupBarrier();   // everything is copied
        for (var k = 0u; k < DEPTH; k++) {
            var ours: array<f32, PER_THREAD>;
            for (var m = 0u; m < PER_THREAD; m++) { //!unroll
                ours[m] = tile_a[k * SIDE + i + m * ACROSS];
            }
            for (var n = 0u; n < PER_THREAD; n++) { //!unroll
                let other = tile_b[k * SIDE + j + n * ACROSS];
                for (var m = 0u; m < PER_THREAD; m++) { //!unroll
                    sums[m][n] += ours[m] * other;
                }
            }
        }
        workgroupBarrier();   // everything is used, and may be overwritten
    }
    for (var m = 0u; m < PER_THREAD; m++) { //!unroll
        for (var n = 0u; n < PER_THREAD; n++) { //!unroll
            let row = first_row + i + m * ACROSS;
            let column = first_column + j + n * ACROSS;
            if row < p.rows && column < p.columns { c[row * p.columns + column] = sums[m][n]; }
        }
    }
}
