// By their bits: compilers may assume that no value is NaN.
fn is_finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
}

fn are_finite(value: vec4f) -> vec4<bool> {
    return (bitcast<vec4u>(value) & vec4u(0x7f800000u)) != vec4u(0x7f800000u);
}

fn is_nan(value: vec4f) -> vec4<bool> {
    return (bitcast<vec4u>(value) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
}

// Infinity as NaN: 1/∞ would be a number again.
fn infinite_to_nan(value: vec4f) -> vec4f {
    let bits = bitcast<vec4u>(value);
    return bitcast<vec4f>(select(bits | vec4u(0x00400000u), bits, are_finite(value)));
}
