//! Gradients of matrix products.

use super::tape::{Var, record};
use crate::error::{Error, Result};
use crate::ops::{self, Layout, Matmul};
use crate::tensor::Tensor;

/// Differentiable [`ops::matmul`] without epilogue.
///
/// # Errors
/// As [`ops::matmul`]; a shared second operand with a batched transposed first one is not differentiable here.
pub fn matmul(a: &Var, b: &Var, layout: Layout) -> Result<Var> {
    let options = Matmul { layout, ..Matmul::default() };
    let value = ops::matmul(a.value(), b.value(), &options)?;
    let shared = b.shape().len() == 2 && a.shape().len() > 2;
    if shared && layout == Layout::Tn {
        return Err(Error::shape(
            "matmul",
            "a batch of transposed operands with one shared second operand has no gradient",
        ));
    }
    let (at, bt) = (a.value().clone(), b.value().clone());
    Ok(record(&[a, b], value, move |grad, needs| {
        // A shared b sees every row of the batch: flatten a and the gradient to two axes.
        let flat = |t: &Tensor| if shared { t.reshape(&[t.rows_cols().0, t.rows_cols().1]) } else { Ok(t.clone()) };
        let (a2, g2) = (flat(&at)?, flat(grad)?);
        let da = needs[0].then(|| -> Result<_> {
            let d = match layout {
                Layout::Nn => ops::matmul(&g2, &bt, &Matmul::nt())?,
                Layout::Nt => ops::matmul(&g2, &bt, &Matmul::nn())?,
                Layout::Tn => ops::matmul(&bt, &g2, &Matmul::nt())?,
            };
            d.reshape(at.shape())
        });
        let db = needs[1].then(|| match layout {
            Layout::Nn => ops::matmul(&a2, &g2, &Matmul::tn()),
            Layout::Nt => ops::matmul(&g2, &a2, &Matmul::tn()),
            Layout::Tn => ops::matmul(&a2, &g2, &Matmul::nn()),
        });
        Ok(vec![da.transpose()?, db.transpose()?])
    }))
}

/// A linear layer: `x [.., in] · weight [out, in]ᵀ + bias [out]`.
///
/// # Errors
/// As [`ops::matmul`].
pub fn linear(x: &Var, weight: &Var, bias: Option<&Var>) -> Result<Var> {
    let value = ops::matmul(x.value(), weight.value(), &Matmul::nt().bias(bias.map(Var::value)))?;
    let (xt, wt) = (x.value().clone(), weight.value().clone());
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    Ok(record(&inputs, value, move |grad, needs| {
        let flat = |t: &Tensor| t.reshape(&[t.rows_cols().0, t.rows_cols().1]);
        let (x2, g2) = (flat(&xt)?, flat(grad)?);
        let dx = needs[0].then(|| ops::matmul(&g2, &wt, &Matmul::nn()).and_then(|d| d.reshape(xt.shape())));
        let dw = needs[1].then(|| ops::matmul(&g2, &x2, &Matmul::tn()));
        let mut grads = vec![dx.transpose()?, dw.transpose()?];
        if let Some(&need) = needs.get(2) {
            grads.push(need.then(|| ops::sum_rows(&g2)).transpose()?);
        }
        Ok(grads)
    }))
}
