// The statistic of SIGReg (LeJEPA, arXiv 2511.08544) along each direction, from the sums of sigreg_sums.wgsl: how far the samples'
// characteristic function, C = mean cos(t_j h) and S = mean sin(t_j h), is from that of a standard normal distribution.
//   stats[t, k] = rows * sum_j w_j n_j ((C - n_j)^2 + S^2)      n_j = exp(-t_j^2 / 2), w the weights of the trapezoid rule
//   pulls[t, j - 1, 0, k] = 2 w_j n_j t_j (C - n_j)      pulls[t, j - 1, 1, k] = 2 w_j n_j t_j S      for the gradient
// sums: [stretches, groups, knots, 2, cols]   table: [knots, 3], n_j, rows * w_j n_j and 2 w_j n_j t_j for j = 1..knots
// stats: [groups, cols]   pulls: [groups, knots, 2, cols]
// One invocation per group and column; grid folded (shared/index.wgsl). The table is made by the host: exp is not exact enough
// on every adapter.
//#include "shared/index.wgsl"

struct SigregParams {
    groups: u32,
    rows: u32,
    cols: u32,
    knots: u32,
    stretches: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read_write> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> pulls: array<f32>;
@group(0) @binding(4) var<uniform> params: SigregParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i >= params.groups * params.cols {
        return;
    }
    let cols = params.cols;
    let start = i / cols * params.knots * 2u * cols + i % cols;
    let pitch = params.groups * params.knots * 2u * cols;
    var total = 0.0;
    for (var j = 0u; j < params.knots; j++) {
        let at = start + 2u * j * cols;
        var c = 0.0;
        var s = 0.0;
        for (var stretch = 0u; stretch < params.stretches; stretch++) {
            c += sums[stretch * pitch + at];
            s += sums[stretch * pitch + at + cols];
        }
        c = c / f32(params.rows) - table[3u * j];
        s = s / f32(params.rows);
        total = fma(table[3u * j + 1u], fma(c, c, s * s), total);
        pulls[at] = table[3u * j + 2u] * c;
        pulls[at + cols] = table[3u * j + 2u] * s;
    }
    stats[i] = total;
}
