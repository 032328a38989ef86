//! Element types to and from f32.

use super::source::{Dtype, TensorView};
use crate::error::{ModelError, Result};
use half::{bf16, f16};

/// Copy little-endian bytes into numbers; the source need not be aligned.
fn copy<T: bytemuck::Pod>(bytes: &[u8]) -> Vec<T> {
    let mut out = vec![T::zeroed(); bytes.len() / size_of::<T>()];
    let target: &mut [u8] = bytemuck::cast_slice_mut(&mut out);
    target.copy_from_slice(&bytes[..target.len()]);
    if cfg!(target_endian = "big") {
        target.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
    }
    out
}

/// The little-endian bytes of numbers.
pub(super) fn to_bytes<T: bytemuck::Pod>(values: &[T]) -> Vec<u8> {
    let mut out: Vec<u8> = bytemuck::cast_slice(values).to_vec();
    if cfg!(target_endian = "big") {
        out.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
    }
    out
}

pub(super) fn to_f32(name: &str, t: &TensorView<'_>) -> Result<Vec<f32>> {
    match t.dtype {
        Dtype::F32 => Ok(copy(t.bytes)),
        Dtype::F16 => Ok(copy::<f16>(t.bytes).into_iter().map(f16::to_f32).collect()),
        Dtype::Bf16 => Ok(copy::<bf16>(t.bytes).into_iter().map(bf16::to_f32).collect()),
        other => Err(ModelError::Dtype {
            name: name.to_string(),
            found: other.name().to_string(),
            expected: "F32, F16, BF16 or I8 with scales",
        }),
    }
}

pub(super) fn to_i32(name: &str, t: &TensorView<'_>) -> Result<Vec<i32>> {
    if t.dtype != Dtype::I32 {
        let found = t.dtype.name().to_string();
        return Err(ModelError::Dtype { name: name.to_string(), found, expected: "I32" });
    }
    Ok(copy(t.bytes))
}

pub(super) fn all_finite(name: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(ModelError::NonFinite { name: name.to_string(), index, value: values[index] }),
        None => Ok(()),
    }
}

/// [`all_finite`] of a float tensor as it is stored; others pass.
pub(super) fn check_finite(name: &str, t: &TensorView<'_>) -> Result<()> {
    /// Far fewer elements than a tensor has, so that little memory is needed.
    const PART: usize = 1 << 16;
    if !matches!(t.dtype, Dtype::F32 | Dtype::F16 | Dtype::Bf16) {
        return Ok(());
    }
    for (part, bytes) in t.bytes.chunks(PART * t.dtype.size()).enumerate() {
        let values = to_f32(name, &TensorView { dtype: t.dtype, shape: t.shape, bytes })?;
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            let (index, value) = (part * PART + at, values[at]);
            return Err(ModelError::NonFinite { name: name.to_string(), index, value });
        }
    }
    Ok(())
}

/// Quantise to int8 with one scale per row: `scale` = max|row| / 127, `q` = round(value / scale), so that
/// |value − q·scale| ≤ scale/2. A row of zeros, and one too small for its scale to be a number above zero, has scale 0.
///
/// `values` is (rows, anything); its length should be a multiple of `rows`: a remainder is left out. Values must be
/// finite. Returns the elements and the `rows` scales.
pub fn quantise_rows(values: &[f32], rows: usize) -> (Vec<i8>, Vec<f32>) {
    let width = values.len().checked_div(rows).unwrap_or(0);
    let mut q = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(rows);
    for r in 0..rows {
        let row = &values[r * width..(r + 1) * width];
        let scale = row.iter().fold(0.0f32, |m, v| m.max(v.abs())) / 127.0;
        // With a subnormal scale value / scale could exceed 127; with the largest, scale · 127 could round to infinity.
        let scale = match scale {
            s if s < f32::MIN_POSITIVE => 0.0,
            s if (s * 127.0).is_finite() => s,
            s => s.next_down(),
        };
        let quantise = |v: &f32| {
            if scale == 0.0 { 0 } else { (v / scale).round().clamp(-127.0, 127.0) as i8 }
        };
        q.extend(row.iter().map(quantise));
        scales.push(scale);
    }
    (q, scales)
}

/// The inverse of [`quantise_rows`]: element · scale of its row.
pub fn dequantise_rows(q: &[i8], scales: &[f32]) -> Vec<f32> {
    if scales.is_empty() {
        return Vec::new();
    }
    let width = (q.len() / scales.len()).max(1);
    q.chunks(width).zip(scales).flat_map(|(row, &s)| row.iter().map(move |&v| f32::from(v) * s)).collect()
}
