//! Rows of tables by number.

use vljepa_shaders::kernels::elementwise::LenParams;
use vljepa_shaders::kernels::gather::{GATHER_ROWS, GatherRowsParams, ID_CHAINS, SCATTER_ADD, ScatterAddParams};

use super::elementwise::need_f32;
use super::layout::choose_chunk;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor, element_count};

fn need_ids(op: &'static str, ids: &Tensor) -> Result<()> {
    match ids.dtype() {
        Dtype::U32 => Ok(()),
        other => Err(Error::Dtype { op, what: format!("ids {:?} are {other:?}, u32 is needed", ids.shape()) }),
    }
}

fn need_table(op: &'static str, table: &[usize]) -> Result<[usize; 2]> {
    match *table {
        [rows, cols] if rows > 0 => Ok([rows, cols]),
        _ => Err(Error::shape(op, format!("a table of {table:?}: two axes and a row are needed"))),
    }
}

/// Uploads ids that will name rows of a table of `table_rows` rows.
///
/// # Errors
/// [`Error::Invalid`] with the first id out of range and its place, and as [`Tensor::from_u32`].
pub fn upload_ids(device: &Device, shape: &[usize], ids: &[u32], table_rows: usize) -> Result<Tensor> {
    if let Some((place, id)) = ids.iter().enumerate().find(|&(_, &id)| id as usize >= table_rows) {
        return Err(Error::Invalid(format!("id {id} at place {place} names no row of a table of {table_rows} rows")));
    }
    Tensor::from_u32(device, shape, ids)
}

/// Rows of `table` `[rows, cols]` (f32, f16 or i8) by `ids` (u32, any shape): `[ids.., cols]`, f32.
///
/// An id out of range gives a row of NaN; [`upload_ids`] refuses it beforehand.
///
/// # Errors
/// [`Error::Shape`] when the table does not have two axes, [`Error::Dtype`] for other types.
pub fn gather_rows(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    gather_rows_of_parts(&[table], ids)
}

/// [`gather_rows`] from a table in parts of consecutive rows, `[rows of the part, cols]` each: tables that are larger than
/// a device's bindings.
///
/// # Errors
/// As [`gather_rows`]; also for no parts, and parts of different widths or types.
pub fn gather_rows_of_parts(parts: &[&Tensor], ids: &Tensor) -> Result<Tensor> {
    const OP: &str = "gather_rows";
    need_ids(OP, ids)?;
    let Some(first) = parts.first() else { return Err(Error::shape(OP, "a table of no parts")) };
    let [_, cols] = need_table(OP, first.shape())?;
    let mut table_rows = 0usize;
    for part in parts {
        let [rows, width] = need_table(OP, part.shape())?;
        if width != cols || part.dtype() != first.dtype() {
            let (a, b) = ((first.shape(), first.dtype()), (part.shape(), part.dtype()));
            return Err(Error::shape(OP, format!("parts {a:?} and {b:?} of one table")));
        }
        table_rows += rows;
    }
    if first.dtype() == Dtype::U32 {
        return Err(Error::Dtype { op: OP, what: "the table is U32, f32, f16 or i8 is needed".into() });
    }
    let mut shape = ids.shape().to_vec();
    shape.push(cols);
    element_count(OP, &shape)?;
    if table_rows > u32::MAX as usize {
        return Err(Error::shape(OP, format!("a table of {table_rows} rows")));
    }
    let y = Tensor::empty(first.device(), &shape, Dtype::F32)?;
    if y.is_empty() {
        return Ok(y);
    }
    let chunk = choose_chunk(first.device().capabilities(), cols);
    // As gather/gather_rows.wgsl.
    let format = match first.dtype() {
        Dtype::F16 => 1,
        Dtype::I8 => 2,
        _ => 0,
    };
    let mut first_row = 0;
    for part in parts {
        let part_rows = part.shape()[0] as u32;
        let params = GatherRowsParams {
            rows: ids.len() as u32,
            cols: cols as u32,
            table_rows: table_rows as u32,
            first_row,
            part_rows,
            chunk: chunk as u32,
        };
        Launch::op(&GATHER_ROWS, [Some(*part), Some(ids), Some(&y)]).overrides(&[("FORMAT", format)]).record_elements(
            part.device(),
            &params,
            (ids.len() * cols.div_ceil(chunk)) as u64,
        )?;
        first_row += part_rows;
    }
    Ok(y)
}

/// Sums the rows of `x` `[ids.., cols]` into a table of zeros `[table_rows, cols]` by `ids`: the gradient of
/// [`gather_rows`]. Rows that share an id are added in their order; ids out of range are left out.
///
/// # Errors
/// [`Error::Shape`] when `x` does not have a row for each id, [`Error::Dtype`] for other types than f32.
pub fn scatter_add(x: &Tensor, ids: &Tensor, table_rows: usize) -> Result<Tensor> {
    const OP: &str = "scatter_add";
    need_ids(OP, ids)?;
    need_f32(OP, &[x])?;
    let (rows, cols) = x.rows_cols();
    if rows != ids.len() {
        return Err(Error::shape(OP, format!("{rows} rows of {:?} for {} ids", x.shape(), ids.len())));
    }
    let [table_rows, cols] = need_table(OP, &[table_rows, cols])?;
    let y = Tensor::zeros(x.device(), &[table_rows, cols], Dtype::F32)?;
    if x.is_empty() {
        return Ok(y);
    }
    let chains = Tensor::empty(x.device(), &[rows, 2], Dtype::U32)?;
    Launch::op(&ID_CHAINS, [Some(ids), Some(&chains)]).work((rows * rows) as u64).record_elements(
        x.device(),
        &LenParams { len: rows as u32 },
        rows as u64,
    )?;
    let params = ScatterAddParams { rows: rows as u32, cols: cols as u32, table_rows: table_rows as u32 };
    Launch::op(&SCATTER_ADD, [Some(x), Some(ids), Some(&chains), Some(&y)]).work(x.len() as u64).record_elements(
        x.device(),
        &params,
        x.len() as u64,
    )?;
    Ok(y)
}
