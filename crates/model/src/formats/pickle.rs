//! A reader of pickles as data: the opcodes that `torch.save` writes, and no calls.
//!
//! Opcodes: CPython's `pickletools`. Of all that a pickle may name, only the functions in `Machine::call` mean anything
//! here, and what they mean is written there; any other name stays a name ([`Value::Opaque`] when it is called).
//! Strings borrow from the input. Lists, tuples and dicts live in tables and are referred to by number, so that nothing
//! recurses, whatever the nesting, and a list that holds itself is harmless.

mod torch;

use super::source::Dtype;
use std::collections::HashMap;

/// Most bytes of a pickle. Those of checkpoints have a few megabytes; the elements are in files of their own.
pub(super) const MAX_BYTES: usize = 64 << 20;
/// Most items on the stack, entries of the memo, and items in all containers together.
const MAX_ITEMS: usize = 1 << 22;

/// One value of a pickle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(&'a str),
    Bytes(&'a [u8]),
    List(usize),
    Tuple(usize),
    Dict(usize),
    /// Module and name.
    Global(&'a str, &'a str),
    Storage(usize),
    Tensor(usize),
    /// What a function or class of this module and name would have made.
    Opaque(&'a str, &'a str),
}

/// A block of elements outside the pickle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    /// Element type; `None` for a storage of plain bytes.
    pub(super) dtype: Option<Dtype>,
    /// The name of its file in the archive.
    pub(super) key: &'a str,
    /// Elements, or bytes of a storage without type.
    pub(super) count: usize,
}

/// A view of a storage. Its sizes are not yet checked against the storage.
#[derive(Clone, Debug)]
pub(super) struct RawTensor {
    pub(super) storage: usize,
    pub(super) dtype: Dtype,
    /// In elements.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// What a pickle holds.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) root: Value<'a>,
    pub(super) lists: Vec<Vec<Value<'a>>>,
    pub(super) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<RawTensor>,
}

/// Reads a pickle; the error says what is wrong at which byte.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("the pickle has {} bytes, the limit is {MAX_BYTES}", bytes.len()));
    }
    let mut machine = Machine {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        items: 0,
        out: Pickle {
            root: Value::None,
            lists: Vec::new(),
            dicts: Vec::new(),
            storages: Vec::new(),
            tensors: Vec::new(),
        },
    };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(true) => {}
            Ok(false) => return Ok(machine.out),
            Err(what) => return Err(format!("pickle, byte {at}: {what}")),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// Heights of the stack where a mark was set.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    items: usize,
    out: Pickle<'a>,
}

type Step<T = ()> = Result<T, String>;

impl<'a> Machine<'a> {
    fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else { return Err("truncated".into()) };
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    fn fixed<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u8(&mut self) -> Step<usize> {
        Ok(usize::from(self.fixed::<1>()?[0]))
    }

    fn u32(&mut self) -> Step<usize> {
        Ok(u32::from_le_bytes(self.fixed()?) as usize)
    }

    fn u64(&mut self) -> Step<usize> {
        usize::try_from(u64::from_le_bytes(self.fixed()?)).map_err(|_| "a length beyond the address space".into())
    }

    fn text(&mut self, n: usize) -> Step<&'a str> {
        std::str::from_utf8(self.take(n)?).map_err(|_| "text that is not UTF-8".into())
    }

    fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.at..];
        let Some(n) = rest.iter().take(4096).position(|&b| b == b'\n') else {
            return Err("a name without end".into());
        };
        let text = self.text(n)?;
        self.at += 1;
        Ok(text)
    }

    fn count(&mut self, n: usize) -> Step {
        self.items = self.items.saturating_add(n);
        if self.items > MAX_ITEMS { Err(format!("more than {MAX_ITEMS} items")) } else { Ok(()) }
    }

    fn push(&mut self, value: Value<'a>) -> Step<bool> {
        if self.stack.len() >= MAX_ITEMS {
            return Err(format!("more than {MAX_ITEMS} values on the stack"));
        }
        self.stack.push(value);
        Ok(true)
    }

    /// The top of the stack; never what lies under a mark.
    fn pop(&mut self) -> Step<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("a value is missing on the stack".into());
        }
        self.stack.pop().ok_or_else(|| "a value is missing on the stack".into())
    }

    fn top(&self) -> Step<Value<'a>> {
        self.stack.last().copied().ok_or_else(|| "a value is missing on the stack".into())
    }

    /// The values above the last mark.
    fn pop_mark(&mut self) -> Step<Vec<Value<'a>>> {
        let Some(mark) = self.marks.pop() else { return Err("a mark is missing".into()) };
        Ok(self.stack.split_off(mark))
    }

    fn list(&mut self, items: Vec<Value<'a>>) -> Step<usize> {
        self.count(items.len() + 1)?;
        self.out.lists.push(items);
        Ok(self.out.lists.len() - 1)
    }

    fn dict(&mut self) -> Step<Value<'a>> {
        self.count(1)?;
        self.out.dicts.push(Vec::new());
        Ok(Value::Dict(self.out.dicts.len() - 1))
    }

    fn push_tuple(&mut self, items: Vec<Value<'a>>) -> Step<bool> {
        let tuple = self.list(items)?;
        self.push(Value::Tuple(tuple))
    }

    fn append(&mut self, values: Vec<Value<'a>>) -> Step<bool> {
        self.count(values.len())?;
        match self.top()? {
            Value::List(i) => self.out.lists[i].extend(values),
            // A set or an object of some class, whose items nothing here needs.
            Value::Opaque(..) => {}
            other => return Err(format!("items for {}", kind(&other))),
        }
        Ok(true)
    }

    fn set_items(&mut self, values: Vec<Value<'a>>) -> Step<bool> {
        self.count(values.len())?;
        match self.top()? {
            Value::Dict(i) => {
                let pairs = values.chunks_exact(2);
                if !pairs.remainder().is_empty() {
                    return Err("a key without a value".into());
                }
                self.out.dicts[i].extend(pairs.map(|p| (p[0], p[1])));
            }
            Value::Opaque(..) => {}
            other => return Err(format!("entries for {}", kind(&other))),
        }
        Ok(true)
    }

    fn memoise(&mut self, key: usize) -> Step<bool> {
        let value = self.top()?;
        if self.memo.len() >= MAX_ITEMS {
            return Err(format!("more than {MAX_ITEMS} memo entries"));
        }
        self.memo.insert(key as u32, value);
        Ok(true)
    }

    fn recall(&mut self, key: usize) -> Step<bool> {
        match self.memo.get(&(key as u32)) {
            Some(&value) => self.push(value),
            None => Err(format!("memo entry {key} was never written")),
        }
    }

    /// A whole number of `n` bytes in two's complement; beyond 64 bits it stays unread.
    fn long(&mut self, n: usize) -> Step<bool> {
        let bytes = self.take(n)?;
        if n > 8 {
            return self.push(Value::Opaque("builtins", "int"));
        }
        let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        wide[..n].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    /// One opcode; `false` at the end.
    fn step(&mut self) -> Step<bool> {
        match self.u8()? as u8 {
            0x80 => match self.u8()? {
                2..=5 => Ok(true),
                other => Err(format!("pickle protocol {other}; 2 to 5 are read")),
            },
            b'.' => {
                self.out.root = self.pop()?;
                if self.stack.is_empty() && self.marks.is_empty() {
                    Ok(false)
                } else {
                    Err("ends with values left over".into())
                }
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' => {
                let n = i32::from_le_bytes(self.fixed()?);
                self.push(Value::Int(n.into()))
            }
            b'K' => {
                let n = self.u8()?;
                self.push(Value::Int(n as i64))
            }
            b'M' => {
                let n = u16::from_le_bytes(self.fixed()?);
                self.push(Value::Int(n.into()))
            }
            0x8a => {
                let n = self.u8()?;
                self.long(n)
            }
            0x8b => {
                let n = self.u32()?;
                self.long(n)
            }
            b'G' => {
                let x = f64::from_be_bytes(self.fixed()?);
                self.push(Value::Float(x))
            }
            b'X' => {
                let n = self.u32()?;
                let text = self.text(n)?;
                self.push(Value::Str(text))
            }
            0x8c => {
                let n = self.u8()?;
                let text = self.text(n)?;
                self.push(Value::Str(text))
            }
            0x8d => {
                let n = self.u64()?;
                let text = self.text(n)?;
                self.push(Value::Str(text))
            }
            op @ (b'T' | b'B') => {
                let n = self.u32()?;
                let bytes = self.take(n)?;
                self.push_bytes(op == b'T', bytes)
            }
            op @ (b'U' | b'C') => {
                let n = self.u8()?;
                let bytes = self.take(n)?;
                self.push_bytes(op == b'U', bytes)
            }
            0x8e | 0x96 => {
                let n = self.u64()?;
                let bytes = self.take(n)?;
                self.push(Value::Bytes(bytes))
            }
            b']' => {
                let list = self.list(Vec::new())?;
                self.push(Value::List(list))
            }
            b'}' => {
                let dict = self.dict()?;
                self.push(dict)
            }
            0x8f => self.push(Value::Opaque("builtins", "set")),
            b'l' => {
                let items = self.pop_mark()?;
                let list = self.list(items)?;
                self.push(Value::List(list))
            }
            b'd' => {
                let items = self.pop_mark()?;
                let dict = self.dict()?;
                self.push(dict)?;
                self.set_items(items)
            }
            0x91 => {
                self.pop_mark()?;
                self.push(Value::Opaque("builtins", "frozenset"))
            }
            b'(' => {
                if self.marks.len() >= MAX_ITEMS {
                    return Err(format!("more than {MAX_ITEMS} marks"));
                }
                self.marks.push(self.stack.len());
                Ok(true)
            }
            b')' => self.push_tuple(Vec::new()),
            b't' => {
                let items = self.pop_mark()?;
                self.push_tuple(items)
            }
            op @ 0x85..=0x87 => {
                let mut items = Vec::with_capacity(3);
                for _ in 0x85..=op {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push_tuple(items)
            }
            b'a' => {
                let value = self.pop()?;
                self.append(vec![value])
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.append(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(vec![key, value])
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(items)
            }
            b'0' => self.pop().map(|_| true),
            b'1' => self.pop_mark().map(|_| true),
            b'2' => {
                let value = self.top()?;
                self.push(value)
            }
            b'q' => {
                let key = self.u8()?;
                self.memoise(key)
            }
            b'r' => {
                let key = self.u32()?;
                self.memoise(key)
            }
            0x94 => self.memoise(self.memo.len()),
            b'h' => {
                let key = self.u8()?;
                self.recall(key)
            }
            b'j' => {
                let key = self.u32()?;
                self.recall(key)
            }
            0x95 => self.fixed::<8>().map(|_| true),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(module, name))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Str(module), Value::Str(name)) = (module, name) else {
                    return Err("a global whose name is no text".into());
                };
                self.push(Value::Global(module, name))
            }
            b'Q' => {
                let id = self.pop()?;
                let value = self.persistent(id)?;
                self.push(value)
            }
            b'R' | 0x81 => {
                let (args, what) = (self.pop()?, self.pop()?);
                let value = self.call(what, args)?;
                self.push(value)
            }
            0x92 => {
                let (_keywords, args, what) = (self.pop()?, self.pop()?, self.pop()?);
                let value = self.call(what, args)?;
                self.push(value)
            }
            // The state of an object: attributes such as `_metadata` of a state dict, which hold no weights.
            b'b' => self.pop().map(|_| true),
            other => Err(format!("opcode {other:#04x} is none that torch.save writes")),
        }
    }

    fn push_bytes(&mut self, text: bool, bytes: &'a [u8]) -> Step<bool> {
        match std::str::from_utf8(bytes) {
            Ok(s) if text => self.push(Value::Str(s)),
            _ => self.push(Value::Bytes(bytes)),
        }
    }

    fn tuple(&self, value: Value<'a>) -> Step<&[Value<'a>]> {
        match value {
            Value::Tuple(i) => Ok(&self.out.lists[i]),
            other => Err(format!("{} where a tuple is expected", kind(&other))),
        }
    }
}

/// What a value is, for messages.
fn kind(value: &Value<'_>) -> String {
    match value {
        Value::None => "None".into(),
        Value::Bool(_) => "a bool".into(),
        Value::Int(_) | Value::Float(_) => "a number".into(),
        Value::Str(_) => "a text".into(),
        Value::Bytes(_) => "bytes".into(),
        Value::List(_) => "a list".into(),
        Value::Tuple(_) => "a tuple".into(),
        Value::Dict(_) => "a dict".into(),
        Value::Storage(_) => "a storage".into(),
        Value::Tensor(_) => "a tensor".into(),
        Value::Global(module, name) | Value::Opaque(module, name) => format!("{module}.{name}"),
    }
}
