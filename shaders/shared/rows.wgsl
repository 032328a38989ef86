// Which row an invocation works on, in kernels where LANES neighbours share one (shared/reduce.wgsl).
//#include "shared/index.wgsl"
//#include "shared/reduce.wgsl"

struct OwnRow {
    index: u32,
    // Place of the invocation among those that share the row.
    lane: u32,
    // False for surplus invocations: they redo the last row, so that all meet at the barriers, and must store nothing.
    inside: bool,
}

fn own_row(group: vec3<u32>, groups: vec3<u32>, local: u32, rows: u32) -> OwnRow {
    let item = linear_invocation(group, groups, local, REDUCE_GROUP);
    return OwnRow(min(item / LANES, rows - 1u), item % LANES, item / LANES < rows);
}
