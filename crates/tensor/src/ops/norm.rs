//! Layer norm, RMS norm and L2 normalisation over the last axis.

use vljepa_shaders::kernels::norm::{NORM, NORM_GRAD_WEIGHT, NORM_GRAD_X, NormGradWeightParams, NormParams};

use super::elementwise::need_f32;
use super::reduce::{STRETCH, sum_rows};
use super::rows::{choose_lanes, rows_cols, same_shape};
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

/// What an RMS norm multiplies by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NormWeight {
    /// `w`: Llama, Qwen.
    #[default]
    Plain,
    /// `1 + w`: Gemma, whose stored weights start at zero.
    OnePlus,
}

/// Options of [`rms_norm`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNorm {
    /// Added to the mean square.
    pub eps: f32,
    /// How the weight enters.
    pub weight: NormWeight,
}

impl RmsNorm {
    /// Multiplies by the weight as it is.
    pub fn plain(eps: f32) -> Self {
        RmsNorm { eps, weight: NormWeight::Plain }
    }

    /// Multiplies by one plus the weight.
    pub fn one_plus(eps: f32) -> Self {
        RmsNorm { eps, weight: NormWeight::OnePlus }
    }
}

/// A normalised tensor with what its gradient needs.
#[derive(Clone, Debug)]
pub struct Normalised {
    /// The result, of the input's shape.
    pub value: Tensor,
    /// `[rows, 2]`: the mean that was subtracted (0 unless layer norm) and the factor of each row.
    pub stats: Tensor,
}

/// `MODE` of `norm/norm.wgsl`.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Mode {
    Layer = 0,
    Rms = 1,
    L2 = 2,
}

struct Spec<'a> {
    op: &'static str,
    mode: Mode,
    weight: Option<&'a Tensor>,
    one_plus: bool,
    eps: f32,
}

impl Spec<'_> {
    fn weight_code(&self) -> u32 {
        match self.weight {
            None => 0,
            Some(_) if self.one_plus => 2,
            Some(_) => 1,
        }
    }
}

fn forward(spec: &Spec<'_>, x: &Tensor, bias: Option<&Tensor>) -> Result<Normalised> {
    let (rows, cols) = rows_cols(spec.op, x)?;
    need_f32(spec.op, &[x])?;
    for (name, t) in [("weight", spec.weight), ("bias", bias)] {
        let Some(t) = t else { continue };
        need_f32(spec.op, &[t])?;
        if t.len() != cols {
            return Err(Error::shape(spec.op, format!("{name} {:?} for rows of {cols}", t.shape())));
        }
    }
    let value = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    let stats = Tensor::empty(x.device(), &[rows, 2], Dtype::F32)?;
    let lanes = choose_lanes(x.device().capabilities(), cols);
    let params = NormParams { rows: rows as u32, cols: cols as u32, eps: spec.eps };
    Launch::op(&NORM, [Some(x), spec.weight, bias, Some(&value), Some(&stats)])
        .overrides(&[
            ("MODE", spec.mode as u32),
            ("WEIGHT", spec.weight_code()),
            ("HAS_BIAS", bias.is_some().into()),
            ("LANES", lanes),
        ])
        .work(8 * x.len() as u64)
        .record_elements(x.device(), &params, rows as u64 * u64::from(lanes))?;
    Ok(Normalised { value, stats })
}

fn grad_x(spec: &Spec<'_>, grad: &Tensor, x: &Tensor, stats: &Tensor) -> Result<Tensor> {
    let (rows, cols) = rows_cols(spec.op, x)?;
    need_f32(spec.op, &[grad, x, stats])?;
    same_shape(spec.op, "gradient", grad, x)?;
    if stats.len() != 2 * rows {
        return Err(Error::shape(spec.op, format!("statistics {:?} for {rows} rows", stats.shape())));
    }
    let dx = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    let lanes = choose_lanes(x.device().capabilities(), cols);
    let params = NormParams { rows: rows as u32, cols: cols as u32, eps: spec.eps };
    Launch::op(&NORM_GRAD_X, [Some(grad), Some(x), spec.weight, Some(stats), Some(&dx)])
        .overrides(&[("MODE", spec.mode as u32), ("WEIGHT", spec.weight_code()), ("LANES", lanes)])
        .work(12 * x.len() as u64)
        .record_elements(x.device(), &params, rows as u64 * u64::from(lanes))?;
    Ok(dx)
}

fn grad_weight(op: &'static str, grad: &Tensor, x: &Tensor, stats: &Tensor) -> Result<Tensor> {
    let (rows, cols) = rows_cols(op, x)?;
    same_shape(op, "gradient", grad, x)?;
    let stretches = rows.div_ceil(STRETCH);
    let partial = Tensor::empty(x.device(), &[stretches, cols], Dtype::F32)?;
    let params = NormGradWeightParams {
        rows: rows as u32,
        cols: cols as u32,
        stretch: STRETCH as u32,
        stretches: stretches as u32,
    };
    Launch::op(&NORM_GRAD_WEIGHT, [Some(grad), Some(x), Some(stats), Some(&partial)])
        .work(4 * x.len() as u64)
        .record_elements(x.device(), &params, partial.len() as u64)?;
    if stretches == 1 { partial.reshape(&[cols]) } else { sum_rows(&partial) }
}

fn layer_spec(weight: Option<&Tensor>, eps: f32) -> Spec<'_> {
    Spec { op: "layer_norm", mode: Mode::Layer, weight, one_plus: false, eps }
}

fn rms_spec<'a>(weight: Option<&'a Tensor>, options: &RmsNorm) -> Spec<'a> {
    let one_plus = options.weight == NormWeight::OnePlus;
    Spec { op: "rms_norm", mode: Mode::Rms, weight, one_plus, eps: options.eps }
}

/// `(x - mean) / sqrt(variance + eps) * weight + bias` over the last axis, biased variance.
///
/// `x [.., cols]`, `weight [cols]`, `bias [cols]`, both optional, f32.
///
/// # Errors
/// [`Error::Shape`] when weight or bias do not have the length of a row or rows are empty, [`Error::Dtype`].
pub fn layer_norm(x: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f32) -> Result<Normalised> {
    forward(&layer_spec(weight, eps), x, bias)
}

/// Gradients of [`layer_norm`] with respect to `x`, `weight` and `bias`, each where `needs` says so.
///
/// `stats` are those of the forward pass.
///
/// # Errors
/// As [`layer_norm`].
pub fn layer_norm_backward(
    grad: &Tensor,
    x: &Tensor,
    weight: Option<&Tensor>,
    stats: &Tensor,
    eps: f32,
    needs: [bool; 3],
) -> Result<[Option<Tensor>; 3]> {
    let spec = layer_spec(weight, eps);
    Ok([
        needs[0].then(|| grad_x(&spec, grad, x, stats)).transpose()?,
        needs[1].then(|| grad_weight(spec.op, grad, x, stats)).transpose()?,
        needs[2].then(|| sum_rows(grad)).transpose()?,
    ])
}

/// `x / sqrt(mean(x²) + eps) * w` over the last axis, `w` as [`NormWeight`] says.
///
/// `x [.., cols]`, `weight [cols]`, optional, f32.
///
/// # Errors
/// As [`layer_norm`].
pub fn rms_norm(x: &Tensor, weight: Option<&Tensor>, options: &RmsNorm) -> Result<Normalised> {
    forward(&rms_spec(weight, options), x, None)
}

/// Gradients of [`rms_norm`] with respect to `x` and `weight`, each where `needs` says so.
///
/// # Errors
/// As [`rms_norm`].
pub fn rms_norm_backward(
    grad: &Tensor,
    x: &Tensor,
    weight: Option<&Tensor>,
    stats: &Tensor,
    options: &RmsNorm,
    needs: [bool; 2],
) -> Result<[Option<Tensor>; 2]> {
    let spec = rms_spec(weight, options);
    Ok([
        needs[0].then(|| grad_x(&spec, grad, x, stats)).transpose()?,
        needs[1].then(|| grad_weight(spec.op, grad, x, stats)).transpose()?,
    ])
}

fn l2_spec(eps: f32) -> Spec<'static> {
    Spec { op: "l2_normalize", mode: Mode::L2, weight: None, one_plus: false, eps }
}

/// `x / max(‖x‖, eps)` over the last axis.
///
/// # Errors
/// As [`layer_norm`].
pub fn l2_normalize(x: &Tensor, eps: f32) -> Result<Normalised> {
    forward(&l2_spec(eps), x, None)
}

/// Gradient of [`l2_normalize`]; where the norm was below `eps`, that of `x / eps`.
///
/// # Errors
/// As [`l2_normalize`].
pub fn l2_normalize_backward(grad: &Tensor, x: &Tensor, stats: &Tensor, eps: f32) -> Result<Tensor> {
    grad_x(&l2_spec(eps), grad, x, stats)
}
