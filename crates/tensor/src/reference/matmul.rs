//! Matrix product.

use super::activation::activate;
use vljepa_shaders::Activation;

/// Which operand is stored transposed; the discriminants are `LAYOUT` of `matmul/matmul_tile4.wgsl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Layout {
    /// `a [m, k] · b [k, n]`
    #[default]
    Nn = 0,
    /// `a [m, k] · b [n, k]ᵀ`: a linear layer with weights `[out, in]`.
    Nt = 1,
    /// `a [k, m]ᵀ · b [k, n]`: the gradient of such weights.
    Tn = 2,
}

/// `act(alpha * a · b + bias) + residual` for one pair of matrices: `m`, `n`, `k` as in [`crate::ops::matmul`].
#[allow(clippy::too_many_arguments)]
pub fn matmul(
    a: &[f32],
    b: &[f32],
    (m, n, k): (usize, usize, usize),
    layout: Layout,
    alpha: f32,
    bias: Option<&[f32]>,
    activation: Activation,
    residual: Option<&[f32]>,
) -> Vec<f32> {
    let mut c = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let mut sum = 0.0f64;
            for l in 0..k {
                let x = if layout == Layout::Tn { a[l * m + i] } else { a[i * k + l] };
                let y = if layout == Layout::Nt { b[j * k + l] } else { b[l * n + j] };
                sum += f64::from(x) * f64::from(y);
            }
            let mut v = f64::from(alpha) * sum + bias.map_or(0.0, |b| f64::from(b[j]));
            v = activate(v, activation);
            v += residual.map_or(0.0, |r| f64::from(r[i * n + j]));
            c.push(v as f32);
        }
    }
    c
}
