// Overwrites a tensor with a combination of itself and another: accumulation, scaling, moving averages.
//   y[i] = alpha * f * y[i] + beta * x[i]        f = factor[0] with HAS_FACTOR, else 1; no x without HAS_X
// x, y: [len]
// One invocation per element; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct AssignParams {
    len: u32,
    alpha: f32,
    beta: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> factor: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: AssignParams;

override HAS_X: u32 = 0u;
override HAS_FACTOR: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i >= params.len {
        return;
    }
    var value = params.alpha * y[i];
    if HAS_FACTOR != 0u {
        value *= factor[0];
    }
    if HAS_X != 0u {
        value += params.beta * x[i];
    }
    y[i] = value;
}
