// Modulation of rows by another tensor (adaptive layer norm: DiT, LeWM), part p of a row of m being its p-th stretch of cols:
//   y[r, c] = x[r, c] * (1 + m[r, scale + c]) + m[r, shift + c]
// x, y: [rows, cols]   m: [rows, parts * cols]   len = rows * cols; shift and scale are where their parts begin
// One invocation per element of y; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct ModulateParams {
    len: u32,
    cols: u32,
    parts: u32,
    shift: u32,
    scale: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> m: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: ModulateParams;

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
    y[i] = x[i] * (1.0 + m[at + params.scale]) + m[at + params.shift];
}
