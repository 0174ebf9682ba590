// share, for a "subgroup" of one lane (S = 1): every lane loaded the whole block itself.
struct Thread { @builtin(local_invocation_index) local: u32 }
fn lane_of(thread: Thread) -> u32 {
    return 0u;
}
fn share(value: vec4f, source: u32) -> vec4f {
    return value;
}
