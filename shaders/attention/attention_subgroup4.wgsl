// Scaled dot-product attention by streaming softmax on subgroups of exactly 8, with vector loads: head sizes divisible by 4.
//   o[b, i, h] = sum_j p[j] v[b, j, h / group]      p = softmax_j(scale q[b, i, h] . k[b, j, h / group]) over the visible keys
// q, o: [batch, nq, heads, D]   k, v: [batch, nk, kv_heads, D]   key_mask: [batch, nk], 0 hides a key
// lse: [batch, heads, nq], natural logarithm of the sum of exponentials; a query that sees no key gives zeros in o and lse.
// A subgroup owns 32 queries and goes through the keys in blocks of 64. Lane l holds queries 4 l .. 4 l + 4 as the four
// components of every vector, so that the softmax needs no other lane; it loads keys 4 l .. 4 l + 4 of each 32, which go
// round by broadcast. o itself holds the running sum.
// Grid: (b, h, tile of queries) with tiles fastest, folded (shared/index.wgsl). Sums in f32 in the order of keys within a
// block's 32, by lane and row.
//#include "shared/index.wgsl"
//#include "shared/spread_rows.wgsl"
//#include "attention/common.wgsl"

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> key_mask: array<u32>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<uniform> params: AttentionParams;

// The keys of a lane: where they lie, in vectors, and which are there and not hidden.
struct Keys {
    at: vec4<u32>,
    real: vec4<f32>,
}

fn keys_from(b: u32, g: u32, first: u32, end: u32) -> Keys {
    let wanted = vec4<u32>(first) + STEPS;
    let inside = min(wanted, vec4<u32>(params.nk - 1u));
    let at = ((vec4<u32>(b * params.nk) + inside) * params.kv_heads + vec4<u32>(g)) * (params.head_dim / 4u);
    return Keys(at, select(vec4<f32>(), vec4<f32>(1.0), keys_are_real(b, inside) & (wanted < vec4<u32>(end))));
}

// Scales the scores of one key of every lane, the first of them key `first`, and hides what the queries may not see.
fn hide(s: ptr<function, PerLane>, first: u32, real: f32, begin: vec4<u32>, end: vec4<u32>) {
    (*s)[0] = visible((*s)[0], first, subgroupBroadcast(real, 0u), begin, end);
    (*s)[1] = visible((*s)[1], first + 4u, subgroupBroadcast(real, 1u), begin, end);
    (*s)[2] = visible((*s)[2], first + 8u, subgroupBroadcast(real, 2u), begin, end);
    (*s)[3] = visible((*s)[3], first + 12u, subgroupBroadcast(real, 3u), begin, end);
    (*s)[4] = visible((*s)[4], first + 16u, subgroupBroadcast(real, 4u), begin, end);
    (*s)[5] = visible((*s)[5], first + 20u, subgroupBroadcast(real, 5u), begin, end);
    (*s)[6] = visible((*s)[6], first + 24u, subgroupBroadcast(real, 6u), begin, end);
    (*s)[7] = visible((*s)[7], first + 28u, subgroupBroadcast(real, 7u), begin, end);
}

fn visible(s: vec4<f32>, key: u32, real: f32, begin: vec4<u32>, end: vec4<u32>) -> vec4<f32> {
    let at = vec4<u32>(key);
    return select(vec4<f32>(LOWEST), params.scale * s, (at >= begin) & (at < end) & vec4<bool>(real > 0.0));
}

fn top_of(s: ptr<function, PerLane>) -> vec4<f32> {
    let low = max(max((*s)[0], (*s)[1]), max((*s)[2], (*s)[3]));
    let high = max(max((*s)[4], (*s)[5]), max((*s)[6], (*s)[7]));
    return max(low, high);
}

// Turns scores into weights and returns their sum.
fn weigh(s: ptr<function, PerLane>, top: vec4<f32>) -> vec4<f32> {
    (*s)[0] = weight((*s)[0], top);
    (*s)[1] = weight((*s)[1], top);
    (*s)[2] = weight((*s)[2], top);
    (*s)[3] = weight((*s)[3], top);
    (*s)[4] = weight((*s)[4], top);
    (*s)[5] = weight((*s)[5], top);
    (*s)[6] = weight((*s)[6], top);
    (*s)[7] = weight((*s)[7], top);
    let low = ((*s)[0] + (*s)[1]) + ((*s)[2] + (*s)[3]);
    let high = ((*s)[4] + (*s)[5]) + ((*s)[6] + (*s)[7]);
    return low + high;
}

fn weight(s: vec4<f32>, top: vec4<f32>) -> vec4<f32> {
    return select(exp2(s - top), vec4<f32>(), s == vec4<f32>(LOWEST));
}

// Four channels [channel] of four queries, plus the weighted values of one key of every lane.
fn add_values(p: ptr<function, PerLane>, x: vec4<f32>, y: mat4x4<f32>) -> mat4x4<f32> {
    var z = y;
    z = add_value(subgroupBroadcast(x, 0u), (*p)[0], z);
    z = add_value(subgroupBroadcast(x, 1u), (*p)[1], z);
    z = add_value(subgroupBroadcast(x, 2u), (*p)[2], z);
    z = add_value(subgroupBroadcast(x, 3u), (*p)[3], z);
    z = add_value(subgroupBroadcast(x, 4u), (*p)[4], z);
    z = add_value(subgroupBroadcast(x, 5u), (*p)[5], z);
    z = add_value(subgroupBroadcast(x, 6u), (*p)[6], z);
    z = add_value(subgroupBroadcast(x, 7u), (*p)[7], z);
    return z;
}

fn add_value(x: vec4<f32>, p: vec4<f32>, y: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(vec4<f32>(x.x), p, y[0]),
        fma(vec4<f32>(x.y), p, y[1]),
        fma(vec4<f32>(x.z), p, y[2]),
        fma(vec4<f32>(x.w), p, y[3]),
    );
}

// Hidden values are left out, not multiplied by zero: they may be anything.
fn value(at: u32, real: f32) -> vec4<f32> {
    return select(vec4<f32>(), v[at], real > 0.0);
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tiles = (params.nq + 31u) / 32u;
    let tile = linear_group(group, groups);
    if tile >= params.batch * params.heads * tiles {
        return;
    }
    let first_query = tile % tiles * 32u;
    let h = tile / tiles % params.heads;
    let b = tile / tiles / params.heads;
    let g = h / (params.heads / params.kv_heads);
    let wanted = vec4<u32>(first_query + 4u * lane) + STEPS;
    let i = min(wanted, vec4<u32>(params.nq - 1u));
    let live = wanted < vec4<u32>(params.nq);
    let width = params.head_dim / 4u;
    let q_at = ((vec4<u32>(b * params.nq) + i) * params.heads + vec4<u32>(h)) * width;
    let r0 = key_range(i.x);
    let r1 = key_range(i.y);
    let r2 = key_range(i.z);
    let r3 = key_range(i.w);
    let from_key = vec4<u32>(r0.x, r1.x, r2.x, r3.x);
    let to_key = vec4<u32>(r0.y, r1.y, r2.y, r3.y);
    // The same for all lanes: ranges move on with the query.
    let begin = key_range(first_query).x;
    let end = key_range(min(first_query + 31u, params.nq - 1u)).y;
    var top = vec4<f32>(LOWEST);
    var sum = vec4<f32>();
    for (var j = begin; j < end; j += 64u) {
        let left = keys_from(b, g, j + 4u * lane, end);
        let right = keys_from(b, g, j + 32u + 4u * lane, end);
        // Scores, then weights, of row r of each lane's keys, of the first and the second 32.
        var l0: PerLane;
        var l1: PerLane;
        var l2: PerLane;
        var l3: PerLane;
        var h0: PerLane;
        var h1: PerLane;
        var h2: PerLane;
        var h3: PerLane;
        for (var c = 0u; c < width; c++) {
            let x = transpose(mat4x4<f32>(q[q_at.x + c], q[q_at.y + c], q[q_at.z + c], q[q_at.w + c]));
            add_rows(&l0, k[left.at.x + c], x);
            add_rows(&l1, k[left.at.y + c], x);
            add_rows(&l2, k[left.at.z + c], x);
            add_rows(&l3, k[left.at.w + c], x);
            add_rows(&h0, k[right.at.x + c], x);
            add_rows(&h1, k[right.at.y + c], x);
            add_rows(&h2, k[right.at.z + c], x);
            add_rows(&h3, k[right.at.w + c], x);
        }
        hide(&l0, j, left.real.x, from_key, to_key);
        hide(&l1, j + 1u, left.real.y, from_key, to_key);
        hide(&l2, j + 2u, left.real.z, from_key, to_key);
        hide(&l3, j + 3u, left.real.w, from_key, to_key);
        hide(&h0, j + 32u, right.real.x, from_key, to_key);
        hide(&h1, j + 33u, right.real.y, from_key, to_key);
        hide(&h2, j + 34u, right.real.z, from_key, to_key);
        hide(&h3, j + 35u, right.real.w, from_key, to_key);
        let low = max(max(top_of(&l0), top_of(&l1)), max(top_of(&l2), top_of(&l3)));
        let high = max(max(top_of(&h0), top_of(&h1)), max(top_of(&h2), top_of(&h3)));
        let higher = max(top, max(low, high));
        let shrink = exp2(top - higher);
        top = higher;
        sum *= shrink;
        sum += (weigh(&l0, top) + weigh(&l1, top)) + (weigh(&l2, top) + weigh(&l3, top));
        sum += (weigh(&h0, top) + weigh(&h1, top)) + (weigh(&h2, top) + weigh(&h3, top));
        // The last block divides by the sum; without one visible key there is nothing to divide.
        let norm = select(vec4<f32>(1.0), 1.0 / sum, vec4<bool>(j + 64u >= end) & (sum != vec4<f32>()));
        for (var c = 0u; c < width; c++) {
            var y = mat4x4<f32>();
            if j > begin {
                let old = transpose(mat4x4<f32>(o[q_at.x + c], o[q_at.y + c], o[q_at.z + c], o[q_at.w + c]));
                y = mat4x4<f32>(old[0] * shrink, old[1] * shrink, old[2] * shrink, old[3] * shrink);
            }
            y = add_values(&l0, value(left.at.x + c, left.real.x), y);
            y = add_values(&l1, value(left.at.y + c, left.real.y), y);
            y = add_values(&l2, value(left.at.z + c, left.real.z), y);
            y = add_values(&l3, value(left.at.w + c, left.real.w), y);
            y = add_values(&h0, value(right.at.x + c, right.real.x), y);
            y = add_values(&h1, value(right.at.y + c, right.real.y), y);
            y = add_values(&h2, value(right.at.z + c, right.real.z), y);
            y = add_values(&h3, value(right.at.w + c, right.real.w), y);
            put(q_at + c, transpose(mat4x4<f32>(y[0] * norm, y[1] * norm, y[2] * norm, y[3] * norm)), live);
        }
    }
    let logarithm = vec4<f32>(exact_log2(sum.x), exact_log2(sum.y), exact_log2(sum.z), exact_log2(sum.w));
    let known = select((top + logarithm) * LN2, vec4<f32>(), sum == vec4<f32>());
    let lse_at = (b * params.heads + h) * params.nq + wanted.x;
    for (var r = 0u; r < 4u; r++) {
        if live[r] {
            lse[lse_at + r] = known[r];
        }
    }
    if begin >= end {
        for (var c = 0u; c < width; c++) {
            put(q_at + c, mat4x4<f32>(), live);
        }
    }
}

// Stores the vectors of the queries that are there.
fn put(at: vec4<u32>, y: mat4x4<f32>, live: vec4<bool>) {
    if live.x {
        o[at.x] = y[0];
    }
    if live.y {
        o[at.y] = y[1];
    }
    if live.z {
        o[at.z] = y[2];
    }
    if live.w {
        o[at.w] = y[3];
    }
}
