// Rotary embedding in the half-split form of Llama, Gemma and Qwen: channel k turns with channel k + D/2.
//   y[k] = x[k] cos a - x[k + D/2] sin a      y[k + D/2] = x[k + D/2] cos a + x[k] sin a      a = p inv_freq[k]
// x, y: [tokens, heads, D]   inv_freq: [D/2]   ids: [ids_len]
// Token t has position ids[t % ids_len], or offset + t % ids_len without ids.
// BACKWARD turns the other way, which is the transpose.
// One invocation per pair of channels of a token, for all heads; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"
//#include "shared/trig.wgsl"

struct RopeHalfParams {
    tokens: u32,
    heads: u32,
    head_dim: u32,
    ids_len: u32,
    offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> inv_freq: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: RopeHalfParams;

override HAS_IDS: u32 = 0u;
override BACKWARD: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    let half = params.head_dim / 2u;
    if i >= params.tokens * half {
        return;
    }
    let token = i / half;
    let k = i % half;
    var position = params.offset + token % params.ids_len;
    if HAS_IDS != 0u {
        position = ids[token % params.ids_len];
    }
    let turn = cos_sin(f32(position) * inv_freq[k]);
    var sine = turn.y;
    if BACKWARD != 0u {
        sine = -sine;
    }
    for (var head = 0u; head < params.heads; head++) {
        let at = (token * params.heads + head) * params.head_dim + k;
        let a = x[at];
        let b = x[at + half];
        y[at] = a * turn.x - b * sine;
        y[at + half] = b * turn.x + a * sine;
    }
}
