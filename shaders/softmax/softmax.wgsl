// Softmax of rows.
//   y[r, c] = exp(x[r, c] - max_c x[r, c]) / sum_c exp(x[r, c] - max_c x[r, c])
// x, y: [rows, cols]
// LANES invocations share a row (shared/rows.wgsl); grid folded.
//#include "shared/exp.wgsl"
//#include "shared/rows.wgsl"

struct SoftmaxParams {
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: SoftmaxParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = own_row(group, groups, local, params.rows);
    let row = place.index;
    let lane = place.lane;
    let cols = params.cols;
    let start = row * cols;

    var top = REDUCE_LOWEST;
    for (var c = lane; c < cols; c += LANES) {
        top = max(top, x[start + c]);
    }
    top = reduce_max(top, local);
    var sum = 0.0;
    for (var c = lane; c < cols; c += LANES) {
        sum += exp_or_nan(x[start + c] - top);
    }
    sum = reduce_sum(sum, local);
    if !place.inside {
        return;
    }
    for (var c = lane; c < cols; c += LANES) {
        y[start + c] = exp_or_nan(x[start + c] - top) / sum;
    }
}
