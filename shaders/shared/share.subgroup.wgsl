// share: `value` as the lane `source` of this subgroup holds it. All lanes must be active.
fn share(value: vec4f, source: u32) -> vec4f {
    return subgroupShuffle(value, source);
}
