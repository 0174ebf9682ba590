// product, in fragments: a worker is a subgroup of S threads, which together hold RM × RN of C as
// square matrices of FRAGMENT rows. Hardware multiplies such matrices in few instructions. Which
// thread holds which value of one is its secret, so in the end they go through workgroup memory to
// be dealt out again. A product.….wgsl for each size says what a fragment is.
const FM = RM / FRAGMENT;
const FN = RN / FRAGMENT;
const ROW_A = BM + 8;    // values of a k; the additional ones let rows start in different banks, and
const ROW_B = BN + 8;    // are 16 bytes or more, because hardware wants rows aligned to that
const SLICE_A = BK * ROW_A;
const SLICE_B = BK * ROW_B;
const SIZE_A = BUFFERS * SLICE_A;
const SIZE_B = BUFFERS * SLICE_B;
const STRIP = FRAGMENT * RN;
const SIZE_C = TX * TY * STRIP;
const OWN = STRIP / 4 / S;   // vec4s of a strip that a thread stores
var<workgroup> slice_a: array<Operand, SIZE_A>;   // (BUFFERS, BK, BM + 8)
var<workgroup> slice_b: array<Operand, SIZE_B>;   // (BUFFERS, BK, BN + 8)
var<workgroup> strips: array<f32, SIZE_C>;        // (workers, FRAGMENT, RN)
var<private> fragments: array<array<FragmentC, FN>, FM>;
var<private> sums: array<vec4f, SUMS>;            // (FM, OWN)

// Puts four values of A, rows 4·m4 and on, or of B, columns 4·n4 and on, into buffer `half`.
fn put_a(half: u32, k: u32, m4: u32, value: vec4f) {
    for (var i = 0u; i < 4u; i++) { //!unroll
        slice_a[half * SLICE_A + k * ROW_A + 4u * m4 + i] = Operand(value[i]);
    }
}
fn put_b(half: u32, k: u32, n4: u32, value: vec4f) {
    for (var i = 0u; i < 4u; i++) { //!unroll
        slice_b[half * SLICE_B + k * ROW_B + 4u * n4 + i] = Operand(value[i]);
    }
}

// fragments += the product of the slices in buffer `half`.
fn multiply(half: u32, local: u32) {
    let m = half * SLICE_A + local / S / TX * RM;
    let n = half * SLICE_B + local / S % TX * RN;
    for (var k = 0u; k < BK; k += FRAGMENT) {
        var b: array<FragmentB, FN>;
        for (var j = 0u; j < FN; j++) { //!unroll
            b[j] = load_b(n + k * ROW_B + j * FRAGMENT);
        }
        for (var i = 0u; i < FM; i++) { //!unroll
            let a = load_a(m + k * ROW_A + i * FRAGMENT);
            for (var j = 0u; j < FN; j++) { //!unroll
                fragments[i][j] = multiply_add(a, b[j], fragments[i][j]);
            }
        }
    }
}

// Fills `sums` with this thread's share of the fragments, one strip of them at a time.
fn collect(local: u32) {
    for (var i = 0u; i < FM; i++) { //!unroll
        for (var j = 0u; j < FN; j++) { //!unroll
            store_c(fragments[i][j], local / S * STRIP + j * FRAGMENT);
        }
        workgroupBarrier();
        for (var o = 0u; o < OWN; o++) { //!unroll
            let at = local / S * STRIP + 4u * (local % S + o * S);
            sums[i * OWN + o] = vec4f(strips[at], strips[at + 1u], strips[at + 2u], strips[at + 3u]);
        }
        workgroupBarrier();
    }
}

// The row, and the vec4 of columns, of sums[i] within the workgroup's part of C.
fn sum_at(i: u32, local: u32) -> vec2u {
    let within = local % S + i % OWN * S;
    return vec2u(local / S / TX * RM + i / OWN * FRAGMENT + within / RN4, local / S % TX * RN4 + within % RN4);
}
