// One direction of InfoNCE over a matrix of cosines, with s = exp(min(log_scale, max_log_scale)) * cosine:
//   losses[first + r] = shares[r] * (log sum_c exp(s[r, c]) - mean over positives of s[r, c])
//   stats[first + r] = (log sum_c exp(s[r, c]), 1 / number of positives)
// cosine: element (r, c) at r * row_stride + c * col_stride, so that columns may play the rows   log_scale: [1]
// targets: [rows]   keys: [cols]   shares: [rows], absent by override: all are 1 (loss/contrast_pairs.wgsl)
// stats: [.., 2]   losses: [..]
// A target beyond the columns gives `invalid`, a NaN. LANES invocations share a row (shared/rows.wgsl); grid folded.
//#include "shared/rows.wgsl"
//#include "loss/contrast_pairs.wgsl"

struct ContrastParams {
    rows: u32,
    cols: u32,
    row_stride: u32,
    col_stride: u32,
    first: u32,
    max_log_scale: f32,
    invalid: f32,
}

@group(0) @binding(0) var<storage, read> cosine: array<f32>;
@group(0) @binding(1) var<storage, read> log_scale: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read> shares: array<f32>;
@group(0) @binding(5) var<storage, read_write> stats: array<f32>;
@group(0) @binding(6) var<storage, read_write> losses: array<f32>;
@group(0) @binding(7) var<uniform> params: ContrastParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = own_row(group, groups, local, params.rows);
    let row = place.index;
    let lane = place.lane;
    let cols = params.cols;
    let start = row * params.row_stride;
    let scale = exp(min(log_scale[0], params.max_log_scale));
    let own = own_column(row);
    let key = own_key(own, cols);

    var top = REDUCE_LOWEST;
    for (var c = lane; c < cols; c += LANES) {
        top = max(top, cosine[start + c * params.col_stride]);
    }
    // The largest of all columns, left out or not, bounds the exponents as well.
    top = reduce_max(top, local);
    var sum = 0.0;
    var hits = 0.0;
    var along = 0.0;
    for (var c = lane; c < cols; c += LANES) {
        let s = scale * (cosine[start + c * params.col_stride] - top);
        var term = exp(s);
        var hit = c == own;
        if DUPLICATES == 1u {
            term = select(term, 0.0, !hit && is_twin(c, key));
        }
        if DUPLICATES == 2u {
            hit = is_twin(c, key);
        }
        sum += term;
        hits += select(0.0, 1.0, hit);
        along += select(0.0, s, hit);
    }
    sum = reduce_sum(sum, local);
    hits = reduce_sum(hits, local);
    along = reduce_sum(along, local);
    if !place.inside || lane != 0u {
        return;
    }
    let each = 1.0 / max(hits, 1.0);
    stats[2u * (params.first + row)] = scale * top + log(sum);
    stats[2u * (params.first + row) + 1u] = each;
    losses[params.first + row] = shared_out(select(log(sum) - along * each, params.invalid, own >= cols), row);
}
