// Gradient of the mean over groups and columns of sigreg.wgsl's statistic.
//   dh[t, b, k] = factor * grad[0] * sum_j (pulls[t, j - 1, 1, k] cos(t_j h[t, b, k]) - pulls[t, j - 1, 0, k] sin(t_j h[t, b, k]))
// grad: [1]   h, dh: [groups, rows, cols]   pulls: [groups, knots, 2, cols]   factor = 1 / (groups * cols), t_j = j * spacing
// One invocation per element; grid folded (shared/index.wgsl). One cosine and sine of the spacing is multiplied up; every 16
// knots it is taken anew, so that rounding stays below 2e-6.
//#include "shared/index.wgsl"
//#include "shared/trig.wgsl"

struct SigregGradParams {
    groups: u32,
    rows: u32,
    cols: u32,
    knots: u32,
    spacing: f32,
    factor: f32,
}

@group(0) @binding(0) var<storage, read> grad: array<f32>;
@group(0) @binding(1) var<storage, read> h: array<f32>;
@group(0) @binding(2) var<storage, read> pulls: array<f32>;
@group(0) @binding(3) var<storage, read_write> dh: array<f32>;
@group(0) @binding(4) var<uniform> params: SigregGradParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i >= params.groups * params.rows * params.cols {
        return;
    }
    let cols = params.cols;
    let x = h[i];
    let z1 = cos_sin(params.spacing * x);
    var at = i / cols / params.rows * params.knots * 2u * cols + i % cols;
    var z = z1;
    var sum = 0.0;
    for (var j = 1u; j <= params.knots; j++) {
        sum = fma(pulls[at + cols], z.x, fma(-pulls[at], z.y, sum));
        at += 2u * cols;
        if j % 16u == 0u {
            z = cos_sin(f32(j + 1u) * params.spacing * x);
        } else {
            z = vec2<f32>(z.x * z1.x - z.y * z1.y, z.x * z1.y + z.y * z1.x);
        }
    }
    dh[i] = params.factor * grad[0] * sum;
}
