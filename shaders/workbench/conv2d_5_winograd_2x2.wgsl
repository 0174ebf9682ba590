//! Workbench, convolution 5 of 5: fewer multiplications (Winograd's F(2×2, 3×3)).
//!
//! The formula is that of conv2d_1_naive, and so is the result up to rounding.
//! New: 2 × 2 neighbours of y take 4 · 9 = 36 multiplications for each input channel. 16 are
//! enough. In one dimension, 2 outputs from 4 inputs d and 3 taps g:
//!
//!   m = (G·g) ⊙ (Bᵀ·d),   y = Aᵀ·m            ⊙ multiplies element by element
//!
//!        1    0    0            1   0  −1   0
//!   G =  1/2  1/2  1/2     Bᵀ = 0   1   1   0      Aᵀ = 1   1   1   0
//!        1/2 −1/2  1/2          0  −1   1   0           0   1  −1   1
//!        0    0    1            0  −1   0   1
//! In two dimensions, columns and rows are transformed in turn. The weights are transformed once,
//! by `transform_filter`, which writes u; x and the sums over channels by additions only.
//!
//! `forward`: an invocation computes a tile of 2 × 2 pixels, 4 output channels. The 64 of a
//! workgroup share the weights in workgroup memory. For 4 input channels of a tile 16 · 4 numbers
//! of x are read, for the 64 tiles 16 · 4 · 4 of u, for 4 · 9 · 4 · 4 = 576 multiply-adds a tile:
//!   64 / 576 + 256 / (64 · 576) = 0.12 reads and 0.44 multiplications a multiply-add.
//! Transformed values are larger, so that more is lost by rounding.

const WORKGROUP: u32 = 64;   // tiles, and 16 places · 4 input channels of u, one an invocation

struct Params { images: u32, height: u32, width: u32, fours_in: u32, fours_out: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;         // (image, row, column, fours_in)
@group(0) @binding(2) var<storage, read> w: array<vec4f>;         // (3, 3, 4 · fours_in, fours_out)
@group(0) @binding(3) var<storage, read> u: array<vec4f>;         // (16, 4 · fours_in, fours_out)
@group(0) @binding(4) var<storage, read_write> u_out: array<vec4f>; // the same
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;   // (image, row, column, fours_out)

// G·g
fn filter_1d(g: array<vec4f, 3>) -> array<vec4f, 4> {
    let even = 0.5 * (g[0] + g[2]);
    return array<vec4f, 4>(g[0], even + 0.5 * g[1], even - 0.5 * g[1], g[2]);
}

// Bᵀ·d
fn input_1d(d: array<vec4f, 4>) -> array<vec4f, 4> {
    return array<vec4f, 4>(d[0] - d[2], d[1] + d[2], d[2] - d[1], d[3] - d[1]);
}

// Aᵀ·m
fn output_1d(m: array<vec4f, 4>) -> array<vec4f, 2> {
    return array<vec4f, 2>(m[0] + m[1] + m[2], m[1] - m[2] + m[3]);
}

// One invocation for each input channel and 4 output channels.
@compute @workgroup_size(WORKGROUP)
fn transform_filter(@builtin(global_invocation_id) id: vec3u) {
    let pairs = 4u * p.fours_in * p.fours_out;
    if id.x >= pairs { return; }
    var half_done: array<array<vec4f, 4>, 3>;
    for (var i = 0u; i < 3u; i++) {
        let row = i * 3u * pairs + id.x;
        half_done[i] = filter_1d(array<vec4f, 3>(w[row], w[row + pairs], w[row + 2u * pairs]));
    }
    for (var j = 0u; j < 4u; j++) {
        let column = filter_1d(array<vec4f, 3>(half_done[0][j], half_done[1][j], half_done[2][j]));
        for (var i = 0u; i < 4u; i++) { u_out[(i * 4u + j) * pairs + id.x] = column[i]; }
    }
}

var<workgroup> shared_u: array<vec4f, WORKGROUP>;   // (16, 4)

// Workgroup: x and z: 64 tiles; y: 4 output channels.
@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
    let tiles_across = (p.width + 1u) / 2u;
    let tiles_down = (p.height + 1u) / 2u;
    let tile = (group.z * groups.x + group.x) * WORKGROUP + local;
    let column = tile % tiles_across * 2u;
    let row = tile / tiles_across % tiles_down * 2u;
    let image = tile / tiles_across / tiles_down;

    var sums: array<vec4f, 16>;
    for (var c = 0u; c < p.fours_in; c++) {
        let source = local / 4u * 4u * p.fours_in + 4u * c + local % 4u;
        shared_u[local] = u[source * p.fours_out + group.y];
        workgroupBarrier();   // everything is copied
        var rows: array<array<vec4f, 4>, 4>;
        for (var i = 0u; i < 4u; i++) { //!unroll
            var d: array<vec4f, 4>;
            for (var j = 0u; j < 4u; j++) { //!unroll
                let row_in = row + i - 1u;
                let column_in = column + j - 1u;
                if image < p.images && row_in < p.height && column_in < p.width {
                    d[j] = x[((image * p.height + row_in) * p.width + column_in) * p.fours_in + c];
                }
            }
            rows[i] = input_1d(d);
        }
        for (var j = 0u; j < 4u; j++) { //!unroll
            let v = input_1d(array<vec4f, 4>(rows[0][j], rows[1][j], rows[2][j], rows[3][j]));
            for (var i = 0u; i < 4u; i++) { //!unroll
                let at = (i * 4u + j) * 4u;
                sums[i * 4u + j] += mat4x4f(shared_u[at], shared_u[at + 1u],
                                            shared_u[at + 2u], shared_u[at + 3u]) * v[i];
            }
        }
        workgroupBarrier();   // everything is used, and may be overwritten
    }
    if image >= p.images { return; }
    var across: array<array<vec4f, 2>, 4>;
    for (var i = 0u; i < 4u; i++) { //!unroll
        let at = i * 4u;
        let m = array<vec4f, 4>(sums[at], sums[at + 1u], sums[at + 2u], sums[at + 3u]);
        across[i] = output_1d(m);
    }
    for (var j = 0u; j < 2u; j++) {
        let m = array<vec4f, 4>(across[0][j], across[1][j], across[2][j], across[3][j]);
        let outputs = output_1d(m);
        for (var i = 0u; i < 2u; i++) {
            if row + i >= p.height || column + j >= p.width { continue; }
            let at = (image * p.height + row + i) * p.width + column + j;
            y[at * p.fours_out + group.y] = outputs[i];
        }
    }
}
