// Normalisation of columns by their own statistics.
//   y[r, c] = (x[r, c] - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c]
//   mean[c] = mean_r x[r, c]      variance[c] = mean_r (x[r, c] - mean[c])^2
// x, y: [rows, cols]   weight, bias: [cols], absent by override   mean, variance: [cols]
// LANES invocations share a column (norm/columns.wgsl), lane l has the rows l, l + LANES, ..; grid: groups of WIDTH
// columns, folded. The variance is taken around the mean in a pass of its own, which also finds by how much rounding
// had moved the mean: columns with a large mean keep their digits.
//#include "norm/columns.wgsl"

struct BatchNormParams {
    rows: u32,
    cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> variance: array<f32>;
@group(0) @binding(6) var<uniform> params: BatchNormParams;

override HAS_WEIGHT: u32 = 0u;
override HAS_BIAS: u32 = 0u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = own_column(group, groups, local, params.cols);
    let c = place.index;
    let cols = params.cols;
    let count = f32(params.rows);
    let end = select(0u, params.rows, place.inside);

    var sum = 0.0;
    for (var r = place.lane; r < end; r += LANES) {
        sum += x[r * cols + c];
    }
    let near = sum_of_column(vec2<f32>(sum, 0.0), local).x / count;
    var sums = vec2<f32>();
    for (var r = place.lane; r < end; r += LANES) {
        let d = x[r * cols + c] - near;
        sums = vec2<f32>(sums.x + d, fma(d, d, sums.y));
    }
    sums = sum_of_column(sums, local) / count;
    if !place.inside {
        return;
    }
    let centre = near + sums.x;
    var spread = sums.y - sums.x * sums.x;
    // Rounding may go below zero; NaN must stay.
    spread = select(spread, 0.0, spread < 0.0);
    let scale = 1.0 / sqrt(spread + params.eps);
    for (var r = place.lane; r < end; r += LANES) {
        var v = (x[r * cols + c] - centre) * scale;
        if HAS_WEIGHT != 0u {
            v *= weight[c];
        }
        if HAS_BIAS != 0u {
            v += bias[c];
        }
        y[r * cols + c] = v;
    }
    if place.lane == 0u {
        mean[c] = centre;
        variance[c] = spread;
    }
}
