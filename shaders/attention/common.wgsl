// Which keys a query sees. The including kernel declares `params: AttentionParams` and `key_mask`.
// Exponents are base 2: `params.scale` is scale * log2(e).

struct AttentionParams {
    batch: u32,
    heads: u32,
    kv_heads: u32,
    nq: u32,
    nk: u32,
    head_dim: u32,
    // Exclusive: |i - j| < window.
    window: u32,
    scale: f32,
    // Dropout of the probabilities (attention/dropout.wgsl).
    drop_step: u32,
    drop_seed_low: u32,
    drop_seed_high: u32,
    drop_threshold: u32,
    drop_scale: f32,
}

override CAUSAL: u32 = 0u;
override HAS_MASK: u32 = 0u;
override HAS_WINDOW: u32 = 0u;

const LOWEST: f32 = -3.4e38;
const LN2: f32 = 0.6931472;
const STEPS: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

// The keys first..end that query i may see by order and distance. The last query stands beside the last key.
fn key_range(i: u32) -> vec2<u32> {
    let at = i32(i + params.nk) - i32(params.nq);
    var first = 0;
    var end = i32(params.nk);
    if CAUSAL != 0u {
        end = min(end, at + 1);
    }
    if HAS_WINDOW != 0u {
        first = max(first, at - i32(params.window) + 1);
        end = min(end, at + i32(params.window));
    }
    return vec2<u32>(u32(max(first, 0)), u32(max(end, 0)));
}

// The queries first..end that may see key j.
fn query_range(j: u32) -> vec2<u32> {
    let at = i32(j + params.nq) - i32(params.nk);
    var first = 0;
    var end = i32(params.nq);
    if CAUSAL != 0u {
        first = max(first, at);
    }
    if HAS_WINDOW != 0u {
        first = max(first, at - i32(params.window) + 1);
        end = min(end, at + i32(params.window));
    }
    return vec2<u32>(u32(max(first, 0)), u32(max(end, 0)));
}

fn within(at: vec4<u32>, range: vec2<u32>) -> vec4<bool> {
    return (at >= vec4<u32>(range.x)) & (at < vec4<u32>(range.y));
}

fn key_is_real(b: u32, j: u32) -> bool {
    if HAS_MASK != 0u {
        return key_mask[b * params.nk + j] != 0u;
    }
    return true;
}

fn keys_are_real(b: u32, j: vec4<u32>) -> vec4<bool> {
    if HAS_MASK != 0u {
        let at = vec4<u32>(b * params.nk) + j;
        return vec4<u32>(key_mask[at.x], key_mask[at.y], key_mask[at.z], key_mask[at.w]) != vec4<u32>(0u);
    }
    return vec4<bool>(true);
}

fn query_address(b: u32, i: u32, h: u32) -> u32 {
    return ((b * params.nq + i) * params.heads + h) * params.head_dim;
}

fn key_address(b: u32, j: u32, g: u32) -> u32 {
    return ((b * params.nk + j) * params.kv_heads + g) * params.head_dim;
}

fn largest(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

fn total(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

// Logarithm that agrees with exp2 to rounding, by one Newton step: some drivers' log2 is good to 1e-5 only.
fn exact_log2(x: f32) -> f32 {
    let y = log2(x);
    return y + (x * exp2(-y) - 1.0) * 1.442695;
}
