// One step of AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization"), in place, in PyTorch's order.
//   g = grad[i] * factor[0]
//   m = beta1 m + (1 - beta1) g       v = beta2 v + (1 - beta2) g^2
//   param = param (1 - lr decay) - (lr / (1 - beta1^t)) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
// grad, param, m, v: [len]   factor: at least one element, read with HAS_FACTOR: gradient clipping without a read-back
// The host computes what depends on the step alone, in f64.
// One invocation per element; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct AdamwParams {
    len: u32,
    keep: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    eps: f32,
    step_size: f32,
    root_correction: f32,
}

@group(0) @binding(0) var<storage, read> grad: array<f32>;
@group(0) @binding(1) var<storage, read> factor: array<f32>;
@group(0) @binding(2) var<storage, read_write> param: array<f32>;
@group(0) @binding(3) var<storage, read_write> m: array<f32>;
@group(0) @binding(4) var<storage, read_write> v: array<f32>;
@group(0) @binding(5) var<uniform> params: AdamwParams;

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
    var g = grad[i];
    if HAS_FACTOR != 0u {
        g *= factor[0];
    }
    let first = params.beta1 * m[i] + params.one_minus_beta1 * g;
    let second = params.beta2 * v[i] + params.one_minus_beta2 * g * g;
    m[i] = first;
    v[i] = second;
    // root_correction is sqrt(1 - beta2^t).
    let denominator = sqrt(second) / params.root_correction + params.eps;
    param[i] = param[i] * params.keep - params.step_size * first / denominator;
}
