// share, for a "subgroup" of one lane (S = 1): every lane loaded the whole block itself.
fn share(value: vec4f, source: u32) -> vec4f {
    return value;
}
