// Partial sums of squares of one tensor: partial p takes elements p, p + partials, p + 2 partials, …
//   y[offset + p] = sum over k of x[p + k * partials]^2
// x: [len]   y: a row of `partials` for each of many tensors
// One invocation per partial, neighbours reading neighbours; grid folded (shared/index.wgsl). Sums in f32.
//#include "shared/index.wgsl"

struct SquareSumsParams {
    len: u32,
    partials: u32,
    offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: SquareSumsParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = linear_invocation(group, groups, local, 64u);
    if p >= params.partials {
        return;
    }
    var sum = 0.0;
    for (var i = p; i < params.len; i += params.partials) {
        let v = x[i];
        sum = fma(v, v, sum);
    }
    y[params.offset + p] = sum;
}
