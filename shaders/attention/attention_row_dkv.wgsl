// Gradients of attention for the keys and values, one invocation per key and key head.
//   dv[b, j, g] = sum_{h, i} d p dout[i, h]      dk[b, j, g] = scale sum_{h, i} p (d dout[i, h] . v[j] - delta[i, h]) q[i, h]
// with h over the query heads of g, p = exp(scale q[i, h] . k[j] - lse[i, h]), recomputed, and d the factors of dropout, drawn
// again, 1 without it (attention/dropout.wgsl).
// q, dout: [batch, nq, heads, D]   k, v, dk, dv: [batch, nk, kv_heads, D]   stats: (lse / ln 2, delta) as attention_stats writes it
// Four queries at a time; dk and dv themselves hold the running sums. A hidden key gets zeros.
// Grid: (b, g, j) with j fastest, folded (shared/index.wgsl). Sums in f32, heads outside, queries inside.
//#include "shared/index.wgsl"
//#include "attention/common.wgsl"
//#include "attention/dropout.wgsl"

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> key_mask: array<u32>;
@group(0) @binding(4) var<storage, read> stats: array<f32>;
@group(0) @binding(5) var<storage, read> dout: array<f32>;
@group(0) @binding(6) var<storage, read_write> dk: array<f32>;
@group(0) @binding(7) var<storage, read_write> dv: array<f32>;
@group(0) @binding(8) var<uniform> params: AttentionParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear_invocation(group, groups, local, 64u);
    if row >= params.batch * params.kv_heads * params.nk {
        return;
    }
    let j = row % params.nk;
    let g = row / params.nk % params.kv_heads;
    let b = row / params.nk / params.kv_heads;
    let kv_at = key_address(b, j, g);
    let q_pitch = params.heads * params.head_dim;
    let per_group = params.heads / params.kv_heads;
    var range = query_range(j);
    if !key_is_real(b, j) {
        range.y = 0u;
    }
    for (var c = 0u; c < params.head_dim; c++) {
        dk[kv_at + c] = 0.0;
        dv[kv_at + c] = 0.0;
    }
    for (var h = g * per_group; h < (g + 1u) * per_group; h++) {
        let stat = (b * params.heads + h) * params.nq;
        for (var i = range.x; i < range.y; i += 4u) {
            let queries = min(vec4<u32>(i) + STEPS, vec4<u32>(params.nq - 1u));
            let visible = within(vec4<u32>(i) + STEPS, range);
            let at = vec4<u32>(query_address(b, 0u, h)) + queries * q_pitch;
            let s = 2u * (vec4<u32>(stat) + queries);
            var scores = vec4<f32>();
            var changes = vec4<f32>();
            for (var c = 0u; c < params.head_dim; c++) {
                scores = fma(vec4<f32>(k[kv_at + c]), vec4<f32>(q[at.x + c], q[at.y + c], q[at.z + c], q[at.w + c]), scores);
                let grads = vec4<f32>(dout[at.x + c], dout[at.y + c], dout[at.z + c], dout[at.w + c]);
                changes = fma(vec4<f32>(v[kv_at + c]), grads, changes);
            }
            let lses = vec4<f32>(stats[s.x], stats[s.y], stats[s.z], stats[s.w]);
            let deltas = vec4<f32>(stats[s.x + 1u], stats[s.y + 1u], stats[s.z + 1u], stats[s.w + 1u]);
            let weights = select(vec4<f32>(), exp2(params.scale * scores - lses), visible);
            let drops = drop_factors((vec4<u32>(stat) + queries) * params.nk + j);
            let kept = weights * drops;
            let factors = select(vec4<f32>(), weights * (drops * changes - deltas) * (params.scale * LN2), visible);
            for (var c = 0u; c < params.head_dim; c++) {
                let queries_c = select(vec4<f32>(), vec4<f32>(q[at.x + c], q[at.y + c], q[at.z + c], q[at.w + c]), visible);
                let grads = vec4<f32>(dout[at.x + c], dout[at.y + c], dout[at.z + c], dout[at.w + c]);
                dk[kv_at + c] += dot(factors, queries_c);
                dv[kv_at + c] += dot(kept, select(vec4<f32>(), grads, visible));
            }
        }
    }
}
