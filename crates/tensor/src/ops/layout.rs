//! Slices, concatenations and reordered axes.

use vljepa_shaders::kernels::gather::{COPY_LINES, CopyLinesParams, PERMUTE, PermuteParams};

use crate::caps::Capabilities;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor, element_count};

/// How many neighbouring elements of a line of `width` one invocation moves. One on GPUs, so that neighbouring invocations
/// touch neighbouring memory; up to 32 on software adapters, where finding the place costs more than moving.
pub fn choose_chunk(caps: &Capabilities, width: usize) -> usize {
    if caps.software { width.clamp(1, 32) } else { 1 }
}

fn words(op: &'static str, x: &Tensor) -> Result<()> {
    match x.dtype() {
        Dtype::F16 => Err(Error::Dtype { op, what: "f16 elements lie two to a word and cannot be moved alone".into() }),
        Dtype::I8 => Err(Error::Dtype { op, what: "i8 elements lie four to a word and cannot be moved alone".into() }),
        Dtype::F32 | Dtype::U32 => Ok(()),
    }
}

/// `(lines, inner)`: how often the axis repeats, and how many elements one step along it covers.
fn around(shape: &[usize], axis: usize) -> (usize, usize) {
    (shape[..axis].iter().product(), shape[axis + 1..].iter().product())
}

/// Copies `width` elements of every line of `x` into every line of `y`; pitches and offsets in elements.
fn copy_lines(
    x: &Tensor,
    x_place: [usize; 2],
    y: &Tensor,
    y_place: [usize; 2],
    lines: usize,
    width: usize,
) -> Result<()> {
    if lines * width == 0 {
        return Ok(());
    }
    let chunk = choose_chunk(x.device().capabilities(), width);
    let params = CopyLinesParams {
        lines: lines as u32,
        width: width as u32,
        x_pitch: x_place[0] as u32,
        x_offset: x_place[1] as u32,
        y_pitch: y_place[0] as u32,
        y_offset: y_place[1] as u32,
        chunk: chunk as u32,
    };
    let chunks = lines * width.div_ceil(chunk);
    Launch::op(&COPY_LINES, [Some(x), Some(y)]).record_elements(x.device(), &params, chunks as u64)
}

/// Elements `start .. start + len` along `axis`, in memory of their own; f32 or u32.
///
/// # Errors
/// [`Error::Shape`] when the range or the axis does not exist, [`Error::Dtype`] for f16.
pub fn slice(x: &Tensor, axis: usize, start: usize, len: usize) -> Result<Tensor> {
    const OP: &str = "slice";
    words(OP, x)?;
    let size = x.shape().get(axis).copied().unwrap_or(0);
    if axis >= x.shape().len() || start.checked_add(len).is_none_or(|end| end > size) {
        return Err(Error::shape(OP, format!("{len} elements from {start} along axis {axis} of {:?}", x.shape())));
    }
    let (lines, inner) = around(x.shape(), axis);
    let mut shape = x.shape().to_vec();
    shape[axis] = len;
    let y = Tensor::empty(x.device(), &shape, x.dtype())?;
    copy_lines(x, [size * inner, start * inner], &y, [len * inner, 0], lines, len * inner)?;
    Ok(y)
}

/// The gradient of [`slice`]: `dy` at its place in zeros of `x_shape`.
///
/// # Errors
/// [`Error::Shape`] when `dy` does not fit there, [`Error::Dtype`] for f16.
pub(crate) fn slice_backward(dy: &Tensor, x_shape: &[usize], axis: usize, start: usize) -> Result<Tensor> {
    words("slice_backward", dy)?;
    let (lines, inner) = around(x_shape, axis);
    let len = dy.len() / (lines * inner).max(1);
    let dx = Tensor::zeros(dy.device(), x_shape, dy.dtype())?;
    copy_lines(dy, [len * inner, 0], &dx, [x_shape[axis] * inner, start * inner], lines, len * inner)?;
    Ok(dx)
}

/// Tensors one after the other along `axis`; all other axes must be equal; f32 or u32.
///
/// # Errors
/// [`Error::Shape`] when they are not, or without tensors, [`Error::Dtype`] when types differ or are f16.
pub fn concat(tensors: &[&Tensor], axis: usize) -> Result<Tensor> {
    const OP: &str = "concat";
    let shapes = || tensors.iter().map(|t| format!("{:?}", t.shape())).collect::<Vec<_>>().join(", ");
    let bad = || Error::shape(OP, format!("{} along axis {axis}", shapes()));
    let first = *tensors.first().ok_or_else(bad)?;
    words(OP, first)?;
    let mut shape = first.shape().to_vec();
    if axis >= shape.len() {
        return Err(bad());
    }
    shape[axis] = 0;
    for t in tensors {
        if t.dtype() != first.dtype() {
            return Err(Error::Dtype { op: OP, what: format!("{:?} beside {:?}", t.dtype(), first.dtype()) });
        }
        let same = t.shape().len() == shape.len();
        if !same || (0..shape.len()).any(|i| i != axis && t.shape()[i] != shape[i]) {
            return Err(bad());
        }
        shape[axis] += t.shape()[axis];
    }
    element_count(OP, &shape)?;
    let y = Tensor::empty(first.device(), &shape, first.dtype())?;
    let (lines, inner) = around(&shape, axis);
    let mut at = 0;
    for t in tensors {
        let width = t.shape()[axis] * inner;
        copy_lines(t, [width, 0], &y, [shape[axis] * inner, at], lines, width)?;
        at += width;
    }
    Ok(y)
}

/// The axes of `x` in another order: axis `i` of the result is axis `axes[i]` of `x`; up to four axes, f32 or u32.
///
/// # Errors
/// [`Error::Shape`] when `axes` is no permutation or has more than four, [`Error::Dtype`] for f16.
pub fn permute(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    const OP: &str = "permute";
    words(OP, x)?;
    let n = x.shape().len();
    if axes.len() != n || n > 4 || (0..n).any(|axis| !axes.contains(&axis)) {
        return Err(Error::shape(OP, format!("axes {axes:?} of {:?}", x.shape())));
    }
    if axes.iter().enumerate().all(|(i, &axis)| i == axis) {
        return Ok(x.clone());
    }
    // Leading axes of size one fill up to four.
    let (mut sizes, mut strides) = ([1usize; 4], [0usize; 4]);
    for (i, &axis) in axes.iter().enumerate() {
        sizes[4 - n + i] = x.shape()[axis];
        strides[4 - n + i] = x.shape()[axis + 1..].iter().product();
    }
    let shape: Vec<usize> = axes.iter().map(|&axis| x.shape()[axis]).collect();
    let y = Tensor::empty(x.device(), &shape, x.dtype())?;
    if y.is_empty() {
        return Ok(y);
    }
    let chunk = choose_chunk(x.device().capabilities(), sizes[3]);
    let lines = sizes[0] * sizes[1] * sizes[2];
    let params = PermuteParams {
        lines: lines as u32,
        d1: sizes[1] as u32,
        d2: sizes[2] as u32,
        d3: sizes[3] as u32,
        s0: strides[0] as u32,
        s1: strides[1] as u32,
        s2: strides[2] as u32,
        s3: strides[3] as u32,
        chunk: chunk as u32,
    };
    let chunks = lines * sizes[3].div_ceil(chunk);
    Launch::op(&PERMUTE, [Some(x), Some(&y)]).record_elements(x.device(), &params, chunks as u64)?;
    Ok(y)
}

/// The last two axes exchanged; up to four axes.
///
/// # Errors
/// As [`permute`], and [`Error::Shape`] with fewer than two axes.
pub fn transpose(x: &Tensor) -> Result<Tensor> {
    let n = x.shape().len();
    if n < 2 {
        return Err(Error::shape("transpose", format!("{:?} has fewer than two axes", x.shape())));
    }
    let mut axes: Vec<usize> = (0..n).collect();
    axes.swap(n - 2, n - 1);
    permute(x, &axes)
}
