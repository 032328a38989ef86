// Signed bytes with a scale for each row as f32.
//   y[i, c] = scale[i] * x[i, c]
// x: [rows, cols] bytes, four to a word, the first in the low bits; behind them, from the next word on, scale: [rows], f32
// An invocation converts `chunk` neighbours of a row: few on GPUs, more on software adapters, where divisions are dear.
// Grid: chunks, folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct DequantizeParams {
    rows: u32,
    cols: u32,
    chunk: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: DequantizeParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    let per_row = (params.cols + params.chunk - 1u) / params.chunk;
    let row = i / per_row;
    if row >= params.rows {
        return;
    }
    let scale = bitcast<f32>(x[(params.rows * params.cols + 3u) / 4u + row]);
    let first = row * params.cols + (i % per_row) * params.chunk;
    let end = min(first + params.chunk, (row + 1u) * params.cols);
    for (var at = first; at < end; at++) {
        y[at] = scale * f32(extractBits(bitcast<i32>(x[at / 4u]), 8u * (at % 4u), 8u));
    }
}
