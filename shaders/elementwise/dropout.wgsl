// Dropout, and its gradient, which is the same map.
//   y[i] = x[i] * scale where random(i, step, seed) >= threshold, else 0
// x, y: [len]   scale = 1 / (1 - p)   threshold = p * 2^32
// Which elements fall depends on the counter alone (shared/random.wgsl): nothing is kept for the backward pass.
// One invocation per element; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"
//#include "shared/random.wgsl"

struct DropoutParams {
    len: u32,
    step: u32,
    seed_low: u32,
    seed_high: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: DropoutParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i < params.len {
        let bits = random4(vec4<u32>(i, params.step, params.seed_low, params.seed_high)).x;
        y[i] = select(0.0, x[i] * params.scale, bits >= params.threshold);
    }
}
