// Scaled dot-product attention by streaming softmax over tiles in workgroup memory, for adapters with real workgroups.
//   o[b, i, h] = sum_j p[j] v[b, j, h / group]      p = softmax_j(scale q[b, i, h] . k[b, j, h / group]) over the visible keys
// q, o: [batch, nq, heads, D]   k, v: [batch, nk, kv_heads, D]   key_mask: [batch, nk], 0 hides a key
// lse: [batch, heads, nq], natural logarithm of the sum of exponentials; a query that sees no key gives zeros in o and lse.
// A workgroup of 64 owns 32 queries of one head and walks over tiles of 32 keys (attention/tile.wgsl).
// Grid: (b, h, tile of queries) with tiles fastest, folded (shared/index.wgsl). Sums in f32 by tiles of keys.
//#include "shared/index.wgsl"
//#include "attention/common.wgsl"
//#include "attention/tile.wgsl"
//#include "attention/stage.wgsl"

@group(0) @binding(0) var<storage, read> q: array<store4>;
@group(0) @binding(1) var<storage, read> k: array<store4>;
@group(0) @binding(2) var<storage, read> v: array<store4>;
@group(0) @binding(3) var<storage, read> key_mask: array<u32>;
@group(0) @binding(4) var<storage, read_write> o: array<store4>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<uniform> params: AttentionParams;

// Two invocations look after one row of the softmax.
var<workgroup> partial: array<f32, 64>;
var<workgroup> row_factor: array<f32, TILE>;

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
    let soft_row = local / 2u;
    let soft_at = soft_row * WEIGHT_PITCH + local % 2u * 16u;
    var top = LOWEST;
    var sum = 0.0;
    for (var j = begin; j < end; j += TILE) {
        var s: array<vec4<f32>, 4>;
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
        let keys = vec4<u32>(j + tx) + 8u * STEPS;
        let real = keys_are_real(b, min(keys, vec4<u32>(params.nk - 1u)));
        for (var i = 0u; i < 4u; i++) {
            let visible = within(keys, key_range(min(first_query + ty + 8u * i, params.nq - 1u))) & real;
            put_weights(i, select(vec4<f32>(LOWEST), params.scale * s[i], visible), ty, tx);
        }
        workgroupBarrier();
        var highest = LOWEST;
        for (var c = 0u; c < 16u; c++) {
            highest = max(highest, weights[soft_at + c]);
        }
        partial[local] = highest;
        workgroupBarrier();
        highest = max(top, max(partial[2u * soft_row], partial[2u * soft_row + 1u]));
        let shrink = exp2(top - highest);
        sum *= shrink;
        top = highest;
        for (var c = 0u; c < 16u; c++) {
            let score = weights[soft_at + c];
            let weight = select(exp2(score - top), 0.0, score == LOWEST);
            weights[soft_at + c] = weight;
            sum += weight;
        }
        if local % 2u == 0u {
            row_factor[soft_row] = shrink;
        }
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) {
            let factor = row_factor[ty + 8u * i];
            for (var c = 0u; c < PASSES; c++) {
                acc[c * 8u + i * 2u] *= factor;
                acc[c * 8u + i * 2u + 1u] *= factor;
            }
        }
        for (var pass_index = 0u; pass_index < PASSES; pass_index++) {
            workgroupBarrier();
            stage_v(0u, WIDE_PITCH, 16u, pass_index * 16u, b, g, j, end, local);
            workgroupBarrier();
            accumulate(&acc, pass_index, ty, tx);
        }
    }
    workgroupBarrier();
    partial[local] = sum;
    workgroupBarrier();
    sum = partial[2u * soft_row] + partial[2u * soft_row + 1u];
    if local % 2u == 0u && first_query + soft_row < params.nq {
        let at = (b * params.heads + h) * params.nq + first_query + soft_row;
        lse[at] = select((top + exact_log2(sum)) * LN2, 0.0, sum == 0.0);
    }
    for (var i = 0u; i < 4u; i++) {
        let row = first_query + ty + 8u * i;
        if row < params.nq {
            let at = query_address(b, row, h) / 4u;
            for (var c = 0u; c < 2u * PASSES; c++) {
                let channel = c / 2u * 16u + c % 2u * 8u + tx;
                if channel < D4 {
                    let row_sum = partial[2u * (ty + 8u * i)] + partial[2u * (ty + 8u * i) + 1u];
                    o[at + channel] = pack4(acc[c / 2u * 8u + i * 2u + c % 2u] / select(row_sum, 1.0, row_sum == 0.0));
                }
            }
        }
    }
}
