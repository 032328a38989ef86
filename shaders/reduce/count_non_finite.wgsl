// Counts infinities and NaNs, or adds up such counts.
//   y[first + r] = number of non-finite x[r, c]      SUM by override 1: sum of the words x[r, c] instead
// x: [len] words, seen as rows of cols of which the last may be short   y: first + rows words or more
// The test is on bits: compilers may assume that floats are finite. One invocation per row; grid folded.
//#include "shared/index.wgsl"

struct CountNonFiniteParams {
    rows: u32,
    cols: u32,
    len: u32,
    first: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: CountNonFiniteParams;

override SUM: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_invocation(group, groups, local, 64u);
    if row >= params.rows {
        return;
    }
    let start = row * params.cols;
    let end = start + min(params.cols, params.len - start);
    var total = 0u;
    for (var i = start; i < end; i++) {
        if SUM != 0u {
            total += x[i];
        } else {
            total += select(0u, 1u, (x[i] & 0x7f800000u) == 0x7f800000u);
        }
    }
    y[params.first + row] = total;
}
