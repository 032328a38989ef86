//! One safetensors file: 8 bytes of header length (little-endian), a JSON header, the tensors' bytes.
//!
//! Format: <https://github.com/huggingface/safetensors>. Read and written here rather than by that crate, so that
//! errors about a malformed file name the tensor, sums of offsets cannot wrap, and the bytes written are the same every
//! time.

use super::convert::{self, quantise_rows};
use super::source::{Dtype, SCALE_SUFFIX, TensorView, WeightSource};
use crate::error::{ModelError, Result};
use crate::json::json_fault;
use half::{bf16, f16};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;

/// The reference's limit on the header, bytes.
const MAX_HEADER: u64 = 100_000_000;
const METADATA: &str = "__metadata__";

/// A safetensors file in memory (or mapped into it). Parsing looks only at the header.
#[derive(Debug)]
pub struct SafeTensors<'a> {
    data: &'a [u8],
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
    #[serde(skip)]
    parsed: Option<Dtype>,
}

/// The header with its keys in order of appearance, so that duplicates are seen.
struct Header {
    tensors: Vec<(String, Entry)>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header { tensors: Vec::new(), metadata: BTreeMap::new() };
                while let Some(key) = map.next_key::<String>()? {
                    if key == METADATA {
                        header.metadata = map.next_value()?;
                    } else {
                        header.tensors.push((key, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl<'a> SafeTensors<'a> {
    /// Reads the header of `bytes`, a whole file; `file` names it in messages.
    ///
    /// # Errors
    /// [`ModelError::File`]: truncated, not JSON, an unknown element type, a shape that does not fit the bytes that the
    /// offsets span, overlaps, gaps, bytes left over, names that occur twice.
    pub fn parse(file: &str, bytes: &'a [u8]) -> Result<Self> {
        let fail = |what: String| ModelError::File { file: file.to_string(), what };
        if bytes.is_empty() {
            return Err(fail("the file is empty".into()));
        }
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(fail(format!("{} bytes are too few for a header", bytes.len())));
        };
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER {
            return Err(fail(format!(
                "its first eight bytes tell of a header above the limit of {MAX_HEADER} bytes; is this a safetensors file?"
            )));
        }
        let length = length as usize;
        if length > rest.len() {
            let have = rest.len();
            return Err(fail(format!(
                "truncated: the header has {length} bytes, the file only {have} after its start"
            )));
        }
        let (header, data) = rest.split_at(length);
        let header: Header = serde_json::from_slice(header)
            .map_err(|e| fail(format!("the header is not readable: {}", json_fault(&e.to_string()))))?;

        let mut tensors = BTreeMap::new();
        for (name, mut entry) in header.tensors {
            let Some(dtype) = Dtype::from_name(&entry.dtype) else {
                return Err(fail(format!("tensor `{name}` is of the unknown element type {:?}", entry.dtype)));
            };
            entry.parsed = Some(dtype);
            let (start, end) = entry.data_offsets;
            let elements = entry.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            let Some(size) = elements.and_then(|n| n.checked_mul(dtype.size())) else {
                return Err(fail(format!("tensor `{name}`: shape {:?} overflows", entry.shape)));
            };
            if start > end || end > data.len() {
                let n = data.len();
                return Err(fail(format!(
                    "tensor `{name}` is at bytes {start}..{end}, the file holds {n}; truncated?"
                )));
            }
            if end - start != size {
                return Err(fail(format!(
                    "tensor `{name}`: {:?} of {} are {size} bytes, the offsets span {}",
                    entry.shape,
                    entry.dtype,
                    end - start
                )));
            }
            if tensors.insert(name.clone(), entry).is_some() {
                return Err(fail(format!("tensor `{name}` occurs twice")));
            }
        }
        let file = Self { data, tensors, metadata: header.metadata };
        file.check_cover().map_err(fail)?;
        Ok(file)
    }

    /// The tensors must cover the data without overlap, gap or rest.
    fn check_cover(&self) -> Result<(), String> {
        let mut spans: Vec<_> = self.tensors.iter().map(|(name, e)| (e.data_offsets, name)).collect();
        spans.sort();
        let mut at = 0;
        for ((start, end), name) in spans {
            if start < at {
                return Err(format!(
                    "tensor `{name}` starts at byte {start}, inside the one before, which ends at {at}"
                ));
            }
            if start > at {
                return Err(format!("bytes {at}..{start} before tensor `{name}` belong to no tensor"));
            }
            at = end;
        }
        if at != self.data.len() {
            return Err(format!("the tensors end at byte {at}, the file at {}", self.data.len()));
        }
        Ok(())
    }

    /// The free-form strings of the header.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

impl WeightSource for SafeTensors<'_> {
    fn names(&self) -> Vec<Cow<'_, str>> {
        self.tensors.keys().map(|n| Cow::Borrowed(n.as_str())).collect()
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let entry = self.tensors.get(name)?;
        let (start, end) = entry.data_offsets;
        Some(TensorView { dtype: entry.parsed?, shape: &entry.shape, bytes: self.data.get(start..end)? })
    }
}

/// Collects tensors and makes a safetensors file of them. The bytes depend only on what was added, not on the order.
#[derive(Debug, Default)]
pub struct Writer {
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    metadata: BTreeMap<String, String>,
}

impl Writer {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// A free-form string of the header.
    pub fn metadata(&mut self, key: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    fn add(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Result<()> {
        let fail = |what: String| Err(ModelError::File { file: "being written".into(), what });
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if elements.and_then(|n| n.checked_mul(dtype.size())) != Some(bytes.len()) {
            let n = bytes.len() / dtype.size();
            return fail(format!("tensor `{name}` of shape {shape:?} was given {n} elements"));
        }
        if name == METADATA {
            return fail(format!("no tensor may be named `{METADATA}`"));
        }
        if self.tensors.insert(name.to_string(), (dtype, shape.to_vec(), bytes)).is_some() {
            return fail(format!("tensor `{name}` was added twice"));
        }
        Ok(())
    }

    /// Adds a tensor as f32.
    ///
    /// # Errors
    /// As for all floats: NaN, infinities, a length that is not the shape's, a name that is taken.
    pub fn f32(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
        convert::all_finite(name, values)?;
        self.add(name, Dtype::F32, shape, convert::to_bytes(values))
    }

    /// Adds a tensor as f16, rounded to nearest.
    ///
    /// # Errors
    /// As [`Writer::f32`], and a value beyond the largest f16 (65,504).
    pub fn f16(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
        let narrow: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
        if let Some(index) = narrow.iter().position(|v| !v.is_finite()) {
            return Err(ModelError::NonFinite { name: name.to_string(), index, value: values[index] });
        }
        self.add(name, Dtype::F16, shape, convert::to_bytes(&narrow))
    }

    /// Adds a tensor as bf16, rounded to nearest.
    ///
    /// # Errors
    /// As [`Writer::f32`].
    pub fn bf16(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
        let narrow: Vec<bf16> = values.iter().map(|&v| bf16::from_f32(v)).collect();
        if let Some(index) = narrow.iter().position(|v| !v.is_finite()) {
            return Err(ModelError::NonFinite { name: name.to_string(), index, value: values[index] });
        }
        self.add(name, Dtype::Bf16, shape, convert::to_bytes(&narrow))
    }

    /// Adds a tensor as int8 with one f32 scale per outermost index, in `{name}.scale` (see [`quantise_rows`]).
    ///
    /// # Errors
    /// As [`Writer::f32`].
    pub fn i8_rows(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
        convert::all_finite(name, values)?;
        let rows = shape.first().copied().unwrap_or(1);
        if rows == 0 || !values.len().is_multiple_of(rows) {
            let n = values.len();
            let what = format!("tensor `{name}` of shape {shape:?} was given {n} elements");
            return Err(ModelError::File { file: "being written".into(), what });
        }
        let (q, scales) = quantise_rows(values, rows);
        self.add(name, Dtype::I8, shape, convert::to_bytes(&q))?;
        self.f32(&format!("{name}{SCALE_SUFFIX}"), &[rows], &scales)
    }

    /// Adds an i32 tensor.
    ///
    /// # Errors
    /// A length that is not the shape's, a name that is taken.
    pub fn i32(&mut self, name: &str, shape: &[usize], values: &[i32]) -> Result<()> {
        self.add(name, Dtype::I32, shape, convert::to_bytes(values))
    }

    /// The file: tensors with wide elements first, so that each is aligned, then by name.
    pub fn finish(self) -> Result<Vec<u8>> {
        let mut order: Vec<_> = self.tensors.iter().collect();
        order.sort_by_key(|(name, (dtype, ..))| (std::cmp::Reverse(dtype.size()), name.as_str()));
        let list: Vec<_> =
            order.iter().map(|(name, (d, shape, bytes))| (name.as_str(), *d, &shape[..], bytes.len())).collect();
        let (mut header, at) = header(&self.metadata, &list)?;
        let mut out = Vec::with_capacity(8 + header.len() + at);
        out.extend((header.len() as u64).to_le_bytes());
        out.append(&mut header);
        for (_, (_, _, bytes)) in &order {
            out.extend_from_slice(bytes);
        }
        Ok(out)
    }
}

/// The header of a file with these tensors in this order (name, element type, shape, bytes), padded so that the tensors
/// are aligned, and their bytes together.
fn header(metadata: &BTreeMap<String, String>, list: &[(&str, Dtype, &[usize], usize)]) -> Result<(Vec<u8>, usize)> {
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.into(), serde_json::json!(metadata));
    }
    let mut at = 0;
    for &(name, dtype, shape, bytes) in list {
        let offsets = [at, at + bytes];
        at += bytes;
        let entry = serde_json::json!({"dtype": dtype.name(), "shape": shape, "data_offsets": offsets});
        header.insert(name.to_string(), entry);
    }
    let mut header = serde_json::to_vec(&header)
        .map_err(|e| ModelError::File { file: "being written".into(), what: e.to_string() })?;
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() as u64 > MAX_HEADER {
        let what =
            format!("its header would have {} bytes, and one that is read has at most {MAX_HEADER}", header.len());
        return Err(ModelError::File { file: "being written".into(), what });
    }
    Ok((header, at))
}

/// What stands before the bytes of tensors that follow each other in this order (name, element type, shape). Those with wide elements
/// come first, so that each is aligned.
///
/// # Errors
/// [`ModelError::File`] for a shape that overflows, and for a header that no reader would take.
pub fn safetensors_start(tensors: &[(&str, Dtype, &[usize])], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut list = Vec::with_capacity(tensors.len());
    for &(name, dtype, shape) in tensors {
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let Some(bytes) = elements.and_then(|n| n.checked_mul(dtype.size())) else {
            let what = format!("tensor `{name}`: shape {shape:?} overflows");
            return Err(ModelError::File { file: "being written".into(), what });
        };
        list.push((name, dtype, shape, bytes));
    }
    let (header, _) = header(metadata, &list)?;
    Ok([&(header.len() as u64).to_le_bytes()[..], &header].concat())
}

/// Writes all tensors of `source` as they are, one by one, without a copy of them all in memory. The bytes depend only
/// on what the source holds. `done` is called with the bytes written so far and those of the whole file.
///
/// # Errors
/// [`ModelError::NonFinite`] for floats that are NaN or infinite, [`ModelError::Write`] when `out` refuses.
pub fn write_safetensors(
    source: &(impl WeightSource + ?Sized),
    metadata: &BTreeMap<String, String>,
    out: &mut dyn Write,
    mut done: impl FnMut(u64, u64),
) -> Result<()> {
    let names = source.names();
    let mut tensors: Vec<(&str, TensorView<'_>)> =
        names.iter().filter_map(|n| Some((n.as_ref(), source.tensor(n)?))).collect();
    if let Some((name, _)) = tensors.iter().find(|(name, _)| *name == METADATA) {
        let what = format!("no tensor may be named `{name}`");
        return Err(ModelError::File { file: "being written".into(), what });
    }
    tensors.sort_by_key(|(name, t)| (std::cmp::Reverse(t.dtype.size()), *name));
    let list: Vec<_> = tensors.iter().map(|(name, t)| (*name, t.dtype, t.shape, t.bytes.len())).collect();
    let (header, data) = header(metadata, &list)?;
    let total = (8 + header.len() + data) as u64;
    let mut written = 0;
    let mut write = |bytes: &[u8]| -> Result<()> {
        out.write_all(bytes).map_err(|e| ModelError::Write { what: e.to_string() })?;
        written += bytes.len() as u64;
        done(written, total);
        Ok(())
    };
    write(&(header.len() as u64).to_le_bytes())?;
    write(&header)?;
    for (name, tensor) in &tensors {
        convert::check_finite(name, tensor)?;
        tensor.bytes.chunks(8 << 20).try_for_each(&mut write)?;
    }
    Ok(())
}
