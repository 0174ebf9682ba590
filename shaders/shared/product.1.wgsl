// product, in registers: a worker is a thread (S = 1). Of each k it reads RM and RN values from
// workgroup memory and multiplies each with each. Its rows lie TY vec4s apart and its columns TX, so
// that threads side by side read vec4s side by side.
const ROW_A = BM4 + 1;   // vec4s of a k; one more than needed, so that rows start in different banks
const ROW_B = BN4 + 1;
const SLICE_A = BK * ROW_A;
const SLICE_B = BK * ROW_B;
const SIZE_A = BUFFERS * SLICE_A;
const SIZE_B = BUFFERS * SLICE_B;
var<workgroup> slice_a: array<vec4f, SIZE_A>;   // (BUFFERS, BK, BM/4 + 1)
var<workgroup> slice_b: array<vec4f, SIZE_B>;   // (BUFFERS, BK, BN/4 + 1)
var<private> sums: array<vec4f, SUMS>;          // (RM, RN/4)

// Puts four values of A, rows 4·m4 and on, or of B, columns 4·n4 and on, into buffer `half`.
fn put_a(half: u32, k: u32, m4: u32, value: vec4f) { slice_a[half * SLICE_A + k * ROW_A + m4] = value; }
fn put_b(half: u32, k: u32, n4: u32, value: vec4f) { slice_b[half * SLICE_B + k * ROW_B + n4] = value; }

// sums += the product of the slices in buffer `half`.
fn multiply(half: u32, local: u32) {
    for (var k = 0u; k < BK; k++) {
        let row_a = half * SLICE_A + k * ROW_A + local / TX;
        let row_b = half * SLICE_B + k * ROW_B + local % TX;
        var b: array<vec4f, RN4>;
        for (var j = 0u; j < RN4; j++) { //!unroll
            b[j] = slice_b[row_b + j * TX];
        }
        for (var i = 0u; i < RM4; i++) { //!unroll
            let a = slice_a[row_a + i * TY];
            for (var j = 0u; j < RN4; j++) { //!unroll
                sums[4u * i * RN4 + j] = fma(vec4f(a.x), b[j], sums[4u * i * RN4 + j]);
                sums[(4u * i + 1u) * RN4 + j] = fma(vec4f(a.y), b[j], sums[(4u * i + 1u) * RN4 + j]);
                sums[(4u * i + 2u) * RN4 + j] = fma(vec4f(a.z), b[j], sums[(4u * i + 2u) * RN4 + j]);
                sums[(4u * i + 3u) * RN4 + j] = fma(vec4f(a.w), b[j], sums[(4u * i + 3u) * RN4 + j]);
            }
        }
    }
}

// Fills `sums`, where they are already.
fn collect(local: u32) {}

// The row, and the vec4 of columns, of sums[i] within the workgroup's part of C.
fn sum_at(i: u32, local: u32) -> vec2u {
    return vec2u((local / TX + i / RN4 / 4u * TY) * 4u + i / RN4 % 4u, local % TX + i % RN4 * TX);
}
