// Scaled dot-product attention by streaming softmax on subgroups of exactly 8, where loads cost more than arithmetic.
//   o[b, i, h] = sum_j p[j] v[b, j, h / group]      p = softmax_j(scale q[b, i, h] . k[b, j, h / group]) over the visible keys
// q, o: [batch, nq, heads, D]   k, v: [batch, nk, kv_heads, D]   key_mask: [batch, nk], 0 hides a key
// lse: [batch, heads, nq], natural logarithm of the sum of exponentials; a query that sees no key gives zeros in o and lse.
// Lane l holds query l of a tile of 8 and loads the elements of keys l and 8 + l of a block of 16, which go round by
// broadcast: two gathers instead of sixteen. o itself holds the running sum.
// Grid: (b, h, tile of queries) with tiles fastest, folded (shared/index.wgsl). Sums in f32 in the order of keys.
//#include "shared/index.wgsl"
//#include "attention/common.wgsl"
//#include "attention/spread.wgsl"

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> key_mask: array<u32>;
@group(0) @binding(4) var<storage, read_write> o: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<uniform> params: AttentionParams;

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tiles = (params.nq + 7u) / 8u;
    let tile = linear_group(group, groups);
    if tile >= params.batch * params.heads * tiles {
        return;
    }
    let first_query = tile % tiles * 8u;
    let i = min(first_query + lane, params.nq - 1u);
    let live = first_query + lane < params.nq;
    let h = tile / tiles % params.heads;
    let b = tile / tiles / params.heads;
    let q_at = query_address(b, i, h);
    let g = h / (params.heads / params.kv_heads);
    let range = key_range(i);
    // The same for all lanes: ranges move on with the query.
    let begin = key_range(first_query).x;
    let end = key_range(min(first_query + 7u, params.nq - 1u)).y;
    var top = LOWEST;
    var sum = 0.0;
    for (var j = begin; j < end; j += 16u) {
        let key0 = min(j + lane, params.nk - 1u);
        let key1 = min(j + 8u + lane, params.nk - 1u);
        let real0 = key_is_real(b, key0) && j + lane < end;
        let real1 = key_is_real(b, key1) && j + 8u + lane < end;
        let at0 = key_address(b, key0, g);
        let at1 = key_address(b, key1, g);
        var s0 = vec4<f32>();
        var s1 = vec4<f32>();
        var s2 = vec4<f32>();
        var s3 = vec4<f32>();
        for (var c = 0u; c < params.head_dim; c++) {
            let x = vec4<f32>(q[q_at + c]);
            let k0 = k[at0 + c];
            let k1 = k[at1 + c];
            s0 = fma(x, spread_low(k0), s0);
            s1 = fma(x, spread_high(k0), s1);
            s2 = fma(x, spread_low(k1), s2);
            s3 = fma(x, spread_high(k1), s3);
        }
        let there0 = select(0.0, 1.0, real0);
        let there1 = select(0.0, 1.0, real1);
        let at = vec4<u32>(j) + STEPS;
        let see0 = within(at, range) & (spread_low(there0) > vec4<f32>());
        let see1 = within(at + 4u, range) & (spread_high(there0) > vec4<f32>());
        let see2 = within(at + 8u, range) & (spread_low(there1) > vec4<f32>());
        let see3 = within(at + 12u, range) & (spread_high(there1) > vec4<f32>());
        s0 = select(vec4<f32>(LOWEST), params.scale * s0, see0);
        s1 = select(vec4<f32>(LOWEST), params.scale * s1, see1);
        s2 = select(vec4<f32>(LOWEST), params.scale * s2, see2);
        s3 = select(vec4<f32>(LOWEST), params.scale * s3, see3);
        let higher = max(top, largest(max(max(s0, s1), max(s2, s3))));
        let shrink = exp2(top - higher);
        s0 = select(vec4<f32>(), exp2(s0 - higher), see0);
        s1 = select(vec4<f32>(), exp2(s1 - higher), see1);
        s2 = select(vec4<f32>(), exp2(s2 - higher), see2);
        s3 = select(vec4<f32>(), exp2(s3 - higher), see3);
        top = higher;
        sum = sum * shrink + total((s0 + s1) + (s2 + s3));
        // The last block divides by the sum; without one visible key there is nothing to divide.
        let norm = select(1.0, 1.0 / sum, j + 16u >= end && sum != 0.0);
        let keep = shrink * norm;
        s0 *= norm;
        s1 *= norm;
        s2 *= norm;
        s3 *= norm;
        for (var c = 0u; c < params.head_dim; c++) {
            // Hidden values are left out, not multiplied by zero: they may be anything.
            let v0 = select(0.0, v[at0 + c], real0);
            let v1 = select(0.0, v[at1 + c], real1);
            var y4 = s0 * spread_low(v0);
            y4 = fma(s1, spread_high(v0), y4);
            y4 = fma(s2, spread_low(v1), y4);
            y4 = fma(s3, spread_high(v1), y4);
            var y = total(y4);
            if j > begin {
                y = fma(o[q_at + c], keep, y);
            }
            if live {
                o[q_at + c] = y;
            }
        }
    }
    if live {
        lse[(b * params.heads + h) * params.nq + i] = select((top + exact_log2(sum)) * LN2, 0.0, sum == 0.0);
    }
    if begin >= end && live {
        for (var c = 0u; c < params.head_dim; c++) {
            o[q_at + c] = 0.0;
        }
    }
}
