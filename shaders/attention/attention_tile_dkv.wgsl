// Gradients of attention for the keys and values over tiles in workgroup memory.
//   dv[b, j, g] = sum_{h, i} p dout[i, h]      dk[b, j, g] = scale sum_{h, i} p (dout[i, h] . v[j] - delta[i, h]) q[i, h]
// with h over the query heads of g and p = exp(scale q[i, h] . k[j] - lse[i, h]), recomputed.
// q, dout: [batch, nq, heads, D]   k, v, dk, dv: [batch, nk, kv_heads, D]   stats: (lse / ln 2, delta) as attention_stats writes it
// A workgroup of 64 owns 32 keys of one head and walks over tiles of 32 queries (attention/tile.wgsl). A hidden key gets zeros.
// Grid: (b, g, tile of keys) with tiles fastest, folded (shared/index.wgsl). Sums in f32, heads outside, queries inside.
//#include "shared/index.wgsl"
//#include "attention/common.wgsl"
//#include "attention/tile.wgsl"
//#include "attention/stage.wgsl"
//#include "attention/stage_dout.wgsl"

@group(0) @binding(0) var<storage, read> q: array<store4>;
@group(0) @binding(1) var<storage, read> k: array<store4>;
@group(0) @binding(2) var<storage, read> v: array<store4>;
@group(0) @binding(3) var<storage, read> key_mask: array<u32>;
@group(0) @binding(4) var<storage, read> stats: array<f32>;
@group(0) @binding(5) var<storage, read> dout: array<store4>;
@group(0) @binding(6) var<storage, read_write> dk: array<store4>;
@group(0) @binding(7) var<storage, read_write> dv: array<store4>;
@group(0) @binding(8) var<uniform> params: AttentionParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tiles = (params.nk + TILE - 1u) / TILE;
    let tile = linear_group(group, groups);
    if tile >= params.batch * params.kv_heads * tiles {
        return;
    }
    let first_key = tile % tiles * TILE;
    let g = tile / tiles % params.kv_heads;
    let b = tile / tiles / params.kv_heads;
    let ty = local / 8u;
    let tx = local % 8u;
    // Ranges move on with the key.
    let begin = query_range(first_key).x;
    let end = query_range(min(first_key + TILE, params.nk) - 1u).y;
    var key_acc: array<vec4<f32>, 8u * PASSES>;
    var value_acc: array<vec4<f32>, 8u * PASSES>;
    for (var i = 0u; i < 8u * PASSES; i++) {
        key_acc[i] = vec4<f32>();
        value_acc[i] = vec4<f32>();
    }
    let per_group = params.heads / params.kv_heads;
    for (var h = g * per_group; h < (g + 1u) * per_group; h++) {
        for (var i0 = begin; i0 < end; i0 += TILE) {
            var s: array<vec4<f32>, 4>;
            var change: array<vec4<f32>, 4>;
            for (var i = 0u; i < 4u; i++) {
                s[i] = vec4<f32>();
            }
            for (var chunk = 0u; chunk < CHUNKS; chunk++) {
                workgroupBarrier();
                stage_k(0u, PITCH, 8u, chunk * 8u, b, g, first_key, params.nk, local);
                stage_q(SECOND, PITCH, 8u, chunk * 8u, b, h, i0, end, local);
                workgroupBarrier();
                multiply(&s, ty, tx);
            }
            for (var i = 0u; i < 4u; i++) {
                change[i] = vec4<f32>();
            }
            for (var chunk = 0u; chunk < CHUNKS; chunk++) {
                workgroupBarrier();
                stage_v(0u, PITCH, 8u, chunk * 8u, b, g, first_key, params.nk, local);
                stage_dout(SECOND, PITCH, 8u, chunk * 8u, b, h, i0, end, local);
                workgroupBarrier();
                multiply(&change, ty, tx);
            }
            let queries = vec4<u32>(i0 + tx) + 8u * STEPS;
            let stat = 2u * (vec4<u32>((b * params.heads + h) * params.nq) + min(queries, vec4<u32>(params.nq - 1u)));
            let lses = vec4<f32>(stats[stat.x], stats[stat.y], stats[stat.z], stats[stat.w]);
            let deltas = vec4<f32>(stats[stat.x + 1u], stats[stat.y + 1u], stats[stat.z + 1u], stats[stat.w + 1u]);
            for (var i = 0u; i < 4u; i++) {
                let key = min(first_key + ty + 8u * i, params.nk - 1u);
                let visible = within(queries, query_range(key)) & vec4<bool>(key_is_real(b, key));
                s[i] = select(vec4<f32>(), exp2(params.scale * s[i] - lses), visible);
                change[i] = select(vec4<f32>(), s[i] * (change[i] - deltas) * (params.scale * LN2), visible);
                put_weights(i, s[i], ty, tx);
            }
            for (var pass_index = 0u; pass_index < PASSES; pass_index++) {
                workgroupBarrier();
                stage_dout(0u, WIDE_PITCH, 16u, pass_index * 16u, b, h, i0, end, local);
                workgroupBarrier();
                accumulate(&value_acc, pass_index, ty, tx);
            }
            workgroupBarrier();
            for (var i = 0u; i < 4u; i++) {
                put_weights(i, change[i], ty, tx);
            }
            for (var pass_index = 0u; pass_index < PASSES; pass_index++) {
                workgroupBarrier();
                stage_q(0u, WIDE_PITCH, 16u, pass_index * 16u, b, h, i0, end, local);
                workgroupBarrier();
                accumulate(&key_acc, pass_index, ty, tx);
            }
        }
    }
    for (var i = 0u; i < 4u; i++) {
        let row = first_key + ty + 8u * i;
        if row < params.nk {
            let at = key_address(b, row, g) / 4u;
            for (var c = 0u; c < 2u * PASSES; c++) {
                let channel = c / 2u * 16u + c % 2u * 8u + tx;
                if channel < D4 {
                    let source = c / 2u * 8u + i * 2u + c % 2u;
                    dk[at + channel] = pack4(key_acc[source]);
                    dv[at + channel] = pack4(value_acc[source]);
                }
            }
        }
    }
}
