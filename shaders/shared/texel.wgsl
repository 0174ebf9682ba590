// texel: where element i of an array lies in a texture of 1,024 texels a row.
fn texel(i: u32) -> vec2u {
    return vec2u(i & 1023u, i >> 10u);
}
