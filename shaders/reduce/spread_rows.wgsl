// Repeats one number along each row: the gradient of a sum over rows.
//   y[r, c] = factor * x[r]
// x: [rows]   y: [len = rows * cols]
// One invocation per element of y; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct SpreadRowsParams {
    len: u32,
    cols: u32,
    factor: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: SpreadRowsParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i < params.len {
        y[i] = params.factor * x[i / params.cols];
    }
}
