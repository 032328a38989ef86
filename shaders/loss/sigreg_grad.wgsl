// Gradient of the mean over groups and columns of sigreg.wgsl's statistic.
//   dh[t, b, k] = factor * grad[0] * sum_j (pulls[t, j - 1, 1, k] cos(t_j h[t, b, k]) - pulls[t, j - 1, 0, k] sin(t_j h[t, b, k]))
// grad: [1]   h, dh: [groups, rows, cols]   pulls: [groups, knots, 2, cols]   factor = 1 / (groups * cols), t_j = j * spacing
// One invocation per group, four samples, which share the loads of pulls, and column; grid folded (shared/index.wgsl). One
// cosine and sine of the spacing is multiplied up; every 16 knots it is taken anew, so that rounding stays below 2e-6.
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

// Cosines and sines of four angles.
fn cos_sin4(x: vec4<f32>) -> mat2x4<f32> {
    let a = cos_sin(x.x);
    let b = cos_sin(x.y);
    let c = cos_sin(x.z);
    let d = cos_sin(x.w);
    return mat2x4<f32>(vec4<f32>(a.x, b.x, c.x, d.x), vec4<f32>(a.y, b.y, c.y, d.y));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    let cols = params.cols;
    let rows = params.rows;
    let fours = (rows + 3u) / 4u;
    let k = i % cols;
    let b = i / cols % fours * 4u;
    let t = i / cols / fours;
    if t >= params.groups {
        return;
    }
    let samples = min(vec4<u32>(b) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(rows - 1u));
    let places = (vec4<u32>(t * rows) + samples) * cols + vec4<u32>(k);
    let x = vec4<f32>(h[places.x], h[places.y], h[places.z], h[places.w]);
    let z1 = cos_sin4(params.spacing * x);
    var z = z1;
    var at = t * params.knots * 2u * cols + k;
    var sum = vec4<f32>();
    for (var j = 1u; j <= params.knots; j++) {
        sum += pulls[at + cols] * z[0] - pulls[at] * z[1];
        at += 2u * cols;
        if j % 16u == 0u && j < params.knots {
            z = cos_sin4(f32(j + 1u) * params.spacing * x);
        } else {
            z = mat2x4<f32>(z[0] * z1[0] - z[1] * z1[1], z[0] * z1[1] + z[1] * z1[0]);
        }
    }
    let result = params.factor * grad[0] * sum;
    dh[places.x] = result.x;
    if b + 1u < rows {
        dh[places.y] = result.y;
    }
    if b + 2u < rows {
        dh[places.z] = result.z;
    }
    if b + 3u < rows {
        dh[places.w] = result.w;
    }
}
