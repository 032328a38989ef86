//! What the names in a checkpoint's pickle mean: storages, tensors and dicts.
//!
//! Written by `torch/serialization.py` (persistent ids) and `torch/_utils.py` (the `_rebuild_…` functions).

use super::{Machine, RawTensor, Step, Storage, Value, kind};
use crate::formats::source::Dtype;

/// Dimensions of a tensor, as in PyTorch.
const MAX_DIMENSIONS: usize = 64;

impl<'a> Machine<'a> {
    /// `('storage', type, key, location, count)`; any other id is opaque.
    pub(super) fn persistent(&mut self, id: Value<'a>) -> Step<Value<'a>> {
        let storage = match *self.tuple(id)? {
            [Value::Str("storage"), Value::Global(_, class), Value::Str(key), _, Value::Int(count)] => {
                let count = usize::try_from(count).map_err(|_| format!("a storage of {count} elements"))?;
                let dtype = match class {
                    "UntypedStorage" => None,
                    class => match storage_dtype(class) {
                        Some(dtype) => Some(dtype),
                        None => return Ok(Value::Opaque("torch", class)),
                    },
                };
                Storage { dtype, key, count }
            }
            _ => return Ok(Value::Opaque("persistent", "id")),
        };
        self.count(1)?;
        self.out.storages.push(storage);
        Ok(Value::Storage(self.out.storages.len() - 1))
    }

    /// The value that calling `what` stands for. Nothing is called: the few functions that describe data are imitated.
    pub(super) fn call(&mut self, what: Value<'a>, args: Value<'a>) -> Step<Value<'a>> {
        let (module, name) = match what {
            Value::Global(module, name) => (module, name),
            Value::Opaque(module, name) => return Ok(Value::Opaque(module, name)),
            other => return Err(format!("{} is called", kind(&other))),
        };
        let opaque = Ok(Value::Opaque(module, name));
        match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                let args = self.tuple(args)?;
                let &[storage, offset, shape, strides, ..] = args else {
                    return Err(format!("{name} with {} arguments", args.len()));
                };
                let dtype = if name == "_rebuild_tensor_v3" { args.get(6).copied() } else { None };
                self.tensor(storage, offset, shape, strides, dtype)
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                self.tuple(args)?.first().copied().ok_or_else(|| format!("{name} without a tensor"))
            }
            ("torch", "Size") => match self.tuple(args)? {
                &[sizes @ Value::Tuple(_)] => Ok(sizes),
                _ => opaque,
            },
            ("collections", "OrderedDict") | ("builtins" | "__builtin__", "dict") => {
                let pairs = match self.tuple(args)? {
                    [] => Vec::new(),
                    &[Value::List(i)] => self.out.lists[i].clone(),
                    _ => return opaque,
                };
                let dict = self.dict()?;
                self.count(pairs.len())?;
                let Value::Dict(at) = dict else { return opaque };
                for pair in pairs {
                    let (Value::List(i) | Value::Tuple(i)) = pair else { return opaque };
                    let &[key, value] = self.out.lists[i].as_slice() else { return opaque };
                    self.out.dicts[at].push((key, value));
                }
                Ok(dict)
            }
            _ => opaque,
        }
    }

    fn tensor(
        &mut self,
        storage: Value<'a>,
        offset: Value<'a>,
        shape: Value<'a>,
        strides: Value<'a>,
        dtype: Option<Value<'a>>,
    ) -> Step<Value<'a>> {
        let index = match storage {
            Value::Storage(index) => index,
            // A storage of a type that is not read here.
            Value::Opaque(module, name) => return Ok(Value::Opaque(module, name)),
            other => return Err(format!("a tensor of {}", kind(&other))),
        };
        let dtype = match (dtype, self.out.storages[index].dtype) {
            (None, Some(dtype)) => dtype,
            (Some(Value::Global("torch", name)), None) => match torch_dtype(name) {
                Some(dtype) => dtype,
                None => return Ok(Value::Opaque("torch", name)),
            },
            _ => return Err("a tensor without an element type".into()),
        };
        let Value::Int(offset) = offset else { return Err("a storage offset that is no number".into()) };
        let offset = usize::try_from(offset).map_err(|_| format!("a storage offset of {offset}"))?;
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return Err(format!("a shape of {} axes with {} strides", shape.len(), strides.len()));
        }
        self.count(1 + 2 * shape.len())?;
        self.out.tensors.push(RawTensor { storage: index, dtype, offset, shape, strides });
        Ok(Value::Tensor(self.out.tensors.len() - 1))
    }

    fn sizes(&self, value: Value<'a>) -> Step<Vec<usize>> {
        let sizes = self.tuple(value)?;
        if sizes.len() > MAX_DIMENSIONS {
            return Err(format!("a tensor of {} axes, the limit is {MAX_DIMENSIONS}", sizes.len()));
        }
        let size = |v: &Value<'a>| match *v {
            Value::Int(n) => usize::try_from(n).map_err(|_| format!("a size or stride of {n}")),
            ref other => Err(format!("{} where a size is expected", kind(other))),
        };
        sizes.iter().map(size).collect()
    }
}

/// The element type of a storage class.
fn storage_dtype(class: &str) -> Option<Dtype> {
    Some(match class {
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::Bf16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::Bool,
        _ => return None,
    })
}

/// The element type of `torch.{name}`, for tensors over storages of bytes.
fn torch_dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::Bf16,
        "float8_e5m2" => Dtype::F8E5M2,
        "float8_e4m3fn" => Dtype::F8E4M3,
        "int64" => Dtype::I64,
        "int32" => Dtype::I32,
        "int16" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint64" => Dtype::U64,
        "uint32" => Dtype::U32,
        "uint16" => Dtype::U16,
        "uint8" => Dtype::U8,
        "bool" => Dtype::Bool,
        _ => return None,
    })
}
