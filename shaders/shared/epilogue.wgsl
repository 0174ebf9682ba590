// epilogue: what the plan folded into a convolution: scale and shift of a batch norm or the bias, an addition, an
// activation. `at` is the index in y, c that of the 4 channels. Uses `p`, `affine` and `residual` of the file.
//!use shared/activation.wgsl
fn epilogue(sum: vec4f, at: u32, c: u32) -> vec4f {
    var value = sum;
    if p.affine == 1u { value += load_affine(c); }
    if p.affine == 2u { value = fma(value, load_affine(c), load_affine(p.c_out4 + c)); }
    if p.affine == 3u { value *= load_affine(c); }
    if p.residual == 1u { value += load_residual(at); }
    return activate(p.act, value);
}
