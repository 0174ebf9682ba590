// words: a vec4f as two words of 64 bits, for drivers that store a word at a time.
fn words(v: vec4f) -> vec2<u64> {
    let bits = bitcast<vec4u>(v);
    return vec2<u64>(u64(bits.x) | (u64(bits.y) << 32u), u64(bits.z) | (u64(bits.w) << 32u));
}
