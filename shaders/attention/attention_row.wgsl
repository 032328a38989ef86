// Scaled dot-product attention by streaming softmax, one invocation per query: any sizes, no barriers, no scores stored.
//   o[b, i, h] = sum_j d[j] p[j] v[b, j, h / group]      p = softmax_j(scale q[b, i, h] . k[b, j, h / group]) over the visible keys
// and d the factors of dropout, 1 without it (attention/dropout.wgsl).
// q, o: [batch, nq, heads, D]   k, v: [batch, nk, kv_heads, D]   key_mask: [batch, nk], 0 hides a key
// lse: [batch, heads, nq], natural logarithm of the sum of exponentials; a query that sees no key gives zeros in o and lse.
// Four keys at a time; o itself holds the running sum, since an array of D sums would live in slow memory anyway.
// Grid: (b, h, i) with i fastest, folded (shared/index.wgsl). Sums in f32 in the order of keys.
//#include "shared/index.wgsl"
//#include "attention/common.wgsl"
//#include "attention/dropout.wgsl"

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> key_mask: array<u32>;
@group(0) @binding(4) var<storage, read_write> o: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<uniform> params: AttentionParams;

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
    let range = key_range(i);
    var top = LOWEST;
    var sum = 0.0;
    for (var j = range.x; j < range.y; j += 4u) {
        let keys = min(vec4<u32>(j) + STEPS, vec4<u32>(params.nk - 1u));
        let visible = within(vec4<u32>(j) + STEPS, range) & keys_are_real(b, keys);
        let at = vec4<u32>(kv_at) + keys * kv_pitch;
        var scores = vec4<f32>();
        for (var c = 0u; c < params.head_dim; c++) {
            scores = fma(vec4<f32>(q[q_at + c]), vec4<f32>(k[at.x + c], k[at.y + c], k[at.z + c], k[at.w + c]), scores);
        }
        scores = select(vec4<f32>(LOWEST), params.scale * scores, visible);
        let higher = max(top, largest(scores));
        let shrink = exp2(top - higher);
        let weights = select(vec4<f32>(), exp2(scores - higher), visible);
        top = higher;
        sum = sum * shrink + total(weights);
        let kept = weights * drop_factors(vec4<u32>(row * params.nk) + keys);
        for (var c = 0u; c < params.head_dim; c++) {
            // Hidden values are left out, not multiplied by zero: they may be anything.
            let values = select(vec4<f32>(), vec4<f32>(v[at.x + c], v[at.y + c], v[at.z + c], v[at.w + c]), visible);
            var y = dot(kept, values);
            if j > range.x {
                y = fma(o[q_at + c], shrink, y);
            }
            o[q_at + c] = y;
        }
    }
    // A NaN sum is not nothing.
    let nothing = sum == 0.0;
    lse[row] = select((top + exact_log2(sum)) * LN2, 0.0, nothing);
    for (var c = 0u; c < params.head_dim; c++) {
        var y = 0.0;
        if !nothing {
            y = o[q_at + c] / sum;
        }
        o[q_at + c] = y;
    }
}
