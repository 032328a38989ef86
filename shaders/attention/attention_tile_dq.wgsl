// Gradient of attention for the queries over tiles in workgroup memory.
//   dq[b, i, h] = scale sum_j p[j] (dout . v[j] - delta) k[j]      p[j] = exp(scale q . k[j] - lse), recomputed
// q, dout, dq: [batch, nq, heads, D]   k, v: [batch, nk, kv_heads, D]   stats: (lse / ln 2, delta) as attention_stats writes it
// A workgroup of 64 owns 32 queries of one head and walks over tiles of 32 keys (attention/tile.wgsl).
// Grid: (b, h, tile of queries) with tiles fastest, folded (shared/index.wgsl). Sums in f32 in the order of keys.
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
@group(0) @binding(6) var<storage, read_write> dq: array<store4>;
@group(0) @binding(7) var<uniform> params: AttentionParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tiles = (params.nq + TILE - 1u) / TILE;
    let tile = linear_group(group, groups);
    if tile >= params.batch * params.heads * tiles {
        return;
    }
    let first_query = tile % tiles * TILE;
    let h = tile / tiles % params.heads;
    let b = tile / tiles / params.heads;
    let g = h / (params.heads / params.kv_heads);
    let ty = local / 8u;
    let tx = local % 8u;
    // Ranges move on with the query.
    let begin = key_range(first_query).x;
    let end = key_range(min(first_query + TILE, params.nq) - 1u).y;
    var acc: array<vec4<f32>, 8u * PASSES>;
    for (var i = 0u; i < 8u * PASSES; i++) {
        acc[i] = vec4<f32>();
    }
    for (var j = begin; j < end; j += TILE) {
        var s: array<vec4<f32>, 4>;
        var change: array<vec4<f32>, 4>;
        for (var i = 0u; i < 4u; i++) {
            s[i] = vec4<f32>();
        }
        for (var chunk = 0u; chunk < CHUNKS; chunk++) {
            workgroupBarrier();
            stage_q(0u, PITCH, 8u, chunk * 8u, b, h, first_query, params.nq, local);
            stage_k(SECOND, PITCH, 8u, chunk * 8u, b, g, j, end, local);
            workgroupBarrier();
            multiply(&s, ty, tx);
        }
        for (var i = 0u; i < 4u; i++) {
            change[i] = vec4<f32>();
        }
        for (var chunk = 0u; chunk < CHUNKS; chunk++) {
            workgroupBarrier();
            stage_dout(0u, PITCH, 8u, chunk * 8u, b, h, first_query, params.nq, local);
            stage_v(SECOND, PITCH, 8u, chunk * 8u, b, g, j, end, local);
            workgroupBarrier();
            multiply(&change, ty, tx);
        }
        let keys = vec4<u32>(j + tx) + 8u * STEPS;
        let real = keys_are_real(b, min(keys, vec4<u32>(params.nk - 1u)));
        for (var i = 0u; i < 4u; i++) {
            let query = min(first_query + ty + 8u * i, params.nq - 1u);
            let stat = 2u * ((b * params.heads + h) * params.nq + query);
            let p = exp2(params.scale * s[i] - stats[stat]);
            let factor = p * (change[i] - stats[stat + 1u]) * (params.scale * LN2);
            put_weights(i, select(vec4<f32>(), factor, within(keys, key_range(query)) & real), ty, tx);
        }
        for (var pass_index = 0u; pass_index < PASSES; pass_index++) {
            workgroupBarrier();
            stage_k(0u, WIDE_PITCH, 16u, pass_index * 16u, b, g, j, end, local);
            workgroupBarrier();
            accumulate(&acc, pass_index, ty, tx);
        }
    }
    for (var i = 0u; i < 4u; i++) {
        let row = first_query + ty + 8u * i;
        if row < params.nq {
            let at = query_address(b, row, h) / 4u;
            for (var c = 0u; c < 2u * PASSES; c++) {
                let channel = c / 2u * 16u + c % 2u * 8u + tx;
                if channel < D4 {
                    dq[at + channel] = pack4(acc[c / 2u * 8u + i * 2u + c % 2u]);
                }
            }
        }
    }
}
