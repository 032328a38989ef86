//! Tensors out of a source: held against a configuration, and as numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::convert;
use super::source::{Dtype, SCALE_SUFFIX, TensorView, WeightSource};
use crate::error::{ModelError, Result, WeightMismatch, WrongShape};
use crate::spec::TensorSpec;

/// Whether `name` holds the scales of an int8 tensor of `source`.
fn is_scale(source: &(impl WeightSource + ?Sized), name: &str) -> bool {
    let base = name.strip_suffix(SCALE_SUFFIX).and_then(|base| source.tensor(base));
    base.is_some_and(|t| t.dtype == Dtype::I8)
}

/// Compares `source` with `expected`: every tensor must be there with its shape, and no other may be, unless its name
/// starts with one of `ignored`.
///
/// # Errors
/// [`ModelError::WeightMismatch`] with all differences at once.
pub fn check(source: &(impl WeightSource + ?Sized), expected: &[TensorSpec], ignored: &[&str]) -> Result<()> {
    let mut report = WeightMismatch::default();
    let mut known = BTreeSet::new();
    for spec in expected {
        known.insert(spec.name.as_str());
        match source.tensor(&spec.name) {
            None => report.missing.push(spec.name.clone()),
            Some(t) if t.shape != spec.shape => report.wrong_shape.push(WrongShape {
                name: spec.name.clone(),
                expected: spec.shape.clone(),
                found: t.shape.to_vec(),
            }),
            Some(_) => {}
        }
    }
    for name in source.names() {
        let skip = ignored.iter().any(|p| name.starts_with(p));
        if !known.contains(name.as_ref()) && !skip && !is_scale(source, &name) {
            report.unexpected.push(name.into_owned());
        }
    }
    if report.is_empty() { Ok(()) } else { Err(ModelError::WeightMismatch(Box::new(report))) }
}

/// The tensor `name` of the given shape; missing and wrongly shaped ones are errors.
fn find<'a>(source: &'a (impl WeightSource + ?Sized), name: &str, shape: &[usize]) -> Result<TensorView<'a>> {
    let mut report = WeightMismatch::default();
    match source.tensor(name) {
        Some(t) if t.shape == shape => return Ok(t),
        Some(t) => report.wrong_shape.push(WrongShape {
            name: name.to_string(),
            expected: shape.to_vec(),
            found: t.shape.to_vec(),
        }),
        None => report.missing.push(name.to_string()),
    }
    Err(ModelError::WeightMismatch(Box::new(report)))
}

/// One tensor as f32, from f32, f16, bf16, or int8 with a scale per row (`{name}.scale`, f32, one per outermost index).
///
/// # Errors
/// When it is missing, of another shape or another element type, or holds NaN or an infinity.
pub fn read_f32(source: &(impl WeightSource + ?Sized), name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    read_f32_rows(source, name, shape, 0..shape.first().copied().unwrap_or(1))
}

/// [`read_f32`] of the rows (outermost indices) `rows` alone; rows past the end are left out.
///
/// # Errors
/// As [`read_f32`].
pub fn read_f32_rows(
    source: &(impl WeightSource + ?Sized),
    name: &str,
    shape: &[usize],
    rows: Range<usize>,
) -> Result<Vec<f32>> {
    let whole = find(source, name, shape)?;
    let count = shape.first().copied().unwrap_or(1);
    let some = |t: &TensorView<'_>| {
        let row = t.bytes.len() / count.max(1);
        row * rows.start.min(count)..row * rows.end.clamp(rows.start.min(count), count)
    };
    let t = TensorView { bytes: &whole.bytes[some(&whole)], ..whole };
    let values = if t.dtype == Dtype::I8 {
        let scale = format!("{name}{SCALE_SUFFIX}");
        let all = find(source, &scale, &[count])?;
        let scales = convert::to_f32(&scale, &TensorView { bytes: &all.bytes[some(&all)], ..all })?;
        convert::all_finite(&scale, &scales)?;
        convert::dequantise_rows(bytemuck::cast_slice(t.bytes), &scales)
    } else {
        convert::to_f32(name, &t)?
    };
    let first = rows.start * values.len().checked_div(rows.len()).unwrap_or(0);
    convert::all_finite(name, &values).map_err(|error| match error {
        ModelError::NonFinite { name, index, value } => ModelError::NonFinite { name, index: first + index, value },
        other => other,
    })?;
    Ok(values)
}

/// One i32 tensor: token ids and masks.
///
/// # Errors
/// When it is missing, of another shape or another element type.
pub fn read_i32(source: &(impl WeightSource + ?Sized), name: &str, shape: &[usize]) -> Result<Vec<i32>> {
    convert::to_i32(name, &find(source, name, shape)?)
}

/// Every tensor of `expected` as f32, after a [`check`].
///
/// # Errors
/// As [`check`] and [`read_f32`].
pub fn read_all(
    source: &(impl WeightSource + ?Sized),
    expected: &[TensorSpec],
    ignored: &[&str],
) -> Result<BTreeMap<String, Vec<f32>>> {
    check(source, expected, ignored)?;
    let read = |s: &TensorSpec| Ok((s.name.clone(), read_f32(source, &s.name, &s.shape)?));
    expected.iter().map(read).collect()
}
