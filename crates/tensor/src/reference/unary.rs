//! Functions of one number.

/// What [`unary`] computes of `z = alpha * x + beta`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum UnaryOp {
    /// `z` itself.
    Affine,
    /// Exponential.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// Clamped to `[low, high]`; its gradient is 1 inside and on the bounds, 0 outside.
    Clamp {
        /// Lower bound.
        low: f32,
        /// Upper bound.
        high: f32,
    },
    /// Absolute value; its gradient at 0 is 0.
    Abs,
    /// Sine, of angles in radians up to some hundred turns.
    Sin,
    /// Cosine, of angles in radians up to some hundred turns.
    Cos,
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
        UnaryOp::Abs => (z.abs(), f64::from(i8::from(z > 0.0) - i8::from(z < 0.0))),
        UnaryOp::Sin => (z.sin(), z.cos()),
        UnaryOp::Cos => (z.cos(), -z.sin()),
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
