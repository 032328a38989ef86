// Arithmetic of two tensors, the second repeated along the leading axes.
//   y[i] = alpha * a[i]  OP  beta * b[i % b_len]        OP by override: 0 add, 1 multiply, 2 divide, 3 maximum, 4 minimum
// a, y: [len]   b: [b_len], b_len divides len
// One invocation per element; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct BinaryParams {
    len: u32,
    b_len: u32,
    alpha: f32,
    beta: f32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: BinaryParams;

override OP: u32 = 0u;
// 1 where b is as long as a, which saves the remainder.
override SAME_LEN: u32 = 0u;

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
    var j = i;
    if SAME_LEN == 0u {
        j = i % params.b_len;
    }
    let x = params.alpha * a[i];
    let z = params.beta * b[j];
    var v = x + z;
    if OP == 1u {
        v = x * z;
    }
    if OP == 2u {
        v = x / z;
    }
    if OP == 3u {
        v = max(x, z);
    }
    if OP == 4u {
        v = min(x, z);
    }
    y[i] = v;
}
