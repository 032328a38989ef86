// Sums over the rows of a matrix, one stretch of rows per output row.
//   y[s, c] = sum_{r in stretch s} x[r, c]
// x: [rows, cols]   y: [stretches, cols], stretch s covers rows s * stretch .. (s + 1) * stretch
// One invocation per element of y, so that neighbours read neighbours; the host repeats it until one row is left.
// Grid: elements of y, folded (shared/index.wgsl). Sums in f32, in the order of rows.
//#include "shared/index.wgsl"

struct SumRowsParams {
    rows: u32,
    cols: u32,
    stretch: u32,
    stretches: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: SumRowsParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i >= params.stretches * params.cols {
        return;
    }
    let first = i / params.cols * params.stretch;
    let end = min(first + params.stretch, params.rows);
    var sum = 0.0;
    for (var r = first; r < end; r++) {
        sum += x[r * params.cols + i % params.cols];
    }
    y[i] = sum;
}
