// Activations applied where a value is already in a register. Codes equal vljepa_shaders::Activation.
//   1 GELU, exact:  x * Phi(x), Phi from erf
//   2 GELU, tanh:   0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
//   3 SiLU:         x / (1 + exp(-x))
const ACT_NONE: u32 = 0u;
const ACT_GELU: u32 = 1u;
const ACT_GELU_TANH: u32 = 2u;
const ACT_SILU: u32 = 3u;

// erf by the rational approximation 7.1.26 of Abramowitz and Stegun would give 1.5e-7 absolute only;
// this is the W. J. Cody style split: odd polynomial near 0, exp(-x^2) times a polynomial in 1/(1 + x/2) elsewhere.
fn erf1(x: f32) -> f32 {
    let a = abs(x);
    let t = 1.0 / (1.0 + 0.5 * a);
    let tail = t * exp(-a * a - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418
        + t * (-0.18628806 + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587
        + t * (-0.82215223 + t * 0.17087277)))))))));
    let x2 = x * x;
    let near = x * (1.128379167 + x2 * (-0.376126389 + x2 * (0.112837917 + x2 * (-0.026866170
        + x2 * (0.005223978 + x2 * -0.000854833)))));
    return select(sign(x) * (1.0 - tail), near, a < 0.5);
}

fn sigmoid1(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-x));
}

// tanh overflows to NaN on drivers that expand it into exponentials: clamp where it has saturated.
fn tanh1(x: f32) -> f32 {
    return tanh(clamp(x, -10.0, 10.0));
}

fn activate1(x: f32, code: u32) -> f32 {
    if code == ACT_GELU {
        return 0.5 * x * (1.0 + erf1(x * 0.7071067811865476));
    }
    if code == ACT_GELU_TANH {
        return 0.5 * x * (1.0 + tanh1(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    }
    if code == ACT_SILU {
        return x * sigmoid1(x);
    }
    return x;
}

// Derivative of activate1 with respect to x.
fn activate1_grad(x: f32, code: u32) -> f32 {
    if code == ACT_GELU {
        let phi = 0.5 * (1.0 + erf1(x * 0.7071067811865476));
        return phi + x * 0.3989422804014327 * exp(-0.5 * x * x);
    }
    if code == ACT_GELU_TANH {
        let u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
        let t = tanh1(u);
        return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * 0.7978845608028654 * (1.0 + 0.134145 * x * x);
    }
    if code == ACT_SILU {
        let s = sigmoid1(x);
        return s * (1.0 + x * (1.0 - s));
    }
    return 1.0;
}

fn activate4(x: vec4<f32>, code: u32) -> vec4<f32> {
    if code == ACT_NONE {
        return x;
    }
    return vec4<f32>(activate1(x.x, code), activate1(x.y, code), activate1(x.z, code), activate1(x.w, code));
}
