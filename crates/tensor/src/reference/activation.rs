//! Activations, gated units and their derivatives, in f64.

use vljepa_shaders::Activation;

/// The error function, to about 1e-15: Maclaurin series near zero, a continued fraction for the complement elsewhere.
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a > 6.0 {
        return x.signum();
    }
    if a < 2.5 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-18 * sum.abs() && n < 200.0 {
            n += 1.0;
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        return sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    let mut tail = 0.0;
    for i in (1..=80).rev() {
        tail = 0.5 * f64::from(i) / (a + tail);
    }
    x.signum() * (1.0 - (-a * a).exp() / ((a + tail) * std::f64::consts::PI.sqrt()))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `activation(x)`.
pub fn activate(x: f64, activation: Activation) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Silu => x * sigmoid(x),
    }
}

/// Derivative of [`activate`] with respect to `x`.
pub fn activate_grad(x: f64, activation: Activation) -> f64 {
    match activation {
        Activation::None => 1.0,
        Activation::Gelu => {
            0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
                + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
        }
        Activation::GeluTanh => {
            let c = (2.0 / std::f64::consts::PI).sqrt();
            let t = (c * (x + 0.044715 * x.powi(3))).tanh();
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * c * (1.0 + 3.0 * 0.044715 * x * x)
        }
        Activation::Silu => sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x))),
    }
}

/// `activation(gate) * up`.
pub fn gated(gate: &[f32], up: &[f32], activation: Activation) -> Vec<f32> {
    gate.iter().zip(up).map(|(&g, &u)| (activate(g.into(), activation) * f64::from(u)) as f32).collect()
}

/// Gradients of [`gated`] with respect to `gate` and `up`.
pub fn gated_backward(gate: &[f32], up: &[f32], dy: &[f32], activation: Activation) -> (Vec<f32>, Vec<f32>) {
    let one = |i: usize| {
        let (g, u, d) = (f64::from(gate[i]), f64::from(up[i]), f64::from(dy[i]));
        ((d * u * activate_grad(g, activation)) as f32, (d * activate(g, activation)) as f32)
    };
    (0..gate.len()).map(one).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_matches_tabulated_values() {
        for (x, want) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
        ] {
            assert!((erf(x) - want).abs() < 1e-14, "{x}");
            assert!((erf(-x) + want).abs() < 1e-14, "-{x}");
        }
    }

    #[test]
    fn derivatives_match_differences() {
        for act in [Activation::None, Activation::Gelu, Activation::GeluTanh, Activation::Silu] {
            for x in [-4.0, -1.3, -0.1, 0.0, 0.2, 0.9, 3.5] {
                let h = 1e-5;
                let want = (activate(x + h, act) - activate(x - h, act)) / (2.0 * h);
                assert!((activate_grad(x, act) - want).abs() < 1e-8, "{act:?} at {x}");
            }
        }
    }
}
