//! Dense, contiguous, row-major tensors on a device.

use std::sync::Arc;

use half::f16;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::pool::PooledBuffer;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision, two to a word.
    F16,
    /// Signed bytes, four to a word, with an f32 scale for each row (the last axis) behind them: matrices quantised for
    /// inference. A value is its byte times the scale of its row.
    I8,
    /// Unsigned 32-bit integers: ids and masks.
    U32,
}

impl Dtype {
    /// Bytes of one element, without scales.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F32 | Dtype::U32 => 4,
            Dtype::F16 => 2,
            Dtype::I8 => 1,
        }
    }

    /// Bytes of a tensor of `shape`; [`u64::MAX`] where they are too many to count.
    pub fn bytes(self, shape: &[usize]) -> u64 {
        if shape.contains(&0) {
            return 0;
        }
        let count = shape.iter().fold(1u64, |n, &d| n.saturating_mul(d as u64));
        match self {
            Dtype::I8 => {
                let rows = count / shape.last().map_or(1, |&d| d as u64);
                count.checked_next_multiple_of(4).unwrap_or(u64::MAX).saturating_add(rows.saturating_mul(4))
            }
            _ => count.saturating_mul(self.size() as u64),
        }
    }
}

/// A tensor. Cloning shares the memory; operators never write into an operand unless their name says so.
#[derive(Clone, Debug)]
pub struct Tensor {
    device: Device,
    buffer: Arc<PooledBuffer>,
    shape: Vec<usize>,
    dtype: Dtype,
}

/// A row's bytes and their scale.
fn quantize_row(row: &[f32]) -> (Vec<i8>, f32) {
    if !row.iter().all(|v| v.is_finite()) {
        return (vec![1; row.len()], f32::NAN);
    }
    let scale = row.iter().fold(0.0f32, |top, v| top.max(v.abs())) / 127.0;
    // Where a driver flushes subnormal scales, the bytes would mean something else.
    if scale < f32::MIN_POSITIVE {
        return (vec![0; row.len()], 0.0);
    }
    (row.iter().map(|v| (v / scale).round_ties_even() as i8).collect(), scale)
}

/// Number of elements of a shape.
///
/// # Errors
/// [`Error::Shape`] when the product overflows.
pub fn element_count(op: &'static str, shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .filter(|&n| n <= u32::MAX as usize)
        .ok_or_else(|| Error::shape(op, format!("{shape:?} has more than 2^32 - 1 elements")))
}

impl Tensor {
    /// A tensor whose contents are undefined until an operator writes them.
    pub(crate) fn empty(device: &Device, shape: &[usize], dtype: Dtype) -> Result<Self> {
        element_count("allocate", shape)?;
        let buffer = device.allocate(dtype.bytes(shape))?;
        Ok(Tensor { device: device.clone(), buffer: Arc::new(buffer), shape: shape.to_vec(), dtype })
    }

    /// A tensor for a kernel of your own to write; its contents are undefined until then.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Limit`] or [`Error::OutOfMemory`].
    pub fn uninitialized(device: &Device, shape: &[usize], dtype: Dtype) -> Result<Self> {
        Self::empty(device, shape, dtype)
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Limit`] or [`Error::OutOfMemory`]; as [`Device::flush`] where much is pending.
    pub fn zeros(device: &Device, shape: &[usize], dtype: Dtype) -> Result<Self> {
        let tensor = Self::empty(device, shape, dtype)?;
        device.clear(tensor.raw(), tensor.byte_len().next_multiple_of(4))?;
        Ok(tensor)
    }

    /// Uploads `data` as an f32 tensor.
    ///
    /// # Errors
    /// [`Error::Shape`] when `data` does not fill `shape`, and allocation errors.
    pub fn from_f32(device: &Device, shape: &[usize], data: &[f32]) -> Result<Self> {
        Self::from_bytes(device, shape, Dtype::F32, bytemuck::cast_slice(data))
    }

    /// Uploads `data` as a u32 tensor.
    ///
    /// # Errors
    /// As [`Tensor::from_f32`].
    pub fn from_u32(device: &Device, shape: &[usize], data: &[u32]) -> Result<Self> {
        Self::from_bytes(device, shape, Dtype::U32, bytemuck::cast_slice(data))
    }

    /// Uploads `data` as an f16 tensor.
    ///
    /// # Errors
    /// As [`Tensor::from_f32`].
    pub fn from_f16(device: &Device, shape: &[usize], data: &[f16]) -> Result<Self> {
        Self::from_bytes(device, shape, Dtype::F16, bytemuck::cast_slice(data))
    }

    /// Uploads `data` as signed bytes with a scale for each row (the last axis): the row's largest magnitude over 127, each
    /// value rounded to the nearest multiple of it. A row with a number that is not finite becomes NaN.
    ///
    /// # Errors
    /// As [`Tensor::from_f32`].
    pub fn from_f32_as_i8(device: &Device, shape: &[usize], data: &[f32]) -> Result<Self> {
        if element_count("upload", shape)? != data.len() {
            return Err(Error::shape("upload", format!("{} numbers for {shape:?}", data.len())));
        }
        let cols = shape.last().copied().unwrap_or(1).max(1);
        let (bytes, scales): (Vec<Vec<i8>>, Vec<f32>) = data.chunks_exact(cols).map(quantize_row).unzip();
        let mut bytes: Vec<u8> = bytes.into_iter().flatten().map(|b| b.cast_unsigned()).collect();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(bytemuck::cast_slice(&scales));
        Self::from_bytes(device, shape, Dtype::I8, &bytes)
    }

    fn from_bytes(device: &Device, shape: &[usize], dtype: Dtype, bytes: &[u8]) -> Result<Self> {
        let tensor = Self::empty(device, shape, dtype)?;
        tensor.write_bytes(bytes)?;
        Ok(tensor)
    }

    /// Overwrites an f32 tensor from the host, after every command recorded so far and before every later one.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Dtype`] when `data` does not fit.
    pub fn write_f32(&self, data: &[f32]) -> Result<()> {
        if self.dtype != Dtype::F32 {
            return Err(Error::Dtype { op: "write_f32", what: format!("the tensor is {:?}", self.dtype) });
        }
        self.write_bytes(bytemuck::cast_slice(data))
    }

    fn write_bytes(&self, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 != self.byte_len() {
            return Err(Error::shape(
                "upload",
                format!("{} bytes of data for {:?} of {:?}", bytes.len(), self.shape, self.dtype),
            ));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.device.write(self.raw(), bytes)
    }

    /// Device of the tensor.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Sizes of the axes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of the last axis (1 for a scalar) and the number of rows of that size.
    pub fn rows_cols(&self) -> (usize, usize) {
        let cols = self.shape.last().copied().unwrap_or(1);
        (self.shape.iter().rev().skip(1).product(), cols)
    }

    /// Bytes of its elements on the device, without what the allocator rounds up.
    pub fn byte_len(&self) -> u64 {
        self.dtype.bytes(&self.shape)
    }

    pub(crate) fn raw(&self) -> &wgpu::Buffer {
        // The buffer leaves its owner only in `drop`.
        self.buffer.raw.as_ref().unwrap_or(self.device.placeholder())
    }

    /// The wgpu buffer, at least as long as the tensor, for commands of your own.
    pub fn wgpu_buffer(&self) -> &wgpu::Buffer {
        self.raw()
    }

    /// The same memory under another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] when the number of elements differs; of [`Dtype::I8`], when the last axis does.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if element_count("reshape", shape)? != self.len() {
            return Err(Error::shape("reshape", format!("{:?} to {shape:?}", self.shape)));
        }
        if self.dtype == Dtype::I8 && shape.last() != self.shape.last() {
            return Err(Error::shape("reshape", format!("{:?} to {shape:?}: rows have scales", self.shape)));
        }
        Ok(Tensor { shape: shape.to_vec(), ..self.clone() })
    }

    /// A copy with memory of its own.
    ///
    /// # Errors
    /// Allocation errors.
    pub fn copy(&self) -> Result<Self> {
        let out = Self::empty(&self.device, &self.shape, self.dtype)?;
        out.copy_from(self)?;
        Ok(out)
    }

    /// Overwrites this tensor with the contents of another of the same size and type.
    ///
    /// # Errors
    /// [`Error::Shape`] when sizes or types differ; as [`Device::flush`] where much is pending.
    pub fn copy_from(&self, source: &Tensor) -> Result<()> {
        if source.len() != self.len() || source.dtype != self.dtype || source.byte_len() != self.byte_len() {
            return Err(Error::shape("copy", format!("{:?} into {:?}", source.shape, self.shape)));
        }
        if !source.device.same(&self.device) {
            return Err(Error::DeviceMismatch { op: "copy" });
        }
        if !self.is_empty() && source.raw() != self.raw() {
            self.device.copy(source.raw(), self.raw(), self.byte_len().next_multiple_of(4))?;
        }
        Ok(())
    }

    /// Reads the contents back. Resolves when the GPU has run every command that was recorded before the first poll.
    ///
    /// The future never waits for the GPU in its own thread: it is pending, and woken when the bytes are there. A thread of
    /// the device's own waits meanwhile; in a browser the event loop does.
    ///
    /// # Errors
    /// Whatever the GPU reported, [`Error::DeviceLost`] included.
    pub async fn read_bytes(&self) -> Result<Vec<u8>> {
        match self.byte_len() {
            0 => Ok(Vec::new()),
            len => self.device.read(self.raw(), len).await,
        }
    }

    /// Blocking form of [`Tensor::read_bytes`].
    ///
    /// # Errors
    /// As [`Tensor::read_bytes`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        match self.byte_len() {
            0 => Ok(Vec::new()),
            len => self.device.read_now(self.raw(), len),
        }
    }

    fn has_floats(&self) -> Result<()> {
        match self.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::I8 => Ok(()),
            Dtype::U32 => Err(Error::Dtype { op: "read_f32", what: "the tensor is U32".into() }),
        }
    }

    fn has_words(&self) -> Result<()> {
        if self.dtype == Dtype::U32 {
            return Ok(());
        }
        Err(Error::Dtype { op: "read_u32", what: format!("the tensor is {:?}", self.dtype) })
    }

    /// The numbers that `bytes` of this tensor stand for.
    fn floats(&self, bytes: &[u8]) -> Vec<f32> {
        match self.dtype {
            Dtype::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(bytes).into_iter().map(f16::to_f32).collect(),
            Dtype::I8 => {
                let (rows, cols) = self.rows_cols();
                let scales = bytemuck::pod_collect_to_vec::<u8, f32>(&bytes[(rows * cols).next_multiple_of(4)..]);
                let rows = bytes.chunks_exact(cols.max(1)).zip(scales);
                rows.flat_map(|(row, scale)| row.iter().map(move |b| scale * f32::from(b.cast_signed()))).collect()
            }
            _ => bytemuck::pod_collect_to_vec(bytes),
        }
    }

    /// Reads an f32, f16 or i8 tensor back as f32.
    ///
    /// # Errors
    /// [`Error::Dtype`] for integers, and as [`Tensor::read_bytes`].
    pub async fn read_f32(&self) -> Result<Vec<f32>> {
        self.has_floats()?;
        Ok(self.floats(&self.read_bytes().await?))
    }

    /// Reads a u32 tensor back.
    ///
    /// # Errors
    /// [`Error::Dtype`] for other types, and as [`Tensor::read_bytes`].
    pub async fn read_u32(&self) -> Result<Vec<u32>> {
        self.has_words()?;
        Ok(bytemuck::pod_collect_to_vec(&self.read_bytes().await?))
    }

    /// Blocking form of [`Tensor::read_f32`].
    ///
    /// # Errors
    /// As [`Tensor::read_f32`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        self.has_floats()?;
        Ok(self.floats(&self.to_bytes()?))
    }

    /// Blocking form of [`Tensor::read_u32`].
    ///
    /// # Errors
    /// As [`Tensor::read_u32`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_u32(&self) -> Result<Vec<u32>> {
        self.has_words()?;
        Ok(bytemuck::pod_collect_to_vec(&self.to_bytes()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_shape_are_counted_without_overflow() {
        for (dtype, shape, want) in [
            (Dtype::F32, &[3, 5][..], 60),
            (Dtype::F16, &[3, 5], 30),
            // 15 bytes, one of padding, three scales.
            (Dtype::I8, &[3, 5], 28),
            (Dtype::I8, &[], 8),
            (Dtype::U32, &[], 4),
        ] {
            assert_eq!(dtype.bytes(shape), want, "{dtype:?} {shape:?}");
        }
        for dtype in [Dtype::F32, Dtype::F16, Dtype::I8, Dtype::U32] {
            for shape in [&[usize::MAX, usize::MAX, 3][..], &[usize::MAX / 2 + 1, 2, 4], &[4, usize::MAX, usize::MAX]] {
                assert_eq!(dtype.bytes(shape), u64::MAX, "{dtype:?} {shape:?}");
            }
            assert_eq!(dtype.bytes(&[usize::MAX, usize::MAX, 0]), 0);
            assert_eq!(dtype.bytes(&[0, usize::MAX, usize::MAX]), 0);
        }
    }
}
