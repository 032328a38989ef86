//! What a training step does to parameters, in place and without reading anything back.

use vljepa_shaders::kernels::optim::{
    ADAMW, ASSIGN, AdamwParams, AssignParams, CLIP_SCALE, ClipScaleParams, SQUARE_SUMS, SquareSumsParams,
};

use super::elementwise::need_f32;
use super::reduce::sum_cols;
use super::rows::choose_lanes;
use crate::caps::Capabilities;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

pub use crate::reference::optim::AdamW;

fn same_len(op: &'static str, y: &Tensor, others: &[&Tensor]) -> Result<()> {
    need_f32(op, &[y])?;
    need_f32(op, others)?;
    match others.iter().find(|t| t.len() != y.len()) {
        Some(t) => Err(Error::shape(op, format!("{:?} for a tensor of {:?}", t.shape(), y.shape()))),
        None => Ok(()),
    }
}

fn check_factor(op: &'static str, factor: Option<&Tensor>) -> Result<()> {
    match factor {
        Some(f) if f.is_empty() => Err(Error::shape(op, "the factor is empty")),
        Some(f) => need_f32(op, &[f]),
        None => Ok(()),
    }
}

/// One step of AdamW on `param` with its gradient and its moments `m` and `v`, all f32 of one size. `step` counts from 1.
/// The gradient is multiplied by the first element of `factor`, if any: [`clip_scale`] makes one.
///
/// # Errors
/// [`Error::Shape`] when the sizes differ, [`Error::Invalid`] for step 0 or a decay outside `[0, 1)`.
pub fn adamw_assign(
    param: &Tensor,
    grad: &Tensor,
    m: &Tensor,
    v: &Tensor,
    step: u64,
    options: &AdamW,
    factor: Option<&Tensor>,
) -> Result<()> {
    const OP: &str = "adamw_assign";
    same_len(OP, param, &[grad, m, v])?;
    check_factor(OP, factor)?;
    let (beta1, beta2) = options.betas;
    if step == 0 || !(0.0..1.0).contains(&beta1) || !(0.0..1.0).contains(&beta2) {
        return Err(Error::Invalid(format!(
            "{OP}: step {step} with betas {:?}: steps count from 1 and betas lie in [0, 1)",
            options.betas
        )));
    }
    let power = step.min(i32::MAX as u64) as i32;
    let params = AdamwParams {
        len: param.len() as u32,
        keep: (1.0 - options.lr * options.weight_decay) as f32,
        beta1: beta1 as f32,
        one_minus_beta1: (1.0 - beta1) as f32,
        beta2: beta2 as f32,
        one_minus_beta2: (1.0 - beta2) as f32,
        eps: options.eps as f32,
        step_size: (options.lr / (1.0 - beta1.powi(power))) as f32,
        root_correction: (1.0 - beta2.powi(power)).sqrt() as f32,
    };
    Launch::op(&ADAMW, [Some(grad), factor, Some(param), Some(m), Some(v)])
        .overrides(&[("HAS_FACTOR", factor.is_some().into())])
        .record_elements(param.device(), &params, param.len() as u64)
}

/// `y = alpha * factor * y + beta * x`.
pub(super) fn assign(
    op: &'static str,
    y: &Tensor,
    x: Option<&Tensor>,
    factor: Option<&Tensor>,
    alpha: f64,
    beta: f64,
) -> Result<()> {
    same_len(op, y, x.as_slice())?;
    check_factor(op, factor)?;
    let params = AssignParams { len: y.len() as u32, alpha: alpha as f32, beta: beta as f32 };
    Launch::op(&ASSIGN, [x, factor, Some(y)])
        .overrides(&[("HAS_X", x.is_some().into()), ("HAS_FACTOR", factor.is_some().into())])
        .record_elements(y.device(), &params, y.len() as u64)
}

/// `target += alpha * source`, f32: gradient accumulation.
///
/// # Errors
/// [`Error::Shape`] when the sizes differ.
pub fn add_assign(target: &Tensor, source: &Tensor, alpha: f32) -> Result<()> {
    assign("add_assign", target, Some(source), None, 1.0, alpha.into())
}

/// `target *= alpha * factor[0]`, f32, `factor` being 1 when absent.
///
/// # Errors
/// [`Error::Dtype`] for other types, [`Error::Shape`] for an empty factor.
pub fn scale_assign(target: &Tensor, alpha: f32, factor: Option<&Tensor>) -> Result<()> {
    assign("scale_assign", target, None, factor, alpha.into(), 0.0)
}

/// `target = decay * target + (1 - decay) * source`, f32: an exponential moving average.
///
/// # Errors
/// [`Error::Shape`] when the sizes differ.
pub fn ema_assign(target: &Tensor, source: &Tensor, decay: f64) -> Result<()> {
    assign("ema_assign", target, Some(source), None, decay, 1.0 - decay)
}

/// How many partial sums [`square_sums`] makes of each tensor: as many as fill the adapter.
pub fn choose_square_partials(caps: &Capabilities) -> usize {
    if caps.software { 256 } else { 4096 }
}

/// The sum of squares of each tensor: f32 `[n]` for `n` tensors. A NaN or infinity in a tensor shows in its element.
///
/// # Errors
/// [`Error::Shape`] without tensors, [`Error::Dtype`] for other types than f32.
pub fn square_sums(tensors: &[&Tensor]) -> Result<Tensor> {
    const OP: &str = "square_sums";
    need_f32(OP, tensors)?;
    let device = tensors.first().ok_or_else(|| Error::shape(OP, "no tensors"))?.device();
    let partials = choose_square_partials(device.capabilities());
    let y = Tensor::empty(device, &[tensors.len(), partials], Dtype::F32)?;
    for (i, x) in tensors.iter().enumerate() {
        let params = SquareSumsParams { len: x.len() as u32, partials: partials as u32, offset: (i * partials) as u32 };
        Launch::op(&SQUARE_SUMS, [Some(*x), Some(&y)]).work(2 * x.len() as u64).record_elements(
            device,
            &params,
            partials as u64,
        )?;
    }
    sum_cols(&y)
}

/// Gradient clipping by global norm from the sums of squares of [`square_sums`]: f32 `[2]` of the factor
/// `min(1, max_norm / (norm + 1e-6))` and the norm itself. The factor is NaN when the norm is not finite.
///
/// # Errors
/// [`Error::Invalid`] when `max_norm` is not positive, [`Error::Dtype`] for other types than f32.
pub fn clip_scale(squares: &Tensor, max_norm: f32) -> Result<Tensor> {
    need_f32("clip_scale", &[squares])?;
    if max_norm.is_nan() || max_norm <= 0.0 {
        return Err(Error::Invalid(format!("clip_scale: the largest norm must be positive, not {max_norm}")));
    }
    let y = Tensor::empty(squares.device(), &[2], Dtype::F32)?;
    let lanes = choose_lanes(squares.device().capabilities(), squares.len());
    let params = ClipScaleParams { len: squares.len() as u32, max_norm };
    Launch::op(&CLIP_SCALE, [Some(squares), Some(&y)]).overrides(&[("LANES", lanes)]).record(
        squares.device(),
        &params,
        1,
    )?;
    Ok(y)
}
