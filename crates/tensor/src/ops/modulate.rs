//! Adaptive layer norm without its norm (DiT, arXiv 2212.09748; LeWM): rows shifted, scaled and gated by parts of another
//! tensor's rows.
//!
//! A row of `m` is several parts of `cols` columns, and part `p` its columns `p * cols .. (p + 1) * cols`: what one linear layer
//! makes of a condition serves a whole block.

use vljepa_shaders::kernels::elementwise::{
    GATED_ADD, GATED_ADD_BACKWARD, GatedAddParams, MODULATE, MODULATE_BACKWARD, ModulateParams,
};

use super::elementwise::need_f32;
use super::rows::{rows_cols, same_shape};
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

/// Columns of `x` and parts of a row of `m`, after comparing them and `used`, the parts that are asked for.
fn parts(op: &'static str, x: &Tensor, m: &Tensor, used: &[usize]) -> Result<(u32, u32)> {
    need_f32(op, &[x, m])?;
    let (rows, cols) = rows_cols(op, x)?;
    let (m_rows, width) = m.rows_cols();
    if m_rows != rows || width == 0 || !width.is_multiple_of(cols) {
        return Err(Error::shape(
            op,
            format!("m {:?} for x {:?}: it needs as many rows, each of parts of {cols} columns", m.shape(), x.shape()),
        ));
    }
    let parts = width / cols;
    match used.iter().find(|&&part| part >= parts) {
        Some(part) => Err(Error::shape(op, format!("part {part} of {parts} in a row of m {:?}", m.shape()))),
        None => Ok((cols as u32, parts as u32)),
    }
}

/// A gradient of the shape of `of`, or one element in its place, since a written binding is never absent.
fn gradient(of: &Tensor, needed: bool) -> Result<Tensor> {
    Tensor::empty(of.device(), if needed { of.shape() } else { &[1] }, Dtype::F32)
}

fn modulate_params(op: &'static str, x: &Tensor, m: &Tensor, [shift, scale]: [usize; 2]) -> Result<ModulateParams> {
    let (cols, parts) = parts(op, x, m, &[shift, scale])?;
    Ok(ModulateParams { len: x.len() as u32, cols, parts, shift: shift as u32 * cols, scale: scale as u32 * cols })
}

/// `x * (1 + m[scale_part]) + m[shift_part]`, f32: `x [.., cols]`, `m [.., parts * cols]` of as many rows.
///
/// # Errors
/// [`Error::Shape`] when the rows of `x` and `m` are not as many, those of `m` are not whole parts, or there is no such part;
/// [`Error::Dtype`].
pub fn modulate(x: &Tensor, m: &Tensor, [shift_part, scale_part]: [usize; 2]) -> Result<Tensor> {
    let params = modulate_params("modulate", x, m, [shift_part, scale_part])?;
    let y = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    Launch::op(&MODULATE, [Some(x), Some(m), Some(&y)]).record_elements(x.device(), &params, x.len() as u64)?;
    Ok(y)
}

/// Gradients of [`modulate`] with respect to `x` and `m`, each where `needs` says so. That of `m` is whole, with zeros in the
/// other parts.
///
/// # Errors
/// As [`modulate`]; also when the gradient has another shape than `x`.
pub fn modulate_backward(
    grad: &Tensor,
    x: &Tensor,
    m: &Tensor,
    [shift_part, scale_part]: [usize; 2],
    needs: [bool; 2],
) -> Result<[Option<Tensor>; 2]> {
    const OP: &str = "modulate";
    let params = modulate_params(OP, x, m, [shift_part, scale_part])?;
    need_f32(OP, &[grad])?;
    same_shape(OP, "gradient", grad, x)?;
    let (dx, dm) = (gradient(x, needs[0])?, gradient(m, needs[1])?);
    Launch::op(&MODULATE_BACKWARD, [Some(grad), Some(x), Some(m), Some(&dx), Some(&dm)])
        .overrides(&[("NEED_X", needs[0].into()), ("NEED_M", needs[1].into())])
        .record_elements(x.device(), &params, x.len() as u64)?;
    Ok([needs[0].then_some(dx), needs[1].then_some(dm)])
}

fn gated_params(op: &'static str, h: &Tensor, m: &Tensor, gate: usize) -> Result<GatedAddParams> {
    let (cols, parts) = parts(op, h, m, &[gate])?;
    Ok(GatedAddParams { len: h.len() as u32, cols, parts, gate: gate as u32 * cols })
}

/// `x + m[gate_part] * h`, f32: `x, h [.., cols]`, `m [.., parts * cols]` of as many rows.
///
/// # Errors
/// As [`modulate`]; also when `x` and `h` have different shapes.
pub fn gated_add(x: &Tensor, h: &Tensor, m: &Tensor, gate_part: usize) -> Result<Tensor> {
    const OP: &str = "gated_add";
    let params = gated_params(OP, h, m, gate_part)?;
    need_f32(OP, &[x])?;
    same_shape(OP, "h", h, x)?;
    let y = Tensor::empty(x.device(), x.shape(), Dtype::F32)?;
    Launch::op(&GATED_ADD, [Some(x), Some(h), Some(m), Some(&y)]).record_elements(
        x.device(),
        &params,
        x.len() as u64,
    )?;
    Ok(y)
}

/// Gradients of [`gated_add`] with respect to `h` and `m`, each where `needs` says so; that for `x` is `grad` itself. That of
/// `m` is whole, with zeros in the other parts.
///
/// # Errors
/// As [`gated_add`]; also when the gradient has another shape than `h`.
pub fn gated_add_backward(
    grad: &Tensor,
    h: &Tensor,
    m: &Tensor,
    gate_part: usize,
    needs: [bool; 2],
) -> Result<[Option<Tensor>; 2]> {
    const OP: &str = "gated_add";
    let params = gated_params(OP, h, m, gate_part)?;
    need_f32(OP, &[grad])?;
    same_shape(OP, "gradient", grad, h)?;
    if !needs.contains(&true) {
        return Ok([None, None]);
    }
    let (dh, dm) = (gradient(h, needs[0])?, gradient(m, needs[1])?);
    Launch::op(&GATED_ADD_BACKWARD, [Some(grad), Some(h), Some(m), Some(&dh), Some(&dm)])
        .overrides(&[("NEED_H", needs[0].into()), ("NEED_M", needs[1].into())])
        .record_elements(h.device(), &params, h.len() as u64)?;
    Ok([needs[0].then_some(dh), needs[1].then_some(dm)])
}
