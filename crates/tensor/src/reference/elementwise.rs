//! Pointwise arithmetic.

use half::f16;
use vljepa_shaders::Activation;

use super::activation::{activate, activate_grad};
use crate::ops::{BinaryOp, UnaryOp};

/// `alpha * a OP beta * b`, with `b` repeated.
pub fn binary(op: BinaryOp, a: &[f32], b: &[f32], alpha: f32, beta: f32) -> Vec<f32> {
    let one = |(i, &x): (usize, &f32)| {
        let (x, y) = (f64::from(alpha) * f64::from(x), f64::from(beta) * f64::from(b[i % b.len()]));
        (match op {
            BinaryOp::Add => x + y,
            BinaryOp::Mul => x * y,
            BinaryOp::Div => x / y,
            BinaryOp::Max => x.max(y),
            BinaryOp::Min => x.min(y),
        }) as f32
    };
    a.iter().enumerate().map(one).collect()
}

/// `op(z)` and its derivative, in f64.
pub fn unary_at(op: UnaryOp, z: f64) -> (f64, f64) {
    match op {
        UnaryOp::Affine => (z, 1.0),
        UnaryOp::Exp => (z.exp(), z.exp()),
        UnaryOp::Log => (z.ln(), 1.0 / z),
        UnaryOp::Sqrt => (z.sqrt(), 0.5 / z.sqrt()),
        UnaryOp::Clamp { low, high } => {
            let (low, high) = (f64::from(low), f64::from(high));
            (z.clamp(low, high), if (low..=high).contains(&z) { 1.0 } else { 0.0 })
        }
    }
}

/// `op(alpha * x + beta)`.
pub fn unary(op: UnaryOp, x: &[f32], alpha: f32, beta: f32) -> Vec<f32> {
    x.iter().map(|&x| unary_at(op, f64::from(alpha) * f64::from(x) + f64::from(beta)).0 as f32).collect()
}

/// Gradient of [`unary`].
pub fn unary_backward(op: UnaryOp, x: &[f32], dy: &[f32], alpha: f32, beta: f32) -> Vec<f32> {
    let one = |(&x, &g): (&f32, &f32)| {
        let alpha = f64::from(alpha);
        (f64::from(g) * alpha * unary_at(op, alpha * f64::from(x) + f64::from(beta)).1) as f32
    };
    x.iter().zip(dy).map(one).collect()
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

/// Rounded to half precision and back.
pub fn round_f16(x: &[f32]) -> Vec<f32> {
    x.iter().map(|&x| f16::from_f32(x).to_f32()).collect()
}

/// What rows of `cols` numbers are as signed bytes with a scale each (twin of [`crate::Dtype::I8`]): multiples of the row's
/// largest magnitude over 127, NaN where a number of the row is not finite.
pub fn round_i8(x: &[f32], cols: usize) -> Vec<f32> {
    let row = |row: &[f32]| -> Vec<f32> {
        if !row.iter().all(|v| v.is_finite()) {
            return vec![f32::NAN; row.len()];
        }
        let top = row.iter().fold(0.0f32, |top, v| top.max(v.abs()));
        let scale = top / 127.0;
        let byte = |v: &f32| (f64::from(*v) / f64::from(scale)).round_ties_even();
        row.iter().map(|v| if scale > 0.0 { (f64::from(scale) * byte(v)) as f32 } else { 0.0 }).collect()
    };
    x.chunks(cols.max(1)).flat_map(row).collect()
}
