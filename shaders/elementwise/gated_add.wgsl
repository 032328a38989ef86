// A gated residual (adaptive layer norm: DiT, LeWM), part p of a row of m being its p-th stretch of cols:
//   y[r, c] = x[r, c] + m[r, gate + c] * h[r, c]
// x, h, y: [rows, cols]   m: [rows, parts * cols]   len = rows * cols; gate is where its part begins
// One invocation per element of y; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct GatedAddParams {
    len: u32,
    cols: u32,
    parts: u32,
    gate: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> h: array<f32>;
@group(0) @binding(2) var<storage, read> m: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: GatedAddParams;

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
    let at = i / params.cols * params.parts * params.cols + i % params.cols;
    y[i] = x[i] + m[at + params.gate] * h[i];
}
