//! Pointwise arithmetic of two operands.

/// What [`binary`] computes from `alpha * a` and `beta * b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum BinaryOp {
    /// Sum.
    Add = 0,
    /// Product.
    Mul = 1,
    /// Quotient.
    Div = 2,
    /// Larger.
    Max = 3,
    /// Smaller.
    Min = 4,
}

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
