// activation: 0 none, 1 relu = max(x, 0), 2 relu6 = min(max(x, 0), 6).
fn activate(kind: u32, x: vec4f) -> vec4f {
    if kind == 1u { return max(x, vec4f()); }
    if kind == 2u { return clamp(x, vec4f(), vec4f(6.0)); }
    return x;
}

// Where the activation's slope is one; `at` is its input or its output, which agree on this.
fn slope_is_one(kind: u32, at: vec4f) -> vec4<bool> {
    if kind == 1u { return at > vec4f(); }
    if kind == 2u { return (at > vec4f()) & (at < vec4f(6.0)); }
    return vec4<bool>(true);
}

// Four bits of a mask word, for row r of its eight.
fn pack_bits(open: vec4<bool>, r: u32) -> u32 {
    return dot(select(vec4u(), vec4u(1u, 2u, 4u, 8u), open), vec4u(1u)) << (4u * r);
}

fn unpack_bits(word: u32, r: u32) -> vec4<bool> {
    return ((vec4u(word >> (4u * r)) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u)) == vec4u(1u);
}
