//! PyTorch checkpoints (`torch.save`, the zip format of PyTorch 1.6 and later).
//!
//! The archive holds one folder: `data.pkl`, the pickle that says what there is, `data/{key}`, one file of raw elements
//! for each storage, and `byteorder`. The elements are not compressed, so tensors are slices of the mapped file.

use super::archive::Archive;
use super::pickle::{self, Pickle, Value};
use super::source::{Dtype, TensorView, WeightSource};
use crate::error::{ModelError, Result};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

/// Deepest nesting of dicts and lists.
const MAX_DEPTH: usize = 64;
/// Most values that are visited: containers can be shared, so that there can be many more values than bytes.
const MAX_VISITS: usize = 1 << 22;
/// Most bytes of all names together.
const MAX_NAMES: usize = 1 << 28;
/// How many times the file's bytes the strided tensors may take that are put in order.
const MAX_COPIED: usize = 4;
/// The first bytes of the format before PyTorch 1.6: a pickle of the number 0x1950a86a20f9469cfc6c.
const LEGACY: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";

/// A value of a checkpoint that is not a tensor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PtValue {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(String),
}

/// A checkpoint in memory, or mapped into it. Nothing of it is executed.
///
/// Dicts and lists in it are flattened: `encoder.norm.weight` is the entry `norm.weight` of the dict `encoder`.
#[derive(Debug)]
pub struct PtFile<'a> {
    file: String,
    data: &'a [u8],
    tensors: BTreeMap<String, Entry<'a>>,
    values: BTreeMap<String, PtValue>,
    opaque: BTreeMap<String, String>,
    /// Indices of the archive's members that were read.
    members: Vec<usize>,
}

#[derive(Debug)]
struct Entry<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// Those of the storage, from the first element on.
    bytes: &'a [u8],
    /// The elements in row-major order, where the storage has another; made on first use.
    gathered: Option<OnceLock<Vec<u8>>>,
}

impl Entry<'_> {
    /// Bytes of the elements.
    fn size(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

impl<'a> PtFile<'a> {
    /// Reads the pickle of `bytes`, a whole file; `file` names it in messages.
    ///
    /// # Errors
    /// [`ModelError::Checkpoint`]: no such archive, truncated, compressed or encrypted, a pickle that is damaged or
    /// does more than `torch.save` writes, tensors that reach beyond their storage.
    pub fn parse(file: &str, bytes: &'a [u8]) -> Result<Self> {
        let fail = |what: String| ModelError::Checkpoint { file: file.to_string(), what };
        if bytes.is_empty() {
            return Err(fail("the file is empty".into()));
        }
        if bytes.starts_with(LEGACY) {
            return Err(fail("a file of the format before PyTorch 1.6; load it in PyTorch and save it again".into()));
        }
        if !bytes.starts_with(b"PK") {
            return Err(fail("not a zip archive; is this a file that torch.save wrote?".into()));
        }
        let mut archive = Archive::open(bytes).map_err(fail)?;
        let (pickle_at, pickle_bytes) = archive.member("data.pkl").map_err(fail)?;
        if archive.names.contains_key(&format!("{}constants.pkl", archive.prefix)) {
            return Err(fail("a TorchScript program, not weights; save its state_dict() with torch.save".into()));
        }
        let mut members = vec![pickle_at];
        if archive.names.contains_key(&format!("{}byteorder", archive.prefix)) {
            let (at, order) = archive.member("byteorder").map_err(fail)?;
            members.push(at);
            if order != b"little" {
                let order = String::from_utf8_lossy(&order[..order.len().min(16)]).into_owned();
                return Err(fail(format!("byte order {order:?}; only little-endian files are read")));
            }
        }
        let pickle = pickle::read(pickle_bytes).map_err(fail)?;
        let mut walk = Walk { pickle: &pickle, out: Self::empty(file, bytes), visits: 0, names: 0, found: Vec::new() };
        walk.run().map_err(fail)?;
        let Walk { mut out, found, .. } = walk;
        let mut storages = HashMap::new();
        let mut copied = 0usize;
        for (name, index) in found {
            let entry =
                archive.tensor(&pickle, index, &mut storages).map_err(|e| fail(format!("tensor `{name}`: {e}")))?;
            // Views of one storage can be many times as large as the file.
            copied += if entry.gathered.is_some() { entry.size() } else { 0 };
            let limit = MAX_COPIED.saturating_mul(bytes.len());
            if copied > limit {
                return Err(fail(format!(
                    "with tensor `{name}`, views of shared storages would take more than {limit} bytes, {MAX_COPIED} times \
                     the file; save contiguous copies of them"
                )));
            }
            if out.tensors.contains_key(&name) {
                return Err(fail(format!("tensor `{name}` occurs twice")));
            }
            out.tensors.insert(name, entry);
        }
        members.extend(storages.values().map(|&(at, _)| at));
        members.sort_unstable();
        members.dedup();
        out.members = members;
        Ok(out)
    }

    fn empty(file: &str, data: &'a [u8]) -> Self {
        PtFile {
            file: file.to_string(),
            data,
            tensors: BTreeMap::new(),
            values: BTreeMap::new(),
            opaque: BTreeMap::new(),
            members: Vec::new(),
        }
    }

    /// Numbers, texts and truth values by name.
    pub fn values(&self) -> &BTreeMap<String, PtValue> {
        &self.values
    }

    /// What could not be read, by name, with the Python class or function that would have made it.
    pub fn opaque(&self) -> &BTreeMap<String, String> {
        &self.opaque
    }

    /// The first parts of all names: the entries of the dict that was saved.
    pub fn entries(&self) -> Vec<&str> {
        let names = self.tensors.keys().chain(self.values.keys()).chain(self.opaque.keys());
        let mut out: Vec<&str> = names.filter_map(|n| n.split('.').next()).collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Reads everything once and compares it with the checksums of the archive.
    ///
    /// # Errors
    /// [`ModelError::Checkpoint`] where they differ, as they also do in files that were written with checksums switched
    /// off (`torch.serialization.set_crc32_options(False)`).
    pub fn verify(&self) -> Result<()> {
        let fail = |what: String| ModelError::Checkpoint { file: self.file.clone(), what };
        let mut archive = Archive::open(self.data).map_err(fail)?;
        for &at in &self.members {
            let mut member = archive.zip.by_index(at).map_err(|e| fail(e.to_string()))?;
            let name = member.name().to_string();
            std::io::copy(&mut member, &mut std::io::sink()).map_err(|e| {
                fail(format!(
                    "`{name}` is damaged, or was written with checksums switched off ({e}); get the file again"
                ))
            })?;
        }
        Ok(())
    }
}

impl WeightSource for PtFile<'_> {
    fn names(&self) -> Vec<Cow<'_, str>> {
        self.tensors.keys().map(|n| Cow::Borrowed(n.as_str())).collect()
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let entry = self.tensors.get(name)?;
        let bytes = match &entry.gathered {
            None => entry.bytes,
            Some(cell) => cell.get_or_init(|| gather(entry)),
        };
        Some(TensorView { dtype: entry.dtype, shape: &entry.shape, bytes })
    }

    fn form(&self, name: &str) -> Option<(Dtype, &[usize])> {
        self.tensors.get(name).map(|entry| (entry.dtype, entry.shape.as_slice()))
    }
}

/// The elements of a strided view, row-major.
fn gather(entry: &Entry<'_>) -> Vec<u8> {
    let size = entry.dtype.size();
    let count: usize = entry.shape.iter().product();
    let mut out = Vec::with_capacity(count * size);
    let mut index = vec![0; entry.shape.len()];
    // The stride of an axis of one element may be any number: sums may wrap, and wrap back.
    let mut at = 0usize;
    for _ in 0..count {
        out.extend_from_slice(&entry.bytes[at * size..(at + 1) * size]);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            at = at.wrapping_add(entry.strides[axis]);
            if index[axis] < entry.shape[axis] {
                break;
            }
            at = at.wrapping_sub(entry.strides[axis].wrapping_mul(entry.shape[axis]));
            index[axis] = 0;
        }
    }
    out
}

/// Index in the archive, and bytes, of the storages read so far, by key.
type Storages<'a> = HashMap<&'a str, (usize, &'a [u8])>;

impl<'a> Archive<'a> {
    /// A tensor of the pickle with its bytes, after a check that they lie within its storage.
    fn tensor(&mut self, pickle: &Pickle<'a>, index: usize, seen: &mut Storages<'a>) -> Result<Entry<'a>, String> {
        let raw = &pickle.tensors[index];
        let storage = &pickle.storages[raw.storage];
        let bytes = match seen.get(storage.key) {
            Some(&(_, bytes)) => bytes,
            None => {
                if !storage.key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    return Err(format!("its storage is called {:?}", storage.key));
                }
                let (at, bytes) = self.member(&format!("data/{}", storage.key))?;
                seen.insert(storage.key, (at, bytes));
                bytes
            }
        };
        let element = storage.dtype.map_or(1, Dtype::size);
        let size = raw.dtype.size();
        if storage.count.checked_mul(element) != Some(bytes.len()) {
            let (count, n) = (storage.count, bytes.len());
            return Err(format!("its storage is said to have {count} elements of {element} bytes, and has {n} bytes"));
        }
        let overflow = || format!("shape {:?} overflows", raw.shape);
        let count = raw.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(overflow)?;
        let total = count.checked_mul(size).ok_or_else(overflow)?;
        // The furthest element; without elements there is none, and the offset must still be inside.
        let mut last = raw.offset;
        if count > 0 {
            for (&d, &stride) in raw.shape.iter().zip(&raw.strides) {
                let span = stride.checked_mul(d - 1).ok_or_else(overflow)?;
                last = last.checked_add(span).ok_or_else(overflow)?;
            }
        }
        let have = bytes.len() / size;
        if last >= have && !(count == 0 && last <= have) {
            return Err(format!(
                "{:?} with strides {:?} from element {} reaches element {last}, its storage has {have}",
                raw.shape, raw.strides, raw.offset
            ));
        }
        if total > bytes.len() {
            return Err(format!("{:?} repeats its {have} elements; save a contiguous copy of it", raw.shape));
        }
        let mut expected = 1usize;
        let mut contiguous = true;
        for (&d, &stride) in raw.shape.iter().zip(&raw.strides).rev() {
            contiguous &= d == 1 || stride == expected;
            expected = expected.wrapping_mul(d);
        }
        let contiguous = contiguous || count == 0;
        let rest = bytes.get(raw.offset * size..).unwrap_or_default();
        Ok(Entry {
            dtype: raw.dtype,
            shape: raw.shape.clone(),
            strides: raw.strides.clone(),
            bytes: if contiguous { &rest[..total] } else { rest },
            gathered: (!contiguous).then(OnceLock::new),
        })
    }
}

/// Finds the tensors in nested containers, and gives them their names.
struct Walk<'p, 'a> {
    pickle: &'p Pickle<'a>,
    out: PtFile<'a>,
    visits: usize,
    names: usize,
    /// Names, and indices in the pickle's table of tensors.
    found: Vec<(String, usize)>,
}

impl Walk<'_, '_> {
    fn run(&mut self) -> Result<(), String> {
        self.value(self.pickle.root, String::new(), 0)
    }

    fn value(&mut self, value: Value<'_>, name: String, depth: usize) -> Result<(), String> {
        self.visits += 1;
        self.names += name.len();
        if self.visits > MAX_VISITS || self.names > MAX_NAMES {
            return Err(format!("more than {MAX_VISITS} values, or {MAX_NAMES} bytes of names"));
        }
        if depth > MAX_DEPTH {
            return Err(format!("dicts and lists nested deeper than {MAX_DEPTH}"));
        }
        let below = |part: &str| if depth == 0 { part.to_string() } else { format!("{name}.{part}") };
        let leaf = || if depth == 0 { "value".to_string() } else { name.clone() };
        let plain = match value {
            Value::Dict(i) => {
                for &(key, value) in &self.pickle.dicts[i] {
                    let part = match key {
                        Value::Str(text) => text.to_string(),
                        Value::Int(n) => n.to_string(),
                        Value::Bool(b) => b.to_string(),
                        // An entry whose key is no name cannot be asked for.
                        _ => continue,
                    };
                    self.value(value, below(&part), depth + 1)?;
                }
                return Ok(());
            }
            Value::List(i) | Value::Tuple(i) => {
                for (at, &value) in self.pickle.lists[i].iter().enumerate() {
                    self.value(value, below(&at.to_string()), depth + 1)?;
                }
                return Ok(());
            }
            Value::Tensor(index) => {
                self.found.push((leaf(), index));
                return Ok(());
            }
            Value::Opaque(module, class) | Value::Global(module, class) => {
                self.out.opaque.insert(leaf(), format!("{module}.{class}"));
                return Ok(());
            }
            Value::Storage(_) => {
                self.out.opaque.insert(leaf(), "a storage without a tensor".into());
                return Ok(());
            }
            Value::Bytes(bytes) => {
                self.out.opaque.insert(leaf(), format!("{} bytes", bytes.len()));
                return Ok(());
            }
            Value::None => PtValue::None,
            Value::Bool(b) => PtValue::Bool(b),
            Value::Int(n) => PtValue::Int(n),
            Value::Float(x) => PtValue::Float(x),
            Value::Str(text) => PtValue::Text(text.to_string()),
        };
        self.out.values.insert(leaf(), plain);
        Ok(())
    }
}
