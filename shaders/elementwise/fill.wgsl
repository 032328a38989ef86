// Sets every element.
//   y[i] = value
// y: [len], words of any 4-byte type, value by its bits
// One invocation per element; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct FillParams {
    len: u32,
    bits: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@group(0) @binding(1) var<uniform> params: FillParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i < params.len {
        y[i] = params.bits;
    }
}
