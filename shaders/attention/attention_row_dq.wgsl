// Gradient of attention for the queries, one invocation per query.
//   dq[b, i, h] = scale sum_j p[j] (d[j] dout . v[j] - delta) k[j]      p[j] = exp(scale q . k[j] - lse), recomputed
// and d the factors of dropout, drawn again, 1 without it (attention/dropout.wgsl).
// q, dout, dq: [batch, nq, heads, D]   k, v: [batch, nk, kv_heads, D]   stats: (lse / ln 2, delta) as attention_stats writes it
// Four keys at a time; dq itself holds the running sum.
// Grid: (b, h, i) with i fastest, folded (shared/index.wgsl). Sums in f32 in the order of keys.
//#include "shared/index.wgsl"
//#include "attention/common.wgsl"
//#include "attention/dropout.wgsl"

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> key_mask: array<u32>;
@group(0) @binding(4) var<storage, read> stats: array<f32>;
@group(0) @binding(5) var<storage, read> dout: array<f32>;
@group(0) @binding(6) var<storage, read_write> dq: array<f32>;
@group(0) @binding(7) var<uniform> params: AttentionParams;

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
    let q_at = query_address(b, i, h);
    let kv_pitch = params.kv_heads * params.head_dim;
    let kv_at = key_address(b, 0u, h / (params.heads / params.kv_heads));
    let lse = stats[2u * row];
    let delta = stats[2u * row + 1u];
    let range = key_range(i);
    for (var c = 0u; c < params.head_dim; c++) {
        dq[q_at + c] = 0.0;
    }
    for (var j = range.x; j < range.y; j += 4u) {
        let keys = min(vec4<u32>(j) + STEPS, vec4<u32>(params.nk - 1u));
        let visible = within(vec4<u32>(j) + STEPS, range) & keys_are_real(b, keys);
        let at = vec4<u32>(kv_at) + keys * kv_pitch;
        var scores = vec4<f32>();
        var changes = vec4<f32>();
        for (var c = 0u; c < params.head_dim; c++) {
            scores = fma(vec4<f32>(q[q_at + c]), vec4<f32>(k[at.x + c], k[at.y + c], k[at.z + c], k[at.w + c]), scores);
            changes = fma(vec4<f32>(dout[q_at + c]), vec4<f32>(v[at.x + c], v[at.y + c], v[at.z + c], v[at.w + c]), changes);
        }
        changes *= drop_factors(vec4<u32>(row * params.nk) + keys);
        let weights = exp2(params.scale * scores - lse);
        let factors = select(vec4<f32>(), weights * (changes - delta) * (params.scale * LN2), visible);
        for (var c = 0u; c < params.head_dim; c++) {
            let values = select(vec4<f32>(), vec4<f32>(k[at.x + c], k[at.y + c], k[at.z + c], k[at.w + c]), visible);
            dq[q_at + c] += dot(factors, values);
        }
    }
}
