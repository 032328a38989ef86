// Gradient of softmax.wgsl from its result.
//   dx[r, c] = y[r, c] * (grad[r, c] - sum_j grad[r, j] * y[r, j])
// grad, y, dx: [rows, cols]
// LANES invocations share a row (shared/rows.wgsl); grid folded.
//#include "shared/rows.wgsl"

struct SoftmaxParams {
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<storage, read> grad: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> params: SoftmaxParams;

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

    var along = 0.0;
    for (var c = lane; c < cols; c += LANES) {
        along = fma(grad[start + c], y[start + c], along);
    }
    along = reduce_sum(along, local);
    if !place.inside {
        return;
    }
    for (var c = lane; c < cols; c += LANES) {
        dx[start + c] = y[start + c] * (grad[start + c] - along);
    }
}
