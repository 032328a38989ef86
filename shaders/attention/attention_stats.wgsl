// What the gradient of attention needs to know of each query, side by side to spare a binding.
//   stats[b, h, i] = (lse / ln 2, sum_c dout[b, i, h, c] o[b, i, h, c])
// dout, o: [batch, nq, heads, D]   lse: [batch, heads, nq]   stats: [batch, heads, nq, 2]
// One invocation per query and head; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct AttentionStatsParams {
    batch: u32,
    heads: u32,
    nq: u32,
    head_dim: u32,
}

@group(0) @binding(0) var<storage, read> dout: array<f32>;
@group(0) @binding(1) var<storage, read> o: array<f32>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> stats: array<f32>;
@group(0) @binding(4) var<uniform> params: AttentionStatsParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_invocation(group, groups, local, 64u);
    if row >= params.batch * params.heads * params.nq {
        return;
    }
    let i = row % params.nq;
    let h = row / params.nq % params.heads;
    let b = row / params.nq / params.heads;
    let at = ((b * params.nq + i) * params.heads + h) * params.head_dim;
    var sum = 0.0;
    for (var c = 0u; c < params.head_dim; c++) {
        sum = fma(dout[at + c], o[at + c], sum);
    }
    stats[2u * row] = lse[row] * 1.442695;
    stats[2u * row + 1u] = sum;
}
