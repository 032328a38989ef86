// Cross-entropy of rows of logits against class numbers.
//   stats[r] = (top, rest), top = max_c logits[r, c], rest = log sum_c exp(logits[r, c] - top)
//   terms[r] = (loss, 1), loss = top + rest - (1 - smoothing) * logits[r, target] - smoothing * mean_c logits[r, c]
// Rows whose target is `ignore` (by override) give (0, 0) whatever their logits; targets beyond the classes give
// `invalid`, a NaN. logits: [rows, cols]   targets: [rows]   stats, terms: [rows, 2], summed further by sum_rows
// LANES invocations share a row (shared/rows.wgsl); grid folded.
//#include "shared/exp.wgsl"
//#include "shared/rows.wgsl"

struct CrossEntropyParams {
    rows: u32,
    cols: u32,
    ignore: u32,
    smoothing: f32,
    invalid: f32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read_write> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> terms: array<f32>;
@group(0) @binding(4) var<uniform> params: CrossEntropyParams;

override HAS_IGNORE: u32 = 0u;
override SMOOTH: u32 = 0u;

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
    let start = row * cols;

    var top = REDUCE_LOWEST;
    for (var c = lane; c < cols; c += LANES) {
        top = max(top, logits[start + c]);
    }
    top = reduce_max(top, local);
    var sum = 0.0;
    var below = 0.0;
    for (var c = lane; c < cols; c += LANES) {
        let d = logits[start + c] - top;
        sum += exp_or_nan(d);
        if SMOOTH != 0u {
            below += d;
        }
    }
    let log_sum = log(reduce_sum(sum, local));
    if SMOOTH != 0u {
        below = reduce_sum(below, local);
    }
    if !place.inside || lane != 0u {
        return;
    }
    let wanted = targets[row];
    var loss = log_sum - (logits[start + min(wanted, cols - 1u)] - top);
    if SMOOTH != 0u {
        loss = log_sum - (1.0 - params.smoothing) * (log_sum - loss) - params.smoothing * below / f32(cols);
    }
    if wanted >= cols {
        loss = params.invalid;
    }
    var weight = 1.0;
    if HAS_IGNORE != 0u {
        loss = select(loss, 0.0, wanted == params.ignore);
        weight = select(1.0, 0.0, wanted == params.ignore);
    }
    // Kept apart: the sum of a large maximum and a small logarithm would lose the digits of the gradient.
    stats[2u * row] = top;
    stats[2u * row + 1u] = log_sum;
    terms[2u * row] = loss;
    terms[2u * row + 1u] = weight;
}
