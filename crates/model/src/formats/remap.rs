//! Tensors of other sources under other names.

use super::source::{Dtype, TensorView, WeightSource};
use crate::error::{ModelError, Result, WeightMismatch};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Tensors borrowed from other sources, under new names.
#[derive(Debug, Default)]
pub struct Remapped<'a> {
    tensors: BTreeMap<String, Entry<'a>>,
}

/// Element type, shape, elements.
type Entry<'a> = (Dtype, Vec<usize>, Cow<'a, [u8]>);

/// The error for a tensor that is not there.
pub(crate) fn missing(name: impl Into<String>) -> ModelError {
    let report = WeightMismatch { missing: vec![name.into()], ..Default::default() };
    ModelError::WeightMismatch(Box::new(report))
}

impl<'a> Remapped<'a> {
    /// No tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Adds a tensor of another source.
    ///
    /// # Errors
    /// When there is one of that name already.
    pub fn add(&mut self, name: impl Into<String>, tensor: TensorView<'a>) -> Result<()> {
        self.insert(name.into(), tensor.dtype, tensor.shape.to_vec(), Cow::Borrowed(tensor.bytes))
    }

    /// Adds a tensor that no source holds as it is; `bytes` are its elements, row-major.
    ///
    /// # Errors
    /// When there is one of that name already, or the bytes do not fit the shape.
    pub fn insert(&mut self, name: String, dtype: Dtype, shape: Vec<usize>, bytes: Cow<'a, [u8]>) -> Result<()> {
        let fail = |what: String| Err(ModelError::File { file: "being converted".into(), what });
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if count.and_then(|n| n.checked_mul(dtype.size())) != Some(bytes.len()) {
            return fail(format!("tensor `{name}` of shape {shape:?} was given {} bytes", bytes.len()));
        }
        if self.tensors.contains_key(&name) {
            return fail(format!("two tensors would be named `{name}`"));
        }
        self.tensors.insert(name, (dtype, shape, bytes));
        Ok(())
    }

    /// Adds the `part`-th of `parts` equal runs of rows of a tensor.
    ///
    /// # Errors
    /// When the rows cannot be divided so, and as [`Remapped::insert`].
    pub fn add_rows(&mut self, name: String, tensor: &TensorView<'a>, part: usize, parts: usize) -> Result<()> {
        let mut shape = tensor.shape.to_vec();
        match shape.first_mut() {
            Some(rows) if part < parts && rows.is_multiple_of(parts) => *rows /= parts,
            _ => {
                let what = format!("`{name}`: {:?} cannot be divided into {parts} equal runs of rows", tensor.shape);
                return Err(ModelError::File { file: "being converted".into(), what });
            }
        }
        let len = tensor.bytes.len() / parts;
        let bytes = &tensor.bytes[part * len..(part + 1) * len];
        self.insert(name, tensor.dtype, shape, Cow::Borrowed(bytes))
    }
}

impl WeightSource for Remapped<'_> {
    fn names(&self) -> Vec<Cow<'_, str>> {
        self.tensors.keys().map(|n| Cow::Borrowed(n.as_str())).collect()
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let (dtype, shape, bytes) = self.tensors.get(name)?;
        Some(TensorView { dtype: *dtype, shape, bytes })
    }
}
