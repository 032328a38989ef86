// Rotary embedding of V-JEPA 2 by frame, row and column (facebookresearch/vjepa2, src/models/utils/modules.py).
// Of the D channels of a head, [0, s) turn with the frame, [s, 2s) with the row, [2s, 3s) with the column, s = 2 floor(floor(D/3)/2);
// the rest is copied. Pairs are (2i, 2i+1), but the s/2 frequencies are tiled twice over the s channels, so the two
// members of a pair turn by different angles; checkpoints of V-JEPA 2 are trained that way. PAIRED: one frequency for
// each pair, as V-JEPA 2.1 has it (app/vjepa_2_1/models/utils/modules.py there).
//   y[e] = x[e] cos a(e) - x[e+1] sin a(e)      y[e+1] = x[e+1] cos a(e+1) + x[e] sin a(e+1)
//   a(e) = p scale inv_freq[e mod s/2], PAIRED: a(2i) = a(2i+1) = p scale inv_freq[i]; the scale of frames is 1
// x, y: [tokens, heads, D]   inv_freq: [s/2]   ids: [ids_len], token t has the flat id ids[t % ids_len]
// BACKWARD: y = transpose of that map applied to x; it is an inverse only where PAIRED, else the map is not orthogonal.
// One invocation per pair of channels of a token, for all heads, so that neighbours load neighbours; grid folded.
//#include "shared/index.wgsl"
//#include "shared/trig.wgsl"

struct Rope3dParams {
    tokens: u32,
    heads: u32,
    head_dim: u32,
    ids_len: u32,
    grid_cols: u32,
    grid_area: u32,
    row_scale: f32,
    col_scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> inv_freq: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Rope3dParams;

override HAS_IDS: u32 = 0u;
override BACKWARD: u32 = 0u;
override PAIRED: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    let pairs = params.head_dim / 2u;
    if i >= params.tokens * pairs {
        return;
    }
    let token = i / pairs;
    let even = i % pairs * 2u;
    var id = token % params.ids_len;
    if HAS_IDS != 0u {
        id = ids[id];
    }
    let frequencies = params.head_dim / 3u / 2u;
    let axis = even / (2u * frequencies);
    // cos, sin of the even and of the odd channel; the tail keeps angle zero.
    var turn_even = vec2<f32>(1.0, 0.0);
    var turn_odd = vec2<f32>(1.0, 0.0);
    if axis < 3u {
        let in_frame = id % params.grid_area;
        var position = f32(id / params.grid_area);
        if axis == 1u {
            position = f32(in_frame / params.grid_cols) * params.row_scale;
        }
        if axis == 2u {
            position = f32(in_frame % params.grid_cols) * params.col_scale;
        }
        let e = even - axis * 2u * frequencies;
        if PAIRED != 0u {
            turn_even = cos_sin(position * inv_freq[e / 2u]);
            turn_odd = turn_even;
        } else {
            turn_even = cos_sin(position * inv_freq[e % frequencies]);
            turn_odd = cos_sin(position * inv_freq[(e + 1u) % frequencies]);
        }
    }
    var sines = vec2<f32>(-turn_even.y, turn_odd.y);
    if BACKWARD != 0u {
        sines = vec2<f32>(turn_odd.y, -turn_even.y);
    }
    for (var head = 0u; head < params.heads; head++) {
        let at = (token * params.heads + head) * params.head_dim + even;
        let a = x[at];
        let b = x[at + 1u];
        y[at] = a * turn_even.x + b * sines.x;
        y[at + 1u] = b * turn_odd.x + a * sines.y;
    }
}
