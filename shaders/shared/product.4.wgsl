// A fragment of 4 × 4 that a single thread holds (S = 1). Slower than registers used freely, but it
// runs on every adapter: it is how the tests check what the fragments of hardware have in common.
//!use shared/fragments.wgsl
alias Operand = f32;
alias FragmentB = mat4x4f;
alias FragmentC = mat4x4f;

// At index `at` of slice_a starts the fragment's first k; its column k of A lies along a row.
fn load_a(at: u32) -> mat4x4f {
    var a: mat4x4f;
    for (var k = 0u; k < 4u; k++) { //!unroll
        a[k] = vec4f(slice_a[at + k * ROW_A], slice_a[at + k * ROW_A + 1u], slice_a[at + k * ROW_A + 2u], slice_a[at + k * ROW_A + 3u]);
    }
    return a;
}
fn load_b(at: u32) -> mat4x4f {
    var b: mat4x4f;
    for (var n = 0u; n < 4u; n++) { //!unroll
        b[n] = vec4f(slice_b[at + n], slice_b[at + ROW_B + n], slice_b[at + 2u * ROW_B + n], slice_b[at + 3u * ROW_B + n]);
    }
    return b;
}
fn multiply_add(a: mat4x4f, b: mat4x4f, c: mat4x4f) -> mat4x4f { return c + a * b; }

fn store_c(c: mat4x4f, at: u32) {
    for (var m = 0u; m < 4u; m++) { //!unroll
        for (var n = 0u; n < 4u; n++) { //!unroll
            strips[at + m * RN + n] = c[n][m];
        }
    }
}
