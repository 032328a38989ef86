// Which column an invocation works on, where LANES invocations of a workgroup of 256 share a column, and sums over them.
// A workgroup holds WIDTH columns side by side, so that neighbours read neighbours; LANES * WIDTH is 256 at most, LANES
// a power of two. With LANES 1 an invocation owns its column and no barrier is left; otherwise a fixed tree over
// workgroup memory, so that the same inputs give the same bits. Call in uniform control flow.
//#include "shared/index.wgsl"

override LANES: u32 = 1u;
override WIDTH: u32 = 64u;

const COLUMN_GROUP: u32 = 256u;

var<workgroup> column_scratch: array<vec2<f32>, COLUMN_GROUP>;

struct OwnColumn {
    index: u32,
    // Place of the invocation among those that share the column.
    lane: u32,
    // False for surplus invocations: they see no rows, meet the others at the barriers, and must store nothing.
    inside: bool,
}

fn own_column(group: vec3<u32>, groups: vec3<u32>, local: u32, cols: u32) -> OwnColumn {
    let column = linear_group(group, groups) * WIDTH + local % WIDTH;
    return OwnColumn(min(column, cols - 1u), local / WIDTH, column < cols && local / WIDTH < LANES);
}

fn sum_of_column(value: vec2<f32>, local: u32) -> vec2<f32> {
    if LANES == 1u {
        return value;
    }
    column_scratch[local] = value;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
        if local / WIDTH < step {
            column_scratch[local] += column_scratch[local + step * WIDTH];
        }
        workgroupBarrier();
    }
    let total = column_scratch[local % WIDTH];
    // The next sum overwrites what slower invocations may still read.
    workgroupBarrier();
    return total;
}
