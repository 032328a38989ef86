// Gradient of norm.wgsl with respect to its input, with n = (x - mean) * scale and h = grad * w:
//   0 layer norm  dx = scale * (h - mean(h) - n * mean(h * n))
//   1 RMS norm    dx = scale * (h - n * mean(h * n))
//   2 L2          dx = scale * (h - n * sum(h * n)), and scale * h where the norm was below eps
// grad, x, dx: [rows, cols]   weight: [cols]   stats: [rows, 2], mean and scale
// LANES invocations share a row (shared/rows.wgsl); grid folded.
//#include "shared/rows.wgsl"

struct NormParams {
    rows: u32,
    cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> grad: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(5) var<uniform> params: NormParams;

override MODE: u32 = 0u;
override WEIGHT: u32 = 0u;

fn weighted_grad(at: u32, c: u32) -> f32 {
    var h = grad[at];
    if WEIGHT == 1u {
        h *= weight[c];
    }
    if WEIGHT == 2u {
        h *= 1.0 + weight[c];
    }
    return h;
}

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
    let mean = stats[2u * row];
    let scale = stats[2u * row + 1u];

    var sum = 0.0;
    var along = 0.0;
    for (var c = lane; c < cols; c += LANES) {
        let h = weighted_grad(start + c, c);
        if MODE == 0u {
            sum += h;
        }
        along = fma(h, (x[start + c] - mean) * scale, along);
    }
    along = reduce_sum(along, local);
    if MODE == 0u {
        sum = reduce_sum(sum, local) / f32(cols);
    }
    if MODE != 2u {
        along /= f32(cols);
    } else if scale * params.eps > 0.999999 {
        along = 0.0;
    }
    if !place.inside {
        return;
    }
    for (var c = lane; c < cols; c += LANES) {
        let at = start + c;
        dx[at] = scale * (weighted_grad(at, c) - sum - (x[at] - mean) * scale * along);
    }
}
