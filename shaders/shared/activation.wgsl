// activation: 0 none, 1 relu = max(x, 0), 2 relu6 = min(max(x, 0), 6), 3 silu = x·σ(x).
// max(NaN, 0) is 0 on many adapters, and a run that diverges would look healthy. So values are
// compared by their bits, as signed integers: at 0 and above lie positive numbers in their order,
// above infinity NaNs; at 0xff800000 and below lies every negative number, above it negative NaNs.
fn activate(kind: u32, x: vec4f) -> vec4f {
    if kind == 0u { return x; }
    if kind == 3u { return x * sigmoid(x); }
    let bits = bitcast<vec4i>(x);
    let positive = select(vec4f(), x, bits > vec4i(NEGATIVE_INFINITY));
    if kind == 1u { return positive; }
    return select(positive, vec4f(6.0), (bits > vec4i(SIX)) & (bits <= vec4i(INFINITY)));
}
const SIX = 0x40c00000;
const INFINITY = 0x7f800000;
const NEGATIVE_INFINITY = -0x800000;   // 0xff800000 as a signed integer

// σ(x) = 1/(1 + exp(−x)). The exponent is at most 0: of a divisor above 2¹²⁶ WGSL promises no quotient.
fn sigmoid(x: vec4f) -> vec4f {
    let e = exp(-abs(x));
    return select(e, vec4f(1.0), x >= vec4f()) / (1.0 + e);
}

// Where the slope of relu or relu6 is one; `at` is its input or its output, which agree on this.
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
