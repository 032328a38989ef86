// Gated linear unit without its matrices: SwiGLU with SiLU (Llama, Qwen), GeGLU with tanh-GELU (Gemma).
//   y[i] = act(gate[i]) * up[i]        act by override: codes of shared/activation.wgsl
// gate, up, y: [len]
// One invocation per element; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"
//#include "shared/activation.wgsl"

struct LenParams {
    len: u32,
}

@group(0) @binding(0) var<storage, read> gate: array<f32>;
@group(0) @binding(1) var<storage, read> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
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
        y[i] = activate1(gate[i], ACT) * up[i];
    }
}
