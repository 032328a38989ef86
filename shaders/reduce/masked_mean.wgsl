// Mean over the real tokens of each sample.
//   y[z, c] = sum_{n: mask[z, n] != 0} x[z, n, c] / count        0 without a real token
// x: [batch, tokens, cols]   mask: [batch, tokens], absent by override: all are real   y: [batch, cols]
// factor: [batch], 1 / count (0 without a real token), for the gradient
// Pads are left out, not multiplied by zero: what stands there may be anything.
// One invocation per element of y, so that neighbours read neighbours; grid folded. Sums in the order of tokens.
//#include "shared/index.wgsl"

struct MaskedMeanParams {
    batch: u32,
    tokens: u32,
    cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> factor: array<f32>;
@group(0) @binding(4) var<uniform> params: MaskedMeanParams;

override HAS_MASK: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i >= params.batch * params.cols {
        return;
    }
    let z = i / params.cols;
    let c = i % params.cols;
    var sum = 0.0;
    var count = 0.0;
    for (var n = 0u; n < params.tokens; n++) {
        let token = z * params.tokens + n;
        let v = x[token * params.cols + c];
        if HAS_MASK == 0u {
            sum += v;
        } else {
            let real = mask[token] != 0u;
            sum += select(0.0, v, real);
            count += select(0.0, 1.0, real);
        }
    }
    if HAS_MASK == 0u {
        count = f32(params.tokens);
    }
    let share = select(0.0, 1.0 / max(count, 1.0), count > 0.0);
    y[i] = sum * share;
    if c == 0u {
        factor[z] = share;
    }
}
