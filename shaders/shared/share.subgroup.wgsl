// share: `value` as the lane `source` of this subgroup holds it. All lanes must be active. Which thread
// of a workgroup is which lane is up to the driver: the lane is asked for, not computed.
struct Thread {
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) lane: u32,
}
fn lane_of(thread: Thread) -> u32 {
    return thread.lane;
}
fn share(value: vec4f, source: u32) -> vec4f {
    return subgroupShuffle(value, source);
}
