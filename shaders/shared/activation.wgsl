// Activations applied where a value is already in a register. Codes equal vljepa_shaders::Activation.
//   1 GELU, exact:  x * Phi(x), Phi the normal distribution function
//   2 GELU, tanh:   0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
//   3 SiLU:         x / (1 + exp(-x))
const ACT_NONE: u32 = 0u;
const ACT_GELU: u32 = 1u;
const ACT_GELU_TANH: u32 = 2u;
const ACT_SILU: u32 = 3u;

// erfc for a >= 0: the Chebyshev fit of Numerical Recipes (erfcc), fractional error below 1.2e-7 before rounding.
fn erfc1(a: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.5 * a);
    return t * exp(-a * a - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418
        + t * (-0.18628806 + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587
        + t * (-0.82215223 + t * 0.17087277)))))))));
}

// Half the Maclaurin polynomial of erf up to x^11; for |x| < 0.5 it leaves out less than 2e-8.
fn half_erf_near(x: f32) -> f32 {
    let x2 = x * x;
    return x * (0.564189584 + x2 * (-0.188063195 + x2 * (0.056418958 + x2 * (-0.013433085
        + x2 * (0.002611989 + x2 * -0.000427417)))));
}

// x * Phi(x). The tail is taken off (or kept alone for negative x), so that nothing cancels.
fn gelu1(x: f32) -> f32 {
    // Beyond 14 the tail is zero in f32, and infinity times zero must not appear.
    let c = clamp(x, -14.0, 14.0);
    let a = abs(c) * 0.7071067811865476;
    let tail = 0.5 * c * erfc1(a);
    let far = select(x - tail, tail, x < 0.0);
    return select(far, x * (0.5 + half_erf_near(c * 0.7071067811865476)), a < 0.5);
}

fn gelu1_grad(x: f32) -> f32 {
    let c = clamp(x, -14.0, 14.0);
    let a = abs(c) * 0.7071067811865476;
    let tail = 0.5 * erfc1(a);
    let far = select(1.0 - tail, tail, x < 0.0);
    let phi = select(far, 0.5 + half_erf_near(c * 0.7071067811865476), a < 0.5);
    return phi + c * 0.3989422804014327 * exp(-0.5 * c * c);
}

// The logistic function s(x) and s(-x) = 1 - s(x), neither by cancellation. Beyond 80 both have saturated,
// and exp must not overflow: infinity times zero would follow.
fn logistic2(x: f32) -> vec2<f32> {
    let e = exp(-clamp(x, -80.0, 80.0));
    let s = 1.0 / (1.0 + e);
    return vec2<f32>(s, e * s);
}

// The tanh form is x s(2u), by (1 + tanh u) / 2 = s(2u); this is 2u.
fn gelu_tanh_argument(x: f32) -> f32 {
    return 1.5957691216057308 * (x + 0.044715 * x * x * x);
}

fn activate1(x: f32, code: u32) -> f32 {
    if code == ACT_GELU {
        return gelu1(x);
    }
    if code == ACT_GELU_TANH {
        return x * logistic2(gelu_tanh_argument(x)).x;
    }
    if code == ACT_SILU {
        return x * logistic2(x).x;
    }
    return x;
}

// Derivative of activate1 with respect to x.
fn activate1_grad(x: f32, code: u32) -> f32 {
    if code == ACT_GELU {
        return gelu1_grad(x);
    }
    if code == ACT_GELU_TANH {
        let s = logistic2(gelu_tanh_argument(x));
        return s.x + x * s.x * s.y * 1.5957691216057308 * (1.0 + 0.134145 * x * x);
    }
    if code == ACT_SILU {
        let s = logistic2(x);
        return s.x * (1.0 + x * s.y);
    }
    return 1.0;
}

fn activate4(x: vec4<f32>, code: u32) -> vec4<f32> {
    if code == ACT_NONE {
        return x;
    }
    return vec4<f32>(activate1(x.x, code), activate1(x.y, code), activate1(x.z, code), activate1(x.w, code));
}
