// Gradients of gated_add.wgsl; that for x is grad itself.
//   dh[r, c] = grad[r, c] * m[r, gate + c]
//   dm[r, gate + c] = grad[r, c] * h[r, c]      0 in the other parts
// grad, h, dh: [rows, cols]   m, dm: [rows, parts * cols]   len = rows * cols
// dh is not written without NEED_H, dm not without NEED_M. One invocation per element of h, with its column in all parts of
// dm; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct GatedAddParams {
    len: u32,
    cols: u32,
    parts: u32,
    gate: u32,
}

@group(0) @binding(0) var<storage, read> grad: array<f32>;
@group(0) @binding(1) var<storage, read> h: array<f32>;
@group(0) @binding(2) var<storage, read> m: array<f32>;
@group(0) @binding(3) var<storage, read_write> dh: array<f32>;
@group(0) @binding(4) var<storage, read_write> dm: array<f32>;
@group(0) @binding(5) var<uniform> params: GatedAddParams;

override NEED_H: u32 = 1u;
override NEED_M: u32 = 1u;

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
    let pitch = params.parts * params.cols;
    let at = i / params.cols * pitch + i % params.cols;
    let g = grad[i];
    if NEED_H != 0u {
        dh[i] = g * m[at + params.gate];
    }
    if NEED_M != 0u {
        let product = g * h[i];
        for (var part = 0u; part < pitch; part += params.cols) {
            dm[at + part] = select(0.0, product, part == params.gate);
        }
    }
}
