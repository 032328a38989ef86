//! Weights in and out, on byte slices: opening and mapping files is the caller's business.
//!
//! [`SafeTensors`] reads one file, [`Shards`] several behind a `model.safetensors.index.json` ([`ShardFiles`] keeps them
//! open), [`PtFile`] a PyTorch checkpoint; [`Writer`] makes a safetensors file of values, [`write_safetensors`] one of
//! another source's tensors.
//! [`official_vjepa2`], [`bare_vjepa2`], [`bare_text`] and [`open_vljepa`] give checkpoints of others our names.
//! [`check`] holds a source against the tensors of a configuration, [`read_f32`] takes one out of it as f32.

mod archive;
mod convert;
mod format;
mod open_vljepa;
mod pickle;
mod pt;
mod remap;
mod shards;
mod text_checkpoint;
mod vjepa2_checkpoint;

pub use convert::{dequantise_rows, quantise_rows};
pub use format::{SafeTensors, Writer, write_safetensors};
pub use open_vljepa::{OpenVlJepaParts, open_vljepa, open_vljepa_config};
pub use pt::{PtFile, PtValue};
pub use remap::Remapped;
pub use shards::{ShardFiles, ShardIndex, Shards};
pub use text_checkpoint::{TextKind, bare_text};
pub use vjepa2_checkpoint::{Vjepa2Parts, bare_vjepa2, official_config, official_vjepa2};

use crate::config::TensorSpec;
use crate::error::{ModelError, Result, WeightMismatch, WrongShape};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Element types of safetensors files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // the names say it
pub enum Dtype {
    Bool,
    U8,
    I8,
    F8E5M2,
    F8E4M3,
    I16,
    U16,
    F16,
    Bf16,
    I32,
    U32,
    F32,
    F64,
    I64,
    U64,
}

impl Dtype {
    const ALL: [(Self, &'static str, usize); 15] = [
        (Self::Bool, "BOOL", 1),
        (Self::U8, "U8", 1),
        (Self::I8, "I8", 1),
        (Self::F8E5M2, "F8_E5M2", 1),
        (Self::F8E4M3, "F8_E4M3", 1),
        (Self::I16, "I16", 2),
        (Self::U16, "U16", 2),
        (Self::F16, "F16", 2),
        (Self::Bf16, "BF16", 2),
        (Self::I32, "I32", 4),
        (Self::U32, "U32", 4),
        (Self::F32, "F32", 4),
        (Self::F64, "F64", 8),
        (Self::I64, "I64", 8),
        (Self::U64, "U64", 8),
    ];

    /// The name in a file's header.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        Self::ALL[self as usize].2
    }

    /// The type of a header's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n, _)| *n == name).map(|(d, _, _)| *d)
    }
}

/// One tensor in a source: `bytes` holds product(shape) little-endian elements, row-major.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Shape, outermost first.
    pub shape: &'a [usize],
    /// Elements.
    pub bytes: &'a [u8],
}

/// Somewhere tensors come from by name.
pub trait WeightSource {
    /// All names, sorted.
    fn names(&self) -> Vec<Cow<'_, str>>;

    /// One tensor, `None` where there is none of that name.
    fn tensor(&self, name: &str) -> Option<TensorView<'_>>;
}

/// The tensors of `source` whose name starts with `prefix`, under the rest of their names.
///
/// Classifier checkpoints put `vjepa2.` and Llama checkpoints `model.` before the names that the bare models have.
#[derive(Debug)]
pub struct Prefixed<'a, S: ?Sized> {
    /// Where the tensors are.
    pub source: &'a S,
    /// What their names start with there.
    pub prefix: &'a str,
}

impl<S: WeightSource + ?Sized> WeightSource for Prefixed<'_, S> {
    fn names(&self) -> Vec<Cow<'_, str>> {
        let strip = |n: Cow<'_, str>| n.strip_prefix(self.prefix).map(|r| Cow::Owned(r.to_string()));
        self.source.names().into_iter().filter_map(strip).collect()
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.source.tensor(&format!("{}{name}", self.prefix))
    }
}

/// The suffix of the tensor with the scales of an int8 tensor's rows.
pub const SCALE_SUFFIX: &str = ".scale";

/// Whether `name` is the scales of an int8 tensor in `source`.
fn is_scale(source: &(impl WeightSource + ?Sized), name: &str) -> bool {
    let base = name.strip_suffix(SCALE_SUFFIX).and_then(|base| source.tensor(base));
    base.is_some_and(|t| t.dtype == Dtype::I8)
}

/// Hold `source` against `expected`: every tensor there, of its shape, and no others except those whose names start
/// with one of `ignored`. All differences are reported at once.
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
/// Errors: missing, of another shape, of another element type, or with an element that is NaN or infinite.
pub fn read_f32(source: &(impl WeightSource + ?Sized), name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    read_f32_rows(source, name, shape, 0..shape.first().copied().unwrap_or(1))
}

/// [`read_f32`] of the rows (outermost indices) `rows` alone; rows behind the last are left out.
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
        dequantise_rows(bytemuck::cast_slice(t.bytes), &scales)
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
pub fn read_i32(source: &(impl WeightSource + ?Sized), name: &str, shape: &[usize]) -> Result<Vec<i32>> {
    convert::to_i32(name, &find(source, name, shape)?)
}

/// Every tensor of `expected` as f32, after a [`check`].
pub fn read_all(
    source: &(impl WeightSource + ?Sized),
    expected: &[TensorSpec],
    ignored: &[&str],
) -> Result<BTreeMap<String, Vec<f32>>> {
    check(source, expected, ignored)?;
    let read = |s: &TensorSpec| Ok((s.name.clone(), read_f32(source, &s.name, &s.shape)?));
    expected.iter().map(read).collect()
}
