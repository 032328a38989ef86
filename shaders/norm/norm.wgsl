// Normalisation of rows. MODE by override:
//   0 layer norm  y = (x - mean) * scale * w + b     scale = 1 / sqrt(mean((x - mean)^2) + eps)
//   1 RMS norm    y = x * scale * w                  scale = 1 / sqrt(mean(x^2) + eps)
//   2 L2          y = x * scale                      scale = 1 / max(sqrt(sum(x^2)), eps)
// x, y: [rows, cols]   weight, bias: [cols]   stats: [rows, 2], mean (0 but in mode 0) and scale
// WEIGHT by override: 0 none, 1 w = weight, 2 w = 1 + weight.
// LANES invocations share a row (shared/rows.wgsl); grid folded. The variance is taken around the mean in a pass of
// its own: rows with a large mean keep their digits.
//#include "shared/rows.wgsl"

struct NormParams {
    rows: u32,
    cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<f32>;
@group(0) @binding(5) var<uniform> params: NormParams;

override MODE: u32 = 0u;
override WEIGHT: u32 = 0u;
override HAS_BIAS: u32 = 0u;

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

    var mean = 0.0;
    if MODE == 0u {
        var sum = 0.0;
        for (var c = lane; c < cols; c += LANES) {
            sum += x[start + c];
        }
        mean = reduce_sum(sum, local) / f32(cols);
    }
    var squares = 0.0;
    for (var c = lane; c < cols; c += LANES) {
        let d = x[start + c] - mean;
        squares = fma(d, d, squares);
    }
    squares = reduce_sum(squares, local);
    var scale = 1.0 / sqrt(squares / f32(cols) + params.eps);
    if MODE == 2u {
        scale = 1.0 / max(sqrt(squares), params.eps);
    }
    if !place.inside {
        return;
    }
    for (var c = lane; c < cols; c += LANES) {
        var v = (x[start + c] - mean) * scale;
        if WEIGHT == 1u {
            v *= weight[c];
        }
        if WEIGHT == 2u {
            v *= 1.0 + weight[c];
        }
        if HAS_BIAS != 0u {
            v += bias[c];
        }
        y[start + c] = v;
    }
    if lane == 0u {
        stats[2u * row] = mean;
        stats[2u * row + 1u] = scale;
    }
}
