// Arithmetic peak of the adapter: fused multiply-adds that stay in registers.
// 12 independent sums per invocation (3 vec4) hide the latency of the unit on processors and GPUs alike; a trip is
// written out four times so that the loop itself costs little: 96 floating-point operations a trip.
//#include "shared/index.wgsl"

struct FmaPeakParams {
    trips: u32,
    factor: f32,
    term: f32,
}

@group(0) @binding(0) var<storage, read_write> sums: array<f32>;
@group(0) @binding(1) var<uniform> params: FmaPeakParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = linear_invocation(group, groups, local, 64u);
    if at >= arrayLength(&sums) {
        return;
    }
    let factor = vec4<f32>(params.factor);
    let term = vec4<f32>(params.term);
    var x = vec4<f32>(f32(at), 1.0, 2.0, 3.0);
    var y = x + 4.0;
    var z = x + 8.0;
    for (var i = 0u; i < params.trips; i++) {
        x = fma(x, factor, term);
        y = fma(y, factor, term);
        z = fma(z, factor, term);
        x = fma(x, factor, term);
        y = fma(y, factor, term);
        z = fma(z, factor, term);
        x = fma(x, factor, term);
        y = fma(y, factor, term);
        z = fma(z, factor, term);
        x = fma(x, factor, term);
        y = fma(y, factor, term);
        z = fma(z, factor, term);
    }
    sums[at] = dot(x + y + z, vec4<f32>(1.0));
}
