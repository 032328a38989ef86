// Gradients of batch_norm.wgsl, or with FIXED of batch_norm_fixed.wgsl, with scale = 1 / sqrt(variance + eps) and
// n = (x - mean) * scale:
//   dweight[c] = sum_r grad[r, c] * n[r, c]      dbias[c] = sum_r grad[r, c]
//   dx[r, c] = weight[c] * scale[c] * (grad[r, c] - dbias[c] / rows - n[r, c] * dweight[c] / rows)
//   dx[r, c] = weight[c] * scale[c] * grad[r, c]      with FIXED, where the statistics do not depend on x
// grad, x, dx: [rows, cols]   weight: [cols], absent by override   mean, variance, dweight, dbias: [cols]
// Without NEED_X dx is not written, without SUMS (only with FIXED) dweight and dbias are not.
// LANES invocations share a column (norm/columns.wgsl), lane l has the rows l, l + LANES, ..; grid: groups of WIDTH
// columns, folded.
//#include "norm/columns.wgsl"

struct BatchNormParams {
    rows: u32,
    cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> grad: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> variance: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
@group(0) @binding(6) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(7) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(8) var<uniform> params: BatchNormParams;

override HAS_WEIGHT: u32 = 0u;
override FIXED: u32 = 0u;
override SUMS: u32 = 1u;
override NEED_X: u32 = 1u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = own_column(group, groups, local, params.cols);
    let c = place.index;
    let cols = params.cols;
    let end = select(0u, params.rows, place.inside);
    let centre = mean[c];
    let scale = 1.0 / sqrt(variance[c] + params.eps);

    // Of grad and of grad * n.
    var sums = vec2<f32>();
    if SUMS != 0u {
        for (var r = place.lane; r < end; r += LANES) {
            let at = r * cols + c;
            let g = grad[at];
            sums = vec2<f32>(sums.x + g, fma(g, (x[at] - centre) * scale, sums.y));
        }
        sums = sum_of_column(sums, local);
    }
    if !place.inside {
        return;
    }
    if NEED_X != 0u {
        var factor = scale;
        if HAS_WEIGHT != 0u {
            factor *= weight[c];
        }
        let means = sums / f32(params.rows);
        for (var r = place.lane; r < end; r += LANES) {
            let at = r * cols + c;
            var g = grad[at];
            if FIXED == 0u {
                g -= means.x + (x[at] - centre) * scale * means.y;
            }
            dx[at] = factor * g;
        }
    }
    if SUMS != 0u && place.lane == 0u {
        dbias[c] = sums.x;
        dweight[c] = sums.y;
    }
}
