//! Workbench, convolution 2 of 5: registers.
//!
//! The formula and the arrays are those of conv2d_1_naive, with channels padded by zeros to a
//! multiple of 4, so that four of them are read and multiplied together, as a vec4f. The array w
//! (3, 3, channels_in, channels_out) becomes (3, 3, channels_in, channels_out / 4).
//!
//! New: an invocation computes not one y but PIXELS neighbours of a row, 4 output channels each. It
//! keeps the sums in registers, and uses each number that it has read several times: a pixel of x
//! for 3 taps and 4 output channels, a weight for all PIXELS. A tap row of 4 input channels reads
//! PIXELS + 2 pixels and 3 · 4 vec4f of weights for PIXELS · 3 · 4 · 4 multiply-adds. With PIXELS =
//! 8 that is
//!
//!   (10 · 4 + 12 · 4) / 384 = 0.23 reads a multiply-add, in place of 2.

const WORKGROUP: u32 = 64;
const PIXELS: u32 = 8;
const SPAN = PIXELS + 2;   // pixels of x under PIXELS pixels of y

// Channels are counted in fours.
struct Params { images: u32, height: u32, width: u32, fours_in: u32, fours_out: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;       // (image, row, column, fours_in)
@group(0) @binding(2) var<storage, read> w: array<vec4f>;       // (3, 3, 4 · fours_in, fours_out)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>; // (image, row, column, fours_out)

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
    let index = (group.y * groups.x + group.x) * WORKGROUP + local;
    let strips = (p.width + PIXELS - 1u) / PIXELS;
    let four_out = index % p.fours_out;
    let first = index / p.fours_out % strips * PIXELS;
    let row = index / p.fours_out / strips % p.height;
    let image = index / p.fours_out / strips / p.height;
    if image >= p.images { return; }

    var sums: array<vec4f, PIXELS>;
    for (var i = 0u; i < 3u; i++) {
        let row_in = row + i - 1u;
        if row_in >= p.height { continue; }
        let x_row = (image * p.height + row_in) * p.width;
        for (var c = 0u; c < p.fours_in; c++) {
            var inputs: array<vec4f, SPAN>;
            for (var k = 0u; k < SPAN; k++) { //!unroll
                let column = first + k - 1u;
                if column < p.width { inputs[k] = x[(x_row + column) * p.fours_in + c]; }
            }
            for (var j = 0u; j < 3u; j++) { //!unroll
                let w_at = ((i * 3u + j) * p.fours_in + c) * 4u * p.fours_out + four_out;
                let weights = mat4x4f(w[w_at], w[w_at + p.fours_out],
                                      w[w_at + 2u * p.fours_out], w[w_at + 3u * p.fours_out]);
                for (var k = 0u; k < PIXELS; k++) { //!unroll
                    sums[k] += weights * inputs[k + j];
                }
            }
        }
    }
    let out = (image * p.height + row) * p.width + first;
    for (var k = 0u; k < PIXELS; k++) { //!unroll
        if first + k < p.width { y[(out + k) * p.fours_out + four_out] = sums[k]; }
    }
}
