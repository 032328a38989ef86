//! What keeps embeddings from becoming one point without negatives: SIGReg (LeJEPA, arXiv 2511.08544; the statistic as in LeVLJEPA's
//! public code) and VICReg (arXiv 2105.04906). Both take embeddings `[N, D]` that are not normalised.

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::{Layout, UnaryOp};
use vljepa_tensor::{Device, Tensor, ops};

use crate::config::{SigregConfig, VicregConfig};
use crate::error::Result;
use crate::random::{Purpose, Stream};

/// Where characteristic functions are compared: from 0 to [`LAST_KNOT`] in equal steps.
const KNOTS: usize = 17;
/// The last of them.
const LAST_KNOT: f32 = 3.0;
/// Added to variances before their root.
const VARIANCE_EPS: f32 = 1e-4;

/// Directions of unit length, `[dim, directions]`, a function of seed and step alone.
///
/// # Errors
/// What the device reports.
pub fn directions(device: &Device, config: &SigregConfig, dim: usize, (seed, step): (u64, u64)) -> Result<Tensor> {
    let mut dice = Stream::new(seed, Purpose::Direction, step);
    let count = config.directions;
    let mut values = vec![0.0f32; dim * count];
    for j in 0..count {
        let drawn: Vec<f64> = (0..dim).map(|_| dice.normal()).collect();
        let norm = drawn.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        drawn.iter().enumerate().for_each(|(i, v)| values[i * count + j] = (v / norm) as f32);
    }
    Ok(Tensor::from_f32(device, &[dim, count], &values)?)
}

/// How far embeddings lie from a standard normal distribution, seen along directions `[D, K]`: the mean over them of
/// N Σ_j w_j e^(−t_j²/2) ((mean cos t_j h − e^(−t_j²/2))² + (mean sin t_j h)²), where h are the N embeddings along one direction, t_j 17
/// knots on \[0, 3\], and w the weights of the trapezoid rule over both halves. Of embeddings `[T, N, D]`, as of T frames, the mean over the
/// T sets, each by itself.
///
/// # Errors
/// What the operators report.
pub fn sigreg(embeddings: &Var, directions: &Tensor) -> Result<Var> {
    let along = autograd::matmul(embeddings, &Var::constant(directions.clone()), Layout::Nn)?;
    let along = match *along.shape() {
        [rows, count] => along.reshape(&[1, rows, count])?,
        _ => along,
    };
    Ok(autograd::sigreg(&along, KNOTS, LAST_KNOT)?)
}

/// `[1, rows]` of 1/rows.
fn mean_of_rows(device: &Device, rows: usize) -> Result<Var> {
    Ok(Var::constant(ops::full(device, &[1, rows], 1.0 / rows.max(1) as f32)?))
}

/// The loss of VICReg: mean squared differences of predictions and targets, and of each how far the deviation of a component is
/// below 1 and how much components tell of each other, weighted as `config` says.
///
/// # Errors
/// What the operators report.
pub fn vicreg(predictions: &Var, targets: &Var, config: &VicregConfig) -> Result<Var> {
    let off = autograd::sub(predictions, targets)?;
    let mut sum = autograd::scale(&autograd::mean(&autograd::mul(&off, &off)?)?, config.invariance)?;
    // What is not trained needs no push.
    for side in [predictions, targets].into_iter().filter(|side| side.needs_grad()) {
        let (variance, covariance) = spread(side)?;
        sum = autograd::add(&sum, &autograd::scale(&variance, config.variance)?)?;
        sum = autograd::add(&sum, &autograd::scale(&covariance, config.covariance)?)?;
    }
    Ok(sum)
}

/// The mean over components of max(0, 1 − their standard deviation), and the sum of squared covariances of different components over
/// their number.
fn spread(x: &Var) -> Result<(Var, Var)> {
    let (rows, dim) = x.value().rows_cols();
    let freedom = 1.0 / (rows.max(2) - 1) as f32;
    let mean = autograd::matmul(&mean_of_rows(x.value().device(), rows)?, x, Layout::Nn)?;
    let centred = autograd::sub(x, &mean.reshape(&[dim])?)?;
    let ones = Var::constant(ops::full(x.value().device(), &[1, rows], freedom)?);
    let variances = autograd::matmul(&ones, &autograd::mul(&centred, &centred)?, Layout::Nn)?;
    let deviations = autograd::unary(UnaryOp::Sqrt, &variances, 1.0, VARIANCE_EPS)?;
    let short = autograd::unary(UnaryOp::Clamp { low: 0.0, high: f32::MAX }, &deviations, -1.0, 1.0)?;
    let covariances = autograd::scale(&autograd::matmul(&centred, &centred, Layout::Tn)?, freedom)?;
    let all = autograd::sum(&autograd::mul(&covariances, &covariances)?)?;
    let own = autograd::sum(&autograd::mul(&variances, &variances)?)?;
    let between = autograd::scale(&autograd::sub(&all, &own)?, 1.0 / dim.max(1) as f32)?;
    Ok((autograd::mean(&short)?, between))
}
