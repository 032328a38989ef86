// Empirical characteristic functions for SIGReg (sigreg.wgsl), by stretches of samples, at the knots t_j = j * spacing:
//   sums[s, t, j - 1, 0, k] = sum_{b in stretch s} cos(t_j h[t, b, k])      with [.., 1, k] the sine, j = 1..knots
// h: [groups, rows, cols]   sums: [stretches, groups, knots, 2, cols], stretch s covers rows s * stretch .. (s + 1) * stretch
// The knot 0, where every distribution is alike, is left out. One invocation per stretch, group, 16 knots and column, so that
// neighbours read neighbours; grid folded (shared/index.wgsl). One cosine and sine of the spacing is multiplied up to its
// 16th power, which adds less than 2e-6 of rounding; with SEVERAL, beyond 16 knots, a second one turns it to the first knot.
// Sums in f32, in the order of rows.
//#include "shared/index.wgsl"
//#include "shared/trig.wgsl"

struct SigregSumsParams {
    groups: u32,
    rows: u32,
    cols: u32,
    knots: u32,
    spacing: f32,
    stretch: u32,
    stretches: u32,
}

@group(0) @binding(0) var<storage, read> h: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> params: SigregSumsParams;

override SEVERAL: u32 = 0u;

// The product of complex numbers.
fn turn(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// Writes the sums of four knots, of which the last ones may not exist.
fn keep4(start: u32, knot: u32, c: vec4<f32>, s: vec4<f32>) {
    let pitch = 2u * params.cols;
    let at = start + knot * pitch;
    if knot < params.knots {
        sums[at] = c.x;
        sums[at + params.cols] = s.x;
    }
    if knot + 1u < params.knots {
        sums[at + pitch] = c.y;
        sums[at + pitch + params.cols] = s.y;
    }
    if knot + 2u < params.knots {
        sums[at + 2u * pitch] = c.z;
        sums[at + 2u * pitch + params.cols] = s.z;
    }
    if knot + 3u < params.knots {
        sums[at + 3u * pitch] = c.w;
        sums[at + 3u * pitch + params.cols] = s.w;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    let blocks = (params.knots + 15u) / 16u;
    let k = i % params.cols;
    let block = i / params.cols % blocks;
    // Stretch and group in one number.
    let place = i / params.cols / blocks;
    if place >= params.stretches * params.groups {
        return;
    }
    let t = place % params.groups;
    let first = place / params.groups * params.stretch;
    let end = min(first + params.stretch, params.rows);
    let skipped = f32(16u * block) * params.spacing;

    var c0 = vec4<f32>();
    var c1 = vec4<f32>();
    var c2 = vec4<f32>();
    var c3 = vec4<f32>();
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var b = first; b < end; b++) {
        let x = h[(t * params.rows + b) * params.cols + k];
        let z1 = cos_sin(params.spacing * x);
        let z2 = turn(z1, z1);
        let z3 = turn(z2, z1);
        let z4 = turn(z2, z2);
        var re = vec4<f32>(z1.x, z2.x, z3.x, z4.x);
        var im = vec4<f32>(z1.y, z2.y, z3.y, z4.y);
        if SEVERAL != 0u {
            let start = cos_sin(skipped * x);
            let turned = re * start.x - im * start.y;
            im = re * start.y + im * start.x;
            re = turned;
        }
        c0 += re;
        s0 += im;
        let re1 = re * z4.x - im * z4.y;
        let im1 = re * z4.y + im * z4.x;
        c1 += re1;
        s1 += im1;
        let re2 = re1 * z4.x - im1 * z4.y;
        let im2 = re1 * z4.y + im1 * z4.x;
        c2 += re2;
        s2 += im2;
        c3 += re2 * z4.x - im2 * z4.y;
        s3 += re2 * z4.y + im2 * z4.x;
    }
    let start = place * params.knots * 2u * params.cols + k;
    let knot = 16u * block;
    keep4(start, knot, c0, s0);
    keep4(start, knot + 4u, c1, s1);
    keep4(start, knot + 8u, c2, s2);
    keep4(start, knot + 12u, c3, s3);
}
