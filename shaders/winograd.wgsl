//! winograd: a 3×3 convolution of stride 1 and its two gradients with fewer multiplications: F(M×M, 3×3).
//!
//!   y = Aᵀ·[(G·w·Gᵀ) ⊙ (Bᵀ·x·B)]·A        ⊙ multiplies element by element (Lavin and Gray 2016)
//!
//! for every tile of M×M pixels of y, M = 2 or 4, and the A×A pixels of x under it, A = M + 2. The matrices
//! are printed in shared/winograd.{M}.wgsl. The formula is for one input and one output channel: Bᵀ·x·B is
//! computed once for each input channel and Aᵀ·[…]·A once for each output channel, and only ⊙ for every
//! pair. A tile takes A² products a pair instead of 9·M²: 36 instead of 144 for M = 4
//! (drawings/winograd_tile.svg). For each of the A² places z in a tile, the products, summed over input
//! channels, are a matrix product over all tiles t. So a pass is a few dispatches. With K input channels and
//! N output channels:
//!
//!   forward:          u = transform_filter(w)      G·w·Gᵀ
//!                     v = transform_input(x)       Bᵀ·x·B
//!                     m = multiply(v, u)           m[z,n,t] = Σ_k v[z,k,t]·u[z,k,n]
//!                     y = transform_output(m)      Aᵀ·m·A, then scale, shift, residual and activation
//!
//! Each backward dispatch is the transpose of a forward one. s is the gradient of m, and both passes read it:
//!
//!   both:             s = transform_grad(dy)       A·dy·Aᵀ
//!   backward_input:   u = transform_filter(w)
//!                     v = multiply_input(s, u)     v[z,k,t] = Σ_n s[z,n,t]·u[z,k,n], the gradient of v
//!                     dx = transform_overlap(v)    B·v·Bᵀ, added up where the A×A pixels of tiles overlap
//!   backward_weight:  v = transform_input(x)
//!                     u = multiply_weight(v, s)    u[z,k,n] = Σ_t v[z,k,t]·s[z,n,t], in splits of the tiles
//!                     dw = transform_weight(u)     Gᵀ·u·G
//!
//! Arrays: x, y, dy and w are those of conv2d.wgsl. v, m and s are stored in blocks of B tiles, u in blocks
//! of TM channels, each with its whole depth K, so that what a workgroup of a product reads is contiguous.
//! N is the number of images in the shapes of x, y and dy, and the number of output channels in those of u,
//! m and s.
//! Example with M = 4, B = 32: 2 images of 10 × 14 pixels and 8 channels have tiles_h = 3 and tiles_w = 4, so
//! 24 tiles in one block. Tile 17 is image 17/12 = 1, tile row 17/4 % 3 = 1, tile column 17 % 4 = 1. It is
//! rows and columns 4 to 7 of y and, with top = left = 1, rows and columns 3 to 8 of x. Its place in row 2,
//! column 3 is z = 2·6 + 3 = 15. Channels 4 to 7 there are v[15·(1·2·32 + 4) + (0·2 + 1)·32 + 17], v[1069].
//!
//! Who computes what: neighbouring lanes take neighbouring tiles. A lane of `transform_input`, `_grad` and
//! `_output` takes one tile and 4 channels, one of `transform_overlap` M×M pixels of dx and 4 channels, one
//! of `transform_filter` and `_weight` one input channel and 4 output channels. A lane of `multiply` takes P
//! tiles and TM output channels of one place z, one of `multiply_input` P tiles and TM input channels, and
//! lanes share u as those of conv2d.wgsl share w. A lane of `multiply_weight` takes 4·Q input channels and
//! TM output channels of one z.
//!
//! Capital letters are constants; small ones are arrays and loop variables: v holds tiles in blocks of B,
//! and b counts columns. The price of fewer products is workspace for the transformed arrays, and more
//! rounding.
//!use shared/share.{share}.wgsl
//!use shared/epilogue.wgsl
//!use shared/winograd.{M}.wgsl

const M: u32 = 4;         // rows and columns of y in a tile: 2 or 4
const S: u32 = 8;         // sharers: lanes that load a block of u or s together; 1: each loads all of it
const WG: u32 = 8;        // workgroup of the products: its lanes, a multiple of S
const TM: u32 = 32;       // channels that a lane of a product computes, a multiple of 4; a block of u has TM too
const B: u32 = 32;        // block: tiles stored together; those of a workgroup of multiply; a multiple of WG
const Q: u32 = 2;         // multiply_weight: a lane computes Q times 4 input channels

const A = M + 2;                  // rows and columns of x under a tile: 4 or 6
const TM4 = TM / 4;               // vec4f of TM channels
const P = B / WG;                 // multiply: tiles that a lane computes
const LOADS = (TM + S - 1) / S;   // vec4f of a 4 × TM block that each lane loads

struct Params {
    h_in: u32, w_in: u32, c_in4: u32,      // of x; K = 4·c_in4
    h_out: u32, w_out: u32, c_out4: u32,   // of y; N = 4·c_out4
    top: u32, left: u32,                   // padding
    tiles_h: u32, tiles_w: u32, tiles: u32,   // down and across an image, and of the batch
    blocks: u32,                           // of B tiles; the last is filled up with zeros
    cells_h: u32, cells_w: u32, cells: u32,   // transform_overlap: squares of M×M pixels of dx
    first_h: u32, first_w: u32,            // i32: the row and column of tiles that the first square belongs to
    blocks_per_split: u32, blocks_per_run: u32,   // multiply_weight: of one split, and of one running sum
    affine: u32, residual: u32, act: u32,  // as in conv2d.wgsl
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;          // (N, H_in, W_in, C_in/4)
@group(0) @binding(2) var<storage, read> w: array<vec4f>;          // (3, 3, C_in, C_out/4)
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;         // (N, H_out, W_out, C_out/4)
@group(0) @binding(4) var<storage, read> affine: array<vec4f>;     // (2, C_out/4) scale, shift; (C_out/4) one
@group(0) @binding(5) var<storage, read> residual: array<vec4f>;   // the shape of y
@group(0) @binding(6) var<storage, read> u: array<vec4f>;          // (A², N/TM, K, TM/4)
@group(0) @binding(7) var<storage, read> v: array<vec4f>;          // (A², blocks, K/4, B)
@group(0) @binding(8) var<storage, read> m: array<vec4f>;          // (A², blocks, N/4, B)
@group(0) @binding(9) var<storage, read> s: array<vec4f>;          // (A², blocks, N/4, B)
@group(0) @binding(10) var<storage, read_write> u_out: array<vec4f>;     // (A², N/TM, K, TM/4), (splits, …)
@group(0) @binding(11) var<storage, read_write> v_out: array<vec4f>;     // (A², blocks, K/4, B)
@group(0) @binding(12) var<storage, read_write> m_out: array<vec4f>;     // (A², blocks, N/4, B)
@group(0) @binding(13) var<storage, read_write> s_out: array<vec4f>;     // (A², blocks, N/4, B)
@group(0) @binding(14) var<storage, read_write> y: array<vec4f>;   // (N, H_out, W_out, C_out/4)
@group(0) @binding(15) var<storage, read_write> dw: array<vec4f>;  // (3, 3, C_in, C_out/4)
@group(0) @binding(16) var<storage, read_write> dx: array<vec4f>;  // the shape of x
fn load_x(i: u32) -> vec4f { return x[i]; }
fn load_w(i: u32) -> vec4f { return w[i]; }
fn load_dy(i: u32) -> vec4f { return dy[i]; }
fn load_affine(i: u32) -> vec4f { return affine[i]; }
fn load_residual(i: u32) -> vec4f { return residual[i]; }
fn load_u(i: u32) -> vec4f { return u[i]; }
fn load_v(i: u32) -> vec4f { return v[i]; }
fn load_m(i: u32) -> vec4f { return m[i]; }
fn load_s(i: u32) -> vec4f { return s[i]; }
fn store_u_out(i: u32, value: vec4f) { u_out[i] = value; }
fn store_v_out(i: u32, value: vec4f) { v_out[i] = value; }
fn store_m_out(i: u32, value: vec4f) { m_out[i] = value; }
fn store_s_out(i: u32, value: vec4f) { s_out[i] = value; }
fn store_y(i: u32, value: vec4f) { y[i] = value; }
fn store_dw(i: u32, value: vec4f) { dw[i] = value; }
fn store_dx(i: u32, value: vec4f) { dx[i] = value; }

// Indices of the transformed arrays. The planes of two places z are 4 vec4f further apart than they are
// large: a distance that is a power of two would put all of them into the same few lines of a cache.
// - in_u: place z, input channel k, output channels 4·n4 to 4·n4 + 3 of u.
// - in_tiles: place z, tile 0 of `block`, channels 4·c to 4·c + 3 of 4·c4. The block's other tiles follow.
fn in_u(z: u32, k: u32, n4: u32) -> u32 {
    let blocks = (p.c_out4 + TM4 - 1u) / TM4;
    return z * (blocks * 4u * p.c_in4 * TM4 + 4u) + (n4 / TM4 * 4u * p.c_in4 + k) * TM4 + n4 % TM4;
}

fn in_tiles(z: u32, block: u32, c: u32, c4: u32) -> u32 {
    return z * (p.blocks * c4 * B + 4u) + (block * c4 + c) * B;
}

// u = G·w·Gᵀ. Invocations are in the order of u: n4 within a block of TM channels, then k, then blocks.
@compute @workgroup_size(64)
fn transform_filter(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads w. Writes u_out.
    // Workgroup: 64 pairs (input channel k, 4 output channels), one an invocation.
    let i = id.y * groups.x * 64u + id.x;
    let depth = 4u * p.c_in4;
    let k = i / TM4 % depth;
    let c = i / (TM4 * depth) * TM4 + i % TM4;
    if c >= p.c_out4 { return; }
    var t: array<array<vec4f, 3>, A>;
    for (var kw = 0u; kw < 3u; kw++) { //!unroll
        var g: array<vec4f, 3>;
        for (var kh = 0u; kh < 3u; kh++) { //!unroll
            g[kh] = load_w(((kh * 3u + kw) * depth + k) * p.c_out4 + c);
        }
        let column = transform_filter_1d(g);
        for (var a = 0u; a < A; a++) { //!unroll
            t[a][kw] = column[a];
        }
    }
    for (var a = 0u; a < A; a++) { //!unroll
        let row = transform_filter_1d(t[a]);
        for (var b = 0u; b < A; b++) { //!unroll
            store_u_out(in_u(a * A + b, k, c), row[b]);
        }
    }
}

// v = Bᵀ·x·B: first the columns of the A×A pixels, then the rows of what this gives. Tiles that fill up the
// last block are zeros.
@compute @workgroup_size(64)
fn transform_input(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads x. Writes v_out.
    // Workgroup: 64 pairs (tile, 4 channels): 8 neighbouring tiles for 4 channels, then for the next 4.
    let i = id.y * groups.x * 64u + id.x;
    if i >= p.blocks * B * p.c_in4 { return; }
    let c = i / 8u % p.c_in4;
    let tile = i / (8u * p.c_in4) * 8u + i % 8u;
    let n = tile / (p.tiles_h * p.tiles_w);
    let ih = i32(tile / p.tiles_w % p.tiles_h * M) - i32(p.top);
    let iw = i32(tile % p.tiles_w * M) - i32(p.left);
    var t: array<array<vec4f, A>, A>;
    for (var b = 0u; b < A; b++) { //!unroll
        var d: array<vec4f, A>;
        for (var a = 0u; a < A; a++) { //!unroll
            let h = ih + i32(a);
            let at = iw + i32(b);
            let inside = (tile < p.tiles) & (h >= 0) & (h < i32(p.h_in)) & (at >= 0) & (at < i32(p.w_in));
            let pixel = (n * p.h_in + u32(h)) * p.w_in + u32(at);
            d[a] = select(vec4f(), load_x(select(0u, pixel * p.c_in4 + c, inside)), inside);
        }
        let column = transform_input_1d(d);
        for (var a = 0u; a < A; a++) { //!unroll
            t[a][b] = column[a];
        }
    }
    for (var a = 0u; a < A; a++) { //!unroll
        let row = transform_input_1d(t[a]);
        for (var b = 0u; b < A; b++) { //!unroll
            store_v_out(in_tiles(a * A + b, tile / B, c, p.c_in4) + tile % B, row[b]);
        }
    }
}

// m[z,n,t] = Σ_k v[z,k,t]·u[z,k,n]. A lane's tiles are WG apart, so that neighbouring lanes read neighbouring
// tiles.
@compute @workgroup_size(WG)
fn multiply(@builtin(workgroup_id) group: vec3u, thread: Thread) {
    // Reads v and u. Writes m_out.
    // Workgroup: x: block of B tiles, P a lane; y: block of TM output channels; z: place in the tile.
    let lane = lane_of(thread);
    let c = group.y * TM4;
    let from_v = in_tiles(group.z, group.x, 0u, p.c_in4) + thread.local;
    let from_u = in_u(group.z, 0u, c);
    let to_m = in_tiles(group.z, group.x, c, p.c_out4) + thread.local;
    var acc: array<array<vec4f, P>, TM4>;
    for (var k4 = 0u; k4 < p.c_in4; k4++) {
        var values: array<vec4f, P>;
        for (var q = 0u; q < P; q++) { //!unroll
            values[q] = load_v(from_v + k4 * B + q * WG);
        }
        var part: array<vec4f, LOADS>;
        for (var r = 0u; r < LOADS; r++) { //!unroll
            part[r] = load_u(from_u + k4 * TM + min(lane + r * S, TM - 1u));
        }
        // u0 to u3: 4 input channels, each for 4 output channels.
        for (var j = 0u; j < TM4; j++) { //!unroll
            let u0 = share(part[j / S], j % S);
            let u1 = share(part[(TM4 + j) / S], (TM4 + j) % S);
            let u2 = share(part[(2u * TM4 + j) / S], (2u * TM4 + j) % S);
            let u3 = share(part[(3u * TM4 + j) / S], (3u * TM4 + j) % S);
            for (var q = 0u; q < P; q++) { //!unroll
                let d = values[q];
                acc[j][q] = fma(u3, vec4f(d.w), fma(u2, vec4f(d.z), fma(u1, vec4f(d.y), fma(u0, vec4f(d.x), acc[j][q]))));
            }
        }
    }
    for (var j = 0u; j < TM4; j++) { //!unroll
        for (var q = 0u; q < P; q++) { //!unroll
            if c + j < p.c_out4 { store_m_out(to_m + j * B + q * WG, acc[j][q]); }
        }
    }
}

// y = Aᵀ·m·A, columns before rows. A tile over the border of the image writes what is inside.
@compute @workgroup_size(64)
fn transform_output(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads m; affine if p.affine > 0; residual if p.residual = 1. Writes y.
    // Workgroup: 64 pairs (tile, 4 channels), as in transform_input.
    let i = id.y * groups.x * 64u + id.x;
    let c = i / 8u % p.c_out4;
    let tile = i / (8u * p.c_out4) * 8u + i % 8u;
    if tile >= p.tiles { return; }
    let n = tile / (p.tiles_h * p.tiles_w);
    let oh = tile / p.tiles_w % p.tiles_h * M;
    let ow = tile % p.tiles_w * M;
    var t: array<array<vec4f, A>, M>;
    for (var b = 0u; b < A; b++) { //!unroll
        var column: array<vec4f, A>;
        for (var a = 0u; a < A; a++) { //!unroll
            column[a] = load_m(in_tiles(a * A + b, tile / B, c, p.c_out4) + tile % B);
        }
        let sums = transform_output_1d(column);
        for (var a = 0u; a < M; a++) { //!unroll
            t[a][b] = sums[a];
        }
    }
    for (var a = 0u; a < M; a++) { //!unroll
        let row = transform_output_1d(t[a]);
        for (var b = 0u; b < M; b++) { //!unroll
            let at = ((n * p.h_out + oh + a) * p.w_out + ow + b) * p.c_out4 + c;
            if oh + a < p.h_out && ow + b < p.w_out { store_y(at, epilogue(row[b], at, c)); }
        }
    }
}

// s = A·dy·Aᵀ, the transpose of transform_output. Tiles that fill up the last block are zeros.
@compute @workgroup_size(64)
fn transform_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads dy. Writes s_out.
    // Workgroup: 64 pairs (tile, 4 output channels), as in transform_input.
    let i = id.y * groups.x * 64u + id.x;
    if i >= p.blocks * B * p.c_out4 { return; }
    let c = i / 8u % p.c_out4;
    let tile = i / (8u * p.c_out4) * 8u + i % 8u;
    let n = tile / (p.tiles_h * p.tiles_w);
    let oh = tile / p.tiles_w % p.tiles_h * M;
    let ow = tile % p.tiles_w * M;
    var t: array<array<vec4f, M>, A>;
    for (var b = 0u; b < M; b++) { //!unroll
        var d: array<vec4f, M>;
        for (var a = 0u; a < M; a++) { //!unroll
            let inside = (tile < p.tiles) & (oh + a < p.h_out) & (ow + b < p.w_out);
            let pixel = (n * p.h_out + oh + a) * p.w_out + ow + b;
            d[a] = select(vec4f(), load_dy(select(0u, pixel * p.c_out4 + c, inside)), inside);
        }
        let column = transform_grad_1d(d);
        for (var a = 0u; a < A; a++) { //!unroll
            t[a][b] = column[a];
        }
    }
    for (var a = 0u; a < A; a++) { //!unroll
        let row = transform_grad_1d(t[a]);
        for (var b = 0u; b < A; b++) { //!unroll
            store_s_out(in_tiles(a * A + b, tile / B, c, p.c_out4) + tile % B, row[b]);
        }
    }
}

// v[z,k,t] = Σ_n s[z,n,t]·u[z,k,n], the transpose of multiply: the same u, summed over output channels.
@compute @workgroup_size(WG)
fn multiply_input(@builtin(workgroup_id) group: vec3u, thread: Thread) {
    // Reads s and u. Writes v_out.
    // Workgroup: x: block of B tiles, P a lane; y: block of TM input channels; z: place in the tile.
    let lane = lane_of(thread);
    let k4 = group.y * TM4;
    let from_s = in_tiles(group.z, group.x, 0u, p.c_out4) + thread.local;
    let to_v = in_tiles(group.z, group.x, k4, p.c_in4) + thread.local;
    var acc: array<array<vec4f, P>, TM4>;
    for (var n4 = 0u; n4 < p.c_out4; n4++) {
        var values: array<vec4f, P>;
        for (var q = 0u; q < P; q++) { //!unroll
            values[q] = load_s(from_s + n4 * B + q * WG);
        }
        var part: array<vec4f, LOADS>;
        for (var r = 0u; r < LOADS; r++) { //!unroll
            let k = min(4u * k4 + min(lane + r * S, TM - 1u), 4u * p.c_in4 - 1u);
            part[r] = load_u(in_u(group.z, k, n4));
        }
        // u0 to u3: 4 input channels. Component i of them all belongs to component i of s.
        for (var j = 0u; j < TM4; j++) { //!unroll
            let u0 = share(part[4u * j / S], 4u * j % S);
            let u1 = share(part[(4u * j + 1u) / S], (4u * j + 1u) % S);
            let u2 = share(part[(4u * j + 2u) / S], (4u * j + 2u) % S);
            let u3 = share(part[(4u * j + 3u) / S], (4u * j + 3u) % S);
            for (var q = 0u; q < P; q++) { //!unroll
                let d = values[q];
                var sum = fma(vec4f(u0.x, u1.x, u2.x, u3.x), vec4f(d.x), acc[j][q]);
                sum = fma(vec4f(u0.y, u1.y, u2.y, u3.y), vec4f(d.y), sum);
                sum = fma(vec4f(u0.z, u1.z, u2.z, u3.z), vec4f(d.z), sum);
                acc[j][q] = fma(vec4f(u0.w, u1.w, u2.w, u3.w), vec4f(d.w), sum);
            }
        }
    }
    for (var j = 0u; j < TM4; j++) { //!unroll
        for (var q = 0u; q < P; q++) { //!unroll
            if k4 + j < p.c_in4 { store_v_out(to_v + j * B + q * WG, acc[j][q]); }
        }
    }
}

// dx, the transpose of transform_input: tile (i, j) adds B·v·Bᵀ to its A×A pixels, from row M·i − top and
// column M·j − left on. Neighbouring tiles overlap by two pixels. So dx is cut into squares of M×M pixels,
// which are rows and columns 1 to M of a tile. A square gets from its own tile rows 1 to M of B·v, from the
// tile above the last row, which is the last row of v, and from the tile below the first, the first of v;
// the same across. So it is E·values·Eᵀ of the tile's A×A values with one more on each side.
@compute @workgroup_size(64)
fn transform_overlap(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads v; residual if p.residual = 1. Writes dx.
    // Workgroup: 64 pairs (square, 4 input channels): 8 neighbouring squares for 4 channels, then the next 4.
    let i = id.y * groups.x * 64u + id.x;
    let c = i / 8u % p.c_in4;
    let cell = i / (8u * p.c_in4) * 8u + i % 8u;
    if cell >= p.cells { return; }
    let n = cell / (p.cells_h * p.cells_w);
    let row = i32(cell / p.cells_w % p.cells_h) + i32(p.first_h);
    let column = i32(cell % p.cells_w) + i32(p.first_w);
    var t: array<array<vec4f, A + 2>, M>;
    for (var b = 0u; b < A + 2u; b++) { //!unroll
        var values: array<vec4f, A + 2>;
        for (var a = 0u; a < A + 2u; a++) { //!unroll
            values[a] = overlapping(n, row, column, a, b, c);
        }
        let sums = transform_overlap_1d(values);
        for (var a = 0u; a < M; a++) { //!unroll
            t[a][b] = sums[a];
        }
    }
    let ih = row * i32(M) - i32(p.top) + 1;
    let iw = column * i32(M) - i32(p.left) + 1;
    for (var a = 0u; a < M; a++) { //!unroll
        let sums = transform_overlap_1d(t[a]);
        for (var b = 0u; b < M; b++) { //!unroll
            let h = ih + i32(a);
            let at = iw + i32(b);
            if h >= 0 && h < i32(p.h_in) && at >= 0 && at < i32(p.w_in) {
                let pixel = ((n * p.h_in + u32(h)) * p.w_in + u32(at)) * p.c_in4 + c;
                var value = sums[b];
                if p.residual == 1u { value += load_residual(pixel); }
                store_dx(pixel, value);
            }
        }
    }
}

// Value (a, b) of tile (row, column) of image n with one value more on each side, each from 0 to A + 1: 1 to
// A are the tile's, 0 the last of the tile before it, A + 1 the first of the tile after it. Where there is
// no tile, 0.
fn overlapping(n: u32, row: i32, column: i32, a: u32, b: u32, c: u32) -> vec4f {
    let h = row + select(select(0, 1, a > A), -1, a == 0u);
    let at = column + select(select(0, 1, b > A), -1, b == 0u);
    let z = (a + A - 1u) % A * A + (b + A - 1u) % A;
    let inside = (h >= 0) & (h < i32(p.tiles_h)) & (at >= 0) & (at < i32(p.tiles_w));
    let tile = select(0u, (n * p.tiles_h + u32(h)) * p.tiles_w + u32(at), inside);
    return select(vec4f(), load_v(in_tiles(z, tile / B, c, p.c_in4) + tile % B), inside);
}

// u[z,k,n] = Σ_t v[z,k,t]·s[z,n,t], 4 tiles at a time. A split adds up runs of tiles, and the runs to the
// total: a short sum rounds less than a long one. `partials.sum` adds up the splits.
@compute @workgroup_size(WG)
fn multiply_weight(@builtin(workgroup_id) group: vec3u, thread: Thread) {
    // Reads v and s. Writes u_out, one for each split.
    // Workgroup: x: WG·Q times 4 input channels, a lane's Q are WG apart; y: block of TM output channels;
    // z % A²: place in the tile; z / A²: split of the tiles.
    let lane = lane_of(thread);
    let first = group.x * Q * WG + thread.local;
    let c = group.y * TM4;
    let place = group.z % (A * A);
    let begin = group.z / (A * A) * p.blocks_per_split * (B / 4u);
    let end = min(begin + p.blocks_per_split * (B / 4u), p.blocks * (B / 4u));
    let run = p.blocks_per_run * (B / 4u);
    var total: array<array<array<vec4f, 4>, Q>, TM4>;
    for (var start = begin; start < end; start += run) {
        var acc = array<array<array<vec4f, 4>, Q>, TM4>();
        for (var t4 = start; t4 < min(start + run, end); t4++) {
            let block = t4 * 4u / B;
            let tile = t4 * 4u % B;
            var part: array<vec4f, LOADS>;
            for (var r = 0u; r < LOADS; r++) { //!unroll
                let e = min(lane + r * S, TM - 1u);
                let n4 = min(c + e / 4u, p.c_out4 - 1u);
                part[r] = load_s(in_tiles(place, block, n4, p.c_out4) + tile + e % 4u);
            }
            for (var q = 0u; q < Q; q++) { //!unroll
                let base = in_tiles(place, block, min(first + q * WG, p.c_in4 - 1u), p.c_in4) + tile;
                let v0 = load_v(base);
                let v1 = load_v(base + 1u);
                let v2 = load_v(base + 2u);
                let v3 = load_v(base + 3u);
                // v0 to v3 and s0 to s3: 4 tiles. A component of v is an input channel.
                for (var j = 0u; j < TM4; j++) { //!unroll
                    let s0 = share(part[4u * j / S], 4u * j % S);
                    let s1 = share(part[(4u * j + 1u) / S], (4u * j + 1u) % S);
                    let s2 = share(part[(4u * j + 2u) / S], (4u * j + 2u) % S);
                    let s3 = share(part[(4u * j + 3u) / S], (4u * j + 3u) % S);
                    acc[j][q][0] = fma(s3, vec4f(v3.x), fma(s2, vec4f(v2.x), fma(s1, vec4f(v1.x), fma(s0, vec4f(v0.x), acc[j][q][0]))));
                    acc[j][q][1] = fma(s3, vec4f(v3.y), fma(s2, vec4f(v2.y), fma(s1, vec4f(v1.y), fma(s0, vec4f(v0.y), acc[j][q][1]))));
                    acc[j][q][2] = fma(s3, vec4f(v3.z), fma(s2, vec4f(v2.z), fma(s1, vec4f(v1.z), fma(s0, vec4f(v0.z), acc[j][q][2]))));
                    acc[j][q][3] = fma(s3, vec4f(v3.w), fma(s2, vec4f(v2.w), fma(s1, vec4f(v1.w), fma(s0, vec4f(v0.w), acc[j][q][3]))));
                }
            }
        }
        for (var q = 0u; q < Q; q++) { //!unroll
            for (var j = 0u; j < TM4; j++) { //!unroll
                for (var i = 0u; i < 4u; i++) { //!unroll
                    total[j][q][i] += acc[j][q][i];
                }
            }
        }
    }
    for (var q = 0u; q < Q; q++) { //!unroll
        let k4 = first + q * WG;
        for (var j = 0u; j < TM4; j++) { //!unroll
            for (var i = 0u; i < 4u; i++) { //!unroll
                let at = in_u(group.z, 4u * k4 + i, c + j);
                if k4 < p.c_in4 && c + j < p.c_out4 { store_u_out(at, total[j][q][i]); }
            }
        }
    }
}

// dw = Gᵀ·u·G, the transpose of transform_filter.
@compute @workgroup_size(64)
fn transform_weight(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    // Reads u. Writes dw.
    // Workgroup: 64 pairs (input channel, 4 output channels), in the order of u.
    let i = id.y * groups.x * 64u + id.x;
    let depth = 4u * p.c_in4;
    let k = i / TM4 % depth;
    let c = i / (TM4 * depth) * TM4 + i % TM4;
    if c >= p.c_out4 { return; }
    var t: array<array<vec4f, A>, 3>;
    for (var b = 0u; b < A; b++) { //!unroll
        var column: array<vec4f, A>;
        for (var a = 0u; a < A; a++) { //!unroll
            column[a] = load_u(in_u(a * A + b, k, c));
        }
        let taps = transform_weight_1d(column);
        for (var kh = 0u; kh < 3u; kh++) { //!unroll
            t[kh][b] = taps[kh];
        }
    }
    for (var kh = 0u; kh < 3u; kh++) { //!unroll
        let row = transform_weight_1d(t[kh]);
        for (var kw = 0u; kw < 3u; kw++) { //!unroll
            store_dw(((kh * 3u + kw) * depth + k) * p.c_out4 + c, row[kw]);
        }
    }
}
