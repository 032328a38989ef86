// Gradient of an activation function.
//   dx[i] = dy[i] * act'(x[i])        act by override: codes of shared/activation.wgsl
// x, dy, dx: [len]
// One invocation per element; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"
//#include "shared/activation.wgsl"

struct LenParams {
    len: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> params: LenParams;

override ACT: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i < params.len {
        dx[i] = dy[i] * activate1_grad(x[i], ACT);
    }
}
