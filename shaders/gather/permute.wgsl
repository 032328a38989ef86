// Reorders the axes of a tensor of up to four axes.
//   y[i0, i1, i2, i3] = x[i0 * s0 + i1 * s1 + i2 * s2 + i3 * s3]
// x, y: words of any 4-byte type; y: [lines / (d1 * d2), d1, d2, d3]
// An invocation copies `chunk` neighbours of y: 1 on GPUs, more on software adapters, where divisions are dear.
// Grid: chunks, folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct PermuteParams {
    lines: u32,
    d1: u32,
    d2: u32,
    d3: u32,
    s0: u32,
    s1: u32,
    s2: u32,
    s3: u32,
    chunk: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: PermuteParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    let per_line = (params.d3 + params.chunk - 1u) / params.chunk;
    let line = i / per_line;
    if line >= params.lines {
        return;
    }
    let first = (i % per_line) * params.chunk;
    let end = min(first + params.chunk, params.d3);
    let i2 = line % params.d2;
    let i1 = line / params.d2 % params.d1;
    let i0 = line / params.d2 / params.d1;
    let source = i0 * params.s0 + i1 * params.s1 + i2 * params.s2;
    for (var j = first; j < end; j++) {
        y[line * params.d3 + j] = x[source + j * params.s3];
    }
}
