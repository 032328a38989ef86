// Polynomial of each element: y[i] = c0 + x[i] * (c1 + x[i] * c2).
// x, y: [len]
// One invocation per element; grid folded (shared/index.wgsl). Fused multiply-adds in f32.
//#include "shared/index.wgsl"

struct PolynomialParams {
    len: u32,
    c0: f32,
    c1: f32,
    c2: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: PolynomialParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i < params.len {
        y[i] = fma(x[i], fma(x[i], params.c2, params.c1), params.c0);
    }
}
