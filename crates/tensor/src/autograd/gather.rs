//! Gradient of rows of tables.

use super::tape::{Var, record};
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;

/// Differentiable [`ops::gather_rows`] of an f32 table.
///
/// # Errors
/// As [`ops::gather_rows`].
pub fn gather_rows(table: &Var, ids: &Tensor) -> Result<Var> {
    let value = ops::gather_rows(table.value(), ids)?;
    let (rows, ids) = (table.shape()[0], ids.clone());
    let cols = table.shape()[1];
    Ok(record(&[table], value, move |grad, _| {
        Ok(vec![Some(ops::scatter_add(&grad.reshape(&[ids.len(), cols])?, &ids, rows)?)])
    }))
}
