//! Workbench, convolution 1 of 5: the formula as it stands.
//!
//!   y[n, row, column, out] = Σ x[n, row + i − 1, column + j − 1, in] · w[i, j, in, out]
//!
//! over the 3 × 3 taps (i, j) and all input channels. The stride is 1, and outside of the image x
//! is 0. Arrays are stored with the last index running fastest: x and y as (image, row, column,
//! channel), w as (tap row, tap column, input channel, output channel).
//!
//! One invocation computes one y. A multiply-add takes two numbers, and both are read from memory:
//! 2 reads a multiply-add. Neighbouring invocations have neighbouring output channels, so that they
//! read the same x and neighbouring w: caches make up for much of it, but not for all.

const WORKGROUP: u32 = 64;

struct Params { images: u32, height: u32, width: u32, channels_in: u32, channels_out: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // (image, row, column, channels_in)
@group(0) @binding(2) var<storage, read> w: array<f32>;       // (3, 3, channels_in, channels_out)
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // (image, row, column, channels_out)

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
    let index = (group.y * groups.x + group.x) * WORKGROUP + local;
    let channel = index % p.channels_out;
    let column = index / p.channels_out % p.width;
    let row = index / p.channels_out / p.width % p.height;
    let image = index / p.channels_out / p.width / p.height;
    if image >= p.images { return; }

    var sum = 0.0;
    for (var i = 0u; i < 3u; i++) {
        for (var j = 0u; j < 3u; j++) {
            // Unsigned: 0 − 1 is the largest number, so one comparison finds both borders.
            let row_in = row + i - 1u;
            let column_in = column + j - 1u;
            if row_in < p.height && column_in < p.width {
                let x_at = ((image * p.height + row_in) * p.width + column_in) * p.channels_in;
                let w_at = (i * 3u + j) * p.channels_in * p.channels_out + channel;
                for (var c = 0u; c < p.channels_in; c++) {
                    sum += x[x_at + c] * w[w_at + c * p.channels_out];
                }
            }
        }
    }
    y[index] = sum;
}
