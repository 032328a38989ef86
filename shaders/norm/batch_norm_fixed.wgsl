// Normalisation of columns by statistics that are given: what a batch norm does outside of training.
//   y[r, c] = (x[r, c] - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c]
// x, y: [rows, cols]   mean, variance: [cols]   weight, bias: [cols], absent by override
// One invocation per element; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct BatchNormParams {
    rows: u32,
    cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> variance: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<uniform> params: BatchNormParams;

override HAS_WEIGHT: u32 = 0u;
override HAS_BIAS: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i >= params.rows * params.cols {
        return;
    }
    let c = i % params.cols;
    var v = (x[i] - mean[c]) * (1.0 / sqrt(variance[c] + params.eps));
    if HAS_WEIGHT != 0u {
        v *= weight[c];
    }
    if HAS_BIAS != 0u {
        v += bias[c];
    }
    y[i] = v;
}
