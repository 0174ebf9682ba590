//! Workbench, convolution 4 of 5: a matrix product in disguise ("implicit GEMM").
//!
//! The formula and the arrays are those of conv2d_2_registers.
//!
//! New: the tile has no height and width. Write all pixels of all images below each other, and
//! beside every pixel what the 9 taps see there, all channels: a matrix of images·height·width rows
//! and 9·channels_in columns. w is a matrix of 9·channels_in rows and channels_out columns, as it
//! is stored. y is their product. The first matrix is never built: an invocation that copies an
//! element of it to workgroup memory computes where in x it is. Tiles of PIXELS pixels ×
//! 4·FOURS_WIDE channels fit any image: one of 7 × 7 pixels fills a fifth of the tile of conv2d_3,
//! but here the next image goes on in the same tile. The same kernel does every stride and window
//! with another line of index arithmetic.
//!
//! A step takes one tap and DEPTH = 4·FOURS_DEEP input channels of it:
//!   (64·16 + 16·32) / (64·16·32) = 1/32 + 1/64 = 0.047 reads a multiply-add.
//! conv2d_3 has 0.022, as neighbouring pixels share an area. This is the price.

const PIXELS: u32 = 64;
const FOURS_WIDE: u32 = 8;         // fours of output channels of a tile
const FOURS_DEEP: u32 = 4;         // fours of input channels of a step
const WORKGROUP: u32 = 64;
const PER_THREAD: u32 = 8;         // pixels of an invocation, 4 output channels each
const DEPTH = 4 * FOURS_DEEP;
const SIZE_A = PIXELS * FOURS_DEEP;
const SIZE_B = DEPTH * FOURS_WIDE;

struct Params { images: u32, height: u32, width: u32, fours_in: u32, fours_out: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;       // (image, row, column, fours_in)
@group(0) @binding(2) var<storage, read> w: array<vec4f>;       // (3, 3, 4 · fours_in, fours_out)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>; // (image, row, column, fours_out)

var<workgroup> a: array<vec4f, SIZE_A>;   // (PIXELS, FOURS_DEEP)
var<workgroup> b: array<vec4f, SIZE_B>;   // (DEPTH, FOURS_WIDE)

// The four input channels c of what the tap (i, j) sees at a pixel; zeros outside of the image.
fn seen(pixel: u32, i: u32, j: u32, c: u32) -> vec4f {
    let column = pixel % p.width + j - 1u;
    let row = pixel / p.width % p.height + i - 1u;
    let image = pixel / p.width / p.height;
    let outside = image >= p.images || row >= p.height || column >= p.width;
    if outside || c >= p.fours_in { return vec4f(); }
    return x[((image * p.height + row) * p.width + column) * p.fours_in + c];
}

// Workgroup: x and z: tile of pixels; y: tile of output channels.
@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
    let first_pixel = (group.z * groups.x + group.x) * PIXELS;
    let first_four = group.y * FOURS_WIDE;
    let mine = local % FOURS_WIDE;                    // my output channels
    let my_pixels = local / FOURS_WIDE * PER_THREAD;  // my first pixel

    var sums: array<vec4f, PER_THREAD>;
    for (var tap = 0u; tap < 9u; tap++) {
        for (var c = 0u; c < p.fours_in; c += FOURS_DEEP) {
            for (var at = local; at < SIZE_A; at += WORKGROUP) {
                let pixel = first_pixel + at / FOURS_DEEP;
                a[at] = seen(pixel, tap / 3u, tap % 3u, c + at % FOURS_DEEP);
            }
            for (var at = local; at < SIZE_B; at += WORKGROUP) {
                // The last channels twice: where c ends earlier, a is zero.
                let channel = min(4u * c + at / FOURS_WIDE, 4u * p.fours_in - 1u);
                let four = min(first_four + at % FOURS_WIDE, p.fours_out - 1u);
                b[at] = w[(tap * 4u * p.fours_in + channel) * p.fours_out + four];
            }
            workgroupBarrier();   // everything is copied
            for (var d = 0u; d < FOURS_DEEP; d++) {
                let at = 4u * d * FOURS_WIDE + mine;
                let block = mat4x4f(b[at], b[at + FOURS_WIDE],
                                    b[at + 2u * FOURS_WIDE], b[at + 3u * FOURS_WIDE]);
                for (var k = 0u; k < PER_THREAD; k++) { //!unroll
                    sums[k] += block * a[(my_pixels + k) * FOURS_DEEP + d];
                }
            }
            workgroupBarrier();   // everything is used, and may be overwritten
        }
    }
    for (var k = 0u; k < PER_THREAD; k++) { //!unroll
        let pixel = first_pixel + my_pixels + k;
        if pixel < p.images * p.height * p.width && first_four + mine < p.fours_out {
            y[pixel * p.fours_out + first_four + mine] = sums[k];
        }
    }
}
