//! Where tensors come from: element types, one tensor, a source of tensors by name.

use std::borrow::Cow;

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

/// A source of tensors, which are asked for by name.
pub trait WeightSource {
    /// All names, sorted.
    fn names(&self) -> Vec<Cow<'_, str>>;

    /// One tensor, `None` where there is none of that name.
    fn tensor(&self, name: &str) -> Option<TensorView<'_>>;

    /// Element type and shape of a tensor, `None` where there is none of that name; no elements are read or put in order.
    fn form(&self, name: &str) -> Option<(Dtype, &[usize])> {
        self.tensor(name).map(|tensor| (tensor.dtype, tensor.shape))
    }
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
