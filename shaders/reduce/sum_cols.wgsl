// Sums of rows.
//   y[r] = sum_c x[r, c]
// x: [rows, cols]   y: [rows]
// LANES invocations share a row (shared/reduce.wgsl); grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"
//#include "shared/reduce.wgsl"

struct SumColsParams {
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: SumColsParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = linear_invocation(group, groups, local, REDUCE_GROUP);
    // Surplus invocations redo the last row and store nothing, so that all meet at the barriers.
    let row = min(item / LANES, params.rows - 1u);
    var sum = 0.0;
    for (var c = item % LANES; c < params.cols; c += LANES) {
        sum += x[row * params.cols + c];
    }
    sum = reduce_sum(sum, local);
    if item / LANES < params.rows && item % LANES == 0u {
        y[row] = sum;
    }
}
