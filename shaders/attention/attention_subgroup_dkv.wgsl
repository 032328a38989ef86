// Gradients of attention for the keys and values on subgroups of exactly 8.
//   dv[b, j, g] = sum_{h, i} p dout[i, h]      dk[b, j, g] = scale sum_{h, i} p (dout[i, h] . v[j] - delta[i, h]) q[i, h]
// with h over the query heads of g and p = exp(scale q[i, h] . k[j] - lse[i, h]), recomputed.
// q, dout: [batch, nq, heads, D]   k, v, dk, dv: [batch, nk, kv_heads, D]   stats: (lse / ln 2, delta) as attention_stats writes it
// Lane l holds key l of a tile of 8 and loads the elements of queries l and 8 + l of a block of 16, which go round by broadcast.
// A hidden key gets zeros.
// Grid: (b, g, tile of keys) with tiles fastest, folded (shared/index.wgsl). Sums in f32, heads outside, queries inside.
//#include "shared/index.wgsl"
//#include "attention/common.wgsl"
//#include "attention/spread.wgsl"

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> key_mask: array<u32>;
@group(0) @binding(4) var<storage, read> stats: array<f32>;
@group(0) @binding(5) var<storage, read> dout: array<f32>;
@group(0) @binding(6) var<storage, read_write> dk: array<f32>;
@group(0) @binding(7) var<storage, read_write> dv: array<f32>;
@group(0) @binding(8) var<uniform> params: AttentionParams;

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tiles = (params.nk + 7u) / 8u;
    let tile = linear_group(group, groups);
    if tile >= params.batch * params.kv_heads * tiles {
        return;
    }
    let first_key = tile % tiles * 8u;
    let j = min(first_key + lane, params.nk - 1u);
    let live = first_key + lane < params.nk;
    let g = tile / tiles % params.kv_heads;
    let b = tile / tiles / params.kv_heads;
    let kv_at = key_address(b, j, g);
    let per_group = params.heads / params.kv_heads;
    var range = query_range(j);
    if !key_is_real(b, j) {
        range.y = 0u;
    }
    // The same for all lanes: ranges move on with the key.
    let begin = query_range(first_key).x;
    let end = query_range(min(first_key + 7u, params.nk - 1u)).y;
    let first_head = g * per_group;
    for (var h = first_head; h < first_head + per_group; h++) {
        for (var i = begin; i < end; i += 16u) {
            let query0 = min(i + lane, params.nq - 1u);
            let query1 = min(i + 8u + lane, params.nq - 1u);
            let real0 = i + lane < end;
            let real1 = i + 8u + lane < end;
            let at0 = query_address(b, query0, h);
            let at1 = query_address(b, query1, h);
            var s0 = vec4<f32>();
            var s1 = vec4<f32>();
            var s2 = vec4<f32>();
            var s3 = vec4<f32>();
            var d0 = vec4<f32>();
            var d1 = vec4<f32>();
            var d2 = vec4<f32>();
            var d3 = vec4<f32>();
            for (var c = 0u; c < params.head_dim; c++) {
                let x = vec4<f32>(k[kv_at + c]);
                let q0 = q[at0 + c];
                let q1 = q[at1 + c];
                s0 = fma(x, spread_low(q0), s0);
                s1 = fma(x, spread_high(q0), s1);
                s2 = fma(x, spread_low(q1), s2);
                s3 = fma(x, spread_high(q1), s3);
                let y = vec4<f32>(v[kv_at + c]);
                let g0 = dout[at0 + c];
                let g1 = dout[at1 + c];
                d0 = fma(y, spread_low(g0), d0);
                d1 = fma(y, spread_high(g0), d1);
                d2 = fma(y, spread_low(g1), d2);
                d3 = fma(y, spread_high(g1), d3);
            }
            let stat0 = 2u * ((b * params.heads + h) * params.nq + query0);
            let stat1 = 2u * ((b * params.heads + h) * params.nq + query1);
            let lse0 = stats[stat0];
            let lse1 = stats[stat1];
            let delta0 = stats[stat0 + 1u];
            let delta1 = stats[stat1 + 1u];
            let at = vec4<u32>(i) + STEPS;
            s0 = select(vec4<f32>(), exp2(params.scale * s0 - spread_low(lse0)), within(at, range));
            s1 = select(vec4<f32>(), exp2(params.scale * s1 - spread_high(lse0)), within(at + 4u, range));
            s2 = select(vec4<f32>(), exp2(params.scale * s2 - spread_low(lse1)), within(at + 8u, range));
            s3 = select(vec4<f32>(), exp2(params.scale * s3 - spread_high(lse1)), within(at + 12u, range));
            let out_scale = params.scale * LN2;
            d0 = select(vec4<f32>(), s0 * (d0 - spread_low(delta0)) * out_scale, within(at, range));
            d1 = select(vec4<f32>(), s1 * (d1 - spread_high(delta0)) * out_scale, within(at + 4u, range));
            d2 = select(vec4<f32>(), s2 * (d2 - spread_low(delta1)) * out_scale, within(at + 8u, range));
            d3 = select(vec4<f32>(), s3 * (d3 - spread_high(delta1)) * out_scale, within(at + 12u, range));
            for (var c = 0u; c < params.head_dim; c++) {
                let q0 = select(0.0, q[at0 + c], real0);
                let q1 = select(0.0, q[at1 + c], real1);
                let g0 = select(0.0, dout[at0 + c], real0);
                let g1 = select(0.0, dout[at1 + c], real1);
                var x4 = d0 * spread_low(q0);
                var y4 = s0 * spread_low(g0);
                x4 = fma(d1, spread_high(q0), x4);
                y4 = fma(s1, spread_high(g0), y4);
                x4 = fma(d2, spread_low(q1), x4);
                y4 = fma(s2, spread_low(g1), y4);
                x4 = fma(d3, spread_high(q1), x4);
                y4 = fma(s3, spread_high(g1), y4);
                var x = total(x4);
                var y = total(y4);
                if h > first_head || i > begin {
                    x += dk[kv_at + c];
                    y += dv[kv_at + c];
                }
                if live {
                    dk[kv_at + c] = x;
                    dv[kv_at + c] = y;
                }
            }
        }
    }
    if begin >= end && live {
        for (var c = 0u; c < params.head_dim; c++) {
            dk[kv_at + c] = 0.0;
            dv[kv_at + c] = 0.0;
        }
    }
}
