//! Workbench, convolution 3 of 5: workgroup memory.
//!
//! The formula and the arrays are those of conv2d_2_registers, and so is the work of an invocation:
//! PIXELS neighbours of a row, 4 output channels.
//!
//! New: the 64 invocations of a workgroup read together what they need together. They compute a
//! tile of 8 rows × 32 columns, 8 output channels: 4 strips in a row, 8 rows, 2 fours of channels.
//! For every 4 input channels they copy the area of x under the tile (10 rows × 34 columns) and
//! the weights (9 taps, 4 × 8) to workgroup memory, wait for each other, and read from there. The
//! tile takes 8 · 32 · 8 · 9 · 4 = 73,728 multiply-adds, and from memory it takes
//!
//!   (10 · 34 · 4 + 9 · 4 · 8) / 73,728 = 0.022 reads a multiply-add, in place of 0.23.
//!
//! Workgroup memory is fast on a GPU, where it is a part of the chip beside the arithmetic. On a
//! processor it is memory as any other, and the copy costs more than it saves.

const PIXELS: u32 = 8;
const STRIPS: u32 = 4;             // strips of PIXELS in a row of the tile
const ROWS: u32 = 8;               // rows of the tile
const FOURS: u32 = 2;              // fours of output channels of the tile
const WORKGROUP = STRIPS * ROWS * FOURS;
const SPAN = PIXELS + 2;
const AREA_WIDTH = STRIPS * PIXELS + 2;
const AREA_SIZE = (ROWS + 2) * AREA_WIDTH;
const WEIGHTS_SIZE = 9 * 4 * FOURS;

struct Params { images: u32, height: u32, width: u32, fours_in: u32, fours_out: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;       // (image, row, column, fours_in)
@group(0) @binding(2) var<storage, read> w: array<vec4f>;       // (3, 3, 4 · fours_in, fours_out)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>; // (image, row, column, fours_out)

var<workgroup> area: array<vec4f, AREA_SIZE>;       // (ROWS + 2, AREA_WIDTH), 4 input channels
var<workgroup> weights: array<vec4f, WEIGHTS_SIZE>;   // (9, 4, FOURS)

// Workgroup: x: tile in a row of tiles; y: row of tiles; z: image, and 8 of its output channels.
@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    let channel_tiles = (p.fours_out + FOURS - 1u) / FOURS;
    let image = group.z / channel_tiles;
    let first_four = group.z % channel_tiles * FOURS;
    let tile_row = group.y * ROWS;
    let tile_column = group.x * STRIPS * PIXELS;
    let four = local % FOURS;
    let strip = local / FOURS % STRIPS;
    let row = local / FOURS / STRIPS;

    var sums: array<vec4f, PIXELS>;
    for (var c = 0u; c < p.fours_in; c++) {
        for (var at = local; at < AREA_SIZE; at += WORKGROUP) {
            let row_in = tile_row + at / AREA_WIDTH - 1u;
            let column = tile_column + at % AREA_WIDTH - 1u;
            area[at] = vec4f();
            if row_in < p.height && column < p.width {
                area[at] = x[((image * p.height + row_in) * p.width + column) * p.fours_in + c];
            }
        }
        for (var at = local; at < WEIGHTS_SIZE; at += WORKGROUP) {
            let tap = at / FOURS / 4u;
            let channel_in = 4u * c + at / FOURS % 4u;
            let four_out = min(first_four + at % FOURS, p.fours_out - 1u);
            weights[at] = w[(tap * 4u * p.fours_in + channel_in) * p.fours_out + four_out];
        }
        workgroupBarrier();   // everything is copied
        for (var i = 0u; i < 3u; i++) {
            var inputs: array<vec4f, SPAN>;
            for (var k = 0u; k < SPAN; k++) { //!unroll
                inputs[k] = area[(row + i) * AREA_WIDTH + strip * PIXELS + k];
            }
            for (var j = 0u; j < 3u; j++) { //!unroll
                let at = (i * 3u + j) * 4u * FOURS + four;
                let block = mat4x4f(weights[at], weights[at + FOURS],
                                    weights[at + 2u * FOURS], weights[at + 3u * FOURS]);
                for (var k = 0u; k < PIXELS; k++) { //!unroll
                    sums[k] += block * inputs[k + j];
                }
            }
        }
        workgroupBarrier();   // everything is used, and may be overwritten
    }
    let four_out = first_four + four;
    let column = tile_column + strip * PIXELS;
    if tile_row + row >= p.height || four_out >= p.fours_out { return; }
    let out = (image * p.height + tile_row + row) * p.width + column;
    for (var k = 0u; k < PIXELS; k++) { //!unroll
        if column + k < p.width { y[(out + k) * p.fours_out + four_out] = sums[k]; }
    }
}
