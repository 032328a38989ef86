// Gradient of cross_entropy.wgsl followed by weighted_mean.wgsl.
//   dlogits[r, c] = grad / count * (exp(logits[r, c] - top - rest) - (1 - smoothing) * [c == target] - smoothing / cols)
// Ignored rows give 0. logits, dlogits: [rows, cols]   targets: [rows]   stats: [rows, 2], top and rest
// totals: [2], its second is the count   grad: [1]
// LANES invocations share a row; grid folded.
//#include "shared/index.wgsl"

struct CrossEntropyParams {
    rows: u32,
    cols: u32,
    ignore: u32,
    smoothing: f32,
    invalid: f32,
}

@group(0) @binding(0) var<storage, read> grad: array<f32>;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<storage, read> totals: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(6) var<uniform> params: CrossEntropyParams;

override LANES: u32 = 1u;
override HAS_IGNORE: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = linear_invocation(group, groups, local, 64u);
    let row = item / LANES;
    if row >= params.rows {
        return;
    }
    let cols = params.cols;
    let start = row * cols;
    let wanted = targets[row];
    let top = stats[2u * row];
    let rest = stats[2u * row + 1u];
    let share = grad[0] / max(totals[1], 1.0);
    let even = params.smoothing / f32(cols);
    for (var c = item % LANES; c < cols; c += LANES) {
        let hit = select(0.0, 1.0 - params.smoothing, c == wanted);
        var d = share * (exp(logits[start + c] - top - rest) - hit - even);
        if HAS_IGNORE != 0u {
            d = select(d, 0.0, wanted == params.ignore);
        }
        dlogits[start + c] = d;
    }
}
