// Gradient of the mean of contrast.wgsl's losses with respect to the cosines, with s = scale * cosine:
//   dcosine[r, c] = factor * grad * scale * (shares[r] * (exp(s[r, c] - lse[r]) - [positive] / positives[r])
//                                            + the same of column c with shares[c], by override BOTH)
// cosine, dcosine: [rows, cols]   log_scale, grad: [1]   targets: [rows]   keys: [cols]
// shares: [rows], absent by override: all are 1 (loss/contrast_pairs.wgsl)
// stats: [rows, 2], with BOTH [rows + cols, 2]: log-sum-exp and 1 / positives of rows, then of columns
// One invocation per element; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"
//#include "loss/contrast_pairs.wgsl"

struct ContrastGradParams {
    rows: u32,
    cols: u32,
    factor: f32,
    max_log_scale: f32,
}

@group(0) @binding(0) var<storage, read> grad: array<f32>;
@group(0) @binding(1) var<storage, read> cosine: array<f32>;
@group(0) @binding(2) var<storage, read> log_scale: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<u32>;
@group(0) @binding(4) var<storage, read> keys: array<u32>;
@group(0) @binding(5) var<storage, read> shares: array<f32>;
@group(0) @binding(6) var<storage, read> stats: array<f32>;
@group(0) @binding(7) var<storage, read_write> dcosine: array<f32>;
@group(0) @binding(8) var<uniform> params: ContrastGradParams;

override BOTH: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i >= params.rows * params.cols {
        return;
    }
    let r = i / params.cols;
    let c = i % params.cols;
    let scale = exp(min(log_scale[0], params.max_log_scale));
    let s = scale * cosine[i];
    let own = own_column(r);
    // Positives and twins are symmetric where both directions are taken.
    var hit = c == own;
    var left_out = false;
    if DUPLICATES == 1u {
        left_out = !hit && is_twin(c, own_key(own, params.cols));
    }
    if DUPLICATES == 2u {
        hit = is_twin(c, own_key(own, params.cols));
    }
    var d = shared_out(exp(s - stats[2u * r]) - select(0.0, stats[2u * r + 1u], hit), r);
    if BOTH != 0u {
        let at = 2u * (params.rows + c);
        d += shared_out(exp(s - stats[at]) - select(0.0, stats[at + 1u], hit), c);
    }
    dcosine[i] = params.factor * grad[0] * scale * select(d, 0.0, left_out);
}
