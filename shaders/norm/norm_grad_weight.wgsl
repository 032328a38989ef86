// Gradient of norm.wgsl with respect to its weight, by stretches of rows.
//   dw[s, c] = sum_{r in stretch s} grad[r, c] * (x[r, c] - mean[r]) * scale[r]
// grad, x: [rows, cols]   stats: [rows, 2], mean and scale   dw: [stretches, cols], summed further by sum_rows
// One invocation per element of dw, so that neighbours read neighbours; grid folded. Sums in the order of rows.
//#include "shared/index.wgsl"

struct NormGradWeightParams {
    rows: u32,
    cols: u32,
    stretch: u32,
    stretches: u32,
}

@group(0) @binding(0) var<storage, read> grad: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;
@group(0) @binding(4) var<uniform> params: NormGradWeightParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i >= params.stretches * params.cols {
        return;
    }
    let c = i % params.cols;
    let first = i / params.cols * params.stretch;
    let end = min(first + params.stretch, params.rows);
    var sum = 0.0;
    for (var r = first; r < end; r++) {
        let at = r * params.cols + c;
        sum = fma(grad[at], (x[at] - stats[2u * r]) * stats[2u * r + 1u], sum);
    }
    dw[i] = sum;
}
