// Gradients of a gated linear unit.
//   dgate[i] = dy[i] * up[i] * act'(gate[i])
//   dup[i]   = dy[i] * act(gate[i])        act by override: codes of shared/activation.wgsl
// all: [len]
// One invocation per element; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"
//#include "shared/activation.wgsl"

struct LenParams {
    len: u32,
}

@group(0) @binding(0) var<storage, read> gate: array<f32>;
@group(0) @binding(1) var<storage, read> up: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dgate: array<f32>;
@group(0) @binding(4) var<storage, read_write> dup: array<f32>;
@group(0) @binding(5) var<uniform> params: LenParams;

override ACT: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i < params.len {
        let x = gate[i];
        let g = dy[i];
        dgate[i] = g * up[i] * activate1_grad(x, ACT);
        dup[i] = g * activate1(x, ACT);
    }
}
