// The factor of gradient clipping by global norm.
//   norm = sqrt(sum_i squares[i])      y = [min(1, max_norm / (norm + 1e-6)), norm]        as PyTorch's clip_grad_norm_
// squares: [len]   y: [2]
// One workgroup; LANES invocations share the sum (shared/reduce.wgsl). A norm that is not finite gives a factor of NaN.
//#include "shared/reduce.wgsl"

struct ClipScaleParams {
    len: u32,
    max_norm: f32,
}

@group(0) @binding(0) var<storage, read> squares: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: ClipScaleParams;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) local: u32) {
    // Surplus invocations repeat the sum and store nothing.
    var sum = 0.0;
    for (var i = local % LANES; i < params.len; i += LANES) {
        sum += squares[i];
    }
    let norm = sqrt(reduce_sum(sum, local));
    if local == 0u {
        // By bits, since compilers may assume that no NaN exists: a poisoned gradient must not pass for a small one.
        let finite = (bitcast<u32>(norm) & 0x7f800000u) != 0x7f800000u;
        let factor = min(1.0, params.max_norm / (norm + 1e-6));
        y[0] = select(bitcast<f32>(bitcast<u32>(norm) | 0x7fc00000u), factor, finite);
        y[1] = norm;
    }
}
