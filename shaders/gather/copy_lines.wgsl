// Copies a stretch of every line of one tensor into a stretch of every line of another: slices and concatenations.
//   y[line * y_pitch + y_offset + j] = x[line * x_pitch + x_offset + j]        j < width
// x, y: words of any 4-byte type, [lines, pitch] each
// An invocation copies `chunk` neighbours: 1 on GPUs, more on software adapters, where divisions are dear.
// Grid: chunks, folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct CopyLinesParams {
    lines: u32,
    width: u32,
    x_pitch: u32,
    x_offset: u32,
    y_pitch: u32,
    y_offset: u32,
    chunk: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: CopyLinesParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    let per_line = (params.width + params.chunk - 1u) / params.chunk;
    let line = i / per_line;
    if line >= params.lines {
        return;
    }
    let first = (i % per_line) * params.chunk;
    let end = min(first + params.chunk, params.width);
    let source = line * params.x_pitch + params.x_offset;
    let goal = line * params.y_pitch + params.y_offset;
    for (var j = first; j < end; j++) {
        y[goal + j] = x[source + j];
    }
}
