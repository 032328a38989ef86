// Gradients of modulate.wgsl.
//   dx[r, c] = grad[r, c] * (1 + m[r, scale + c])
//   dm[r, shift + c] = grad[r, c]      dm[r, scale + c] = grad[r, c] * x[r, c]      0 in the other parts
// grad, x, dx: [rows, cols]   m, dm: [rows, parts * cols]   len = rows * cols
// dx is not written without NEED_X, dm not without NEED_M. One invocation per element of x, with its column in all parts of
// dm; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct ModulateParams {
    len: u32,
    cols: u32,
    parts: u32,
    shift: u32,
    scale: u32,
}

@group(0) @binding(0) var<storage, read> grad: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> m: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<storage, read_write> dm: array<f32>;
@group(0) @binding(5) var<uniform> params: ModulateParams;

override NEED_X: u32 = 1u;
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
    if NEED_X != 0u {
        dx[i] = g * (1.0 + m[at + params.scale]);
    }
    if NEED_M != 0u {
        let product = g * x[i];
        for (var part = 0u; part < pitch; part += params.cols) {
            // One part may be both.
            let of_shift = select(0.0, g, part == params.shift);
            dm[at + part] = of_shift + select(0.0, product, part == params.scale);
        }
    }
}
