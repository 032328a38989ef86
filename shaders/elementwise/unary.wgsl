// Functions of one tensor, and their gradients.
//   z = alpha * x[i] + beta
//   y[i] = f(z)                          without GRAD
//   y[i] = dy[i] * alpha * f'(z)         with GRAD
// f by override: 0 z, 1 exp, 2 log, 3 square root, 4 clamp to [low, high], 5 absolute value, 6 sine, 7 cosine
// x, dy, y: [len]; the gradient of the clamp is 1 on its bounds, that of the absolute value 0 at 0
// One invocation per element; grid folded (shared/index.wgsl).
//#include "shared/exp.wgsl"
//#include "shared/index.wgsl"
//#include "shared/trig.wgsl"

struct UnaryParams {
    len: u32,
    alpha: f32,
    beta: f32,
    low: f32,
    high: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: UnaryParams;

override OP: u32 = 0u;
override GRAD: u32 = 0u;

fn value(z: f32) -> f32 {
    if OP == 1u {
        return exp_or_nan(z);
    }
    if OP == 2u {
        return log(z);
    }
    if OP == 3u {
        return sqrt(z);
    }
    if OP == 4u {
        return clamp(z, params.low, params.high);
    }
    if OP == 5u {
        return abs(z);
    }
    if OP == 6u {
        return cos_sin(z).y;
    }
    if OP == 7u {
        return cos_sin(z).x;
    }
    return z;
}

fn slope(z: f32) -> f32 {
    if OP == 1u {
        return exp_or_nan(z);
    }
    if OP == 2u {
        return 1.0 / z;
    }
    if OP == 3u {
        return 0.5 / sqrt(z);
    }
    if OP == 4u {
        return select(0.0, 1.0, z >= params.low && z <= params.high);
    }
    if OP == 5u {
        return select(select(0.0, -1.0, z < 0.0), 1.0, z > 0.0);
    }
    if OP == 6u {
        return cos_sin(z).x;
    }
    if OP == 7u {
        return -cos_sin(z).y;
    }
    return 1.0;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i >= params.len {
        return;
    }
    let z = params.alpha * x[i] + params.beta;
    if GRAD != 0u {
        y[i] = dy[i] * params.alpha * slope(z);
    } else {
        y[i] = value(z);
    }
}
