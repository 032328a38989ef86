// Chains the places that hold the same id, so that a sum over them has a fixed order and needs no atomics.
//   y[i, 0] = 1 where no earlier place holds ids[i], else 0
//   y[i, 1] = the next place that holds ids[i], or `len`
// ids: [len]   y: [len, 2]
// One invocation per place, which looks at every other: len^2 loads, small beside the rows that are then summed.
// Grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct LenParams {
    len: u32,
}

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: LenParams;

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
    let id = ids[i];
    var before = 0u;
    while before < i && ids[before] != id {
        before++;
    }
    var next = i + 1u;
    while next < params.len && ids[next] != id {
        next++;
    }
    y[2u * i] = select(0u, 1u, before == i);
    y[2u * i + 1u] = next;
}
