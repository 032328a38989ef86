// Gradient of masked_mean.wgsl.
//   dx[z, n, c] = grad[z, c] * factor[z] where mask[z, n] != 0, else 0
// grad: [batch, cols]   mask: [batch, tokens], absent by override   factor: [batch]   dx: [batch, tokens, cols]
// One invocation per element of dx; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct MaskedMeanParams {
    batch: u32,
    tokens: u32,
    cols: u32,
}

@group(0) @binding(0) var<storage, read> grad: array<f32>;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read> factor: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<uniform> params: MaskedMeanParams;

override HAS_MASK: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i >= params.batch * params.tokens * params.cols {
        return;
    }
    let token = i / params.cols;
    let z = token / params.tokens;
    var v = grad[z * params.cols + i % params.cols] * factor[z];
    if HAS_MASK != 0u {
        v = select(0.0, v, mask[token] != 0u);
    }
    dx[i] = v;
}
