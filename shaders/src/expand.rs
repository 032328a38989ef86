//! Text expansion: preludes in front, comment-form includes inside.

use crate::kernel::{Const, Elem, Kernel};

static SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// Who compiles the text: browsers want directives that naga refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// naga, for Vulkan, Metal and DX12: subgroup operations need no directive.
    Native,
    /// WebGPU in a browser (and `tint`): subgroup operations need `enable subgroups;`.
    Web,
}

/// Why a kernel's text could not be put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandError {
    /// The package has no file of this path; the second field is the file that includes it.
    Missing(String, String),
    /// The permutation asks for an element type or constant that the kernel does not have.
    NotAPermutation(String),
}

impl std::fmt::Display for ExpandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExpandError::Missing(file, from) => {
                write!(f, "shader file `{file}`, included from `{from}`, does not exist")
            }
            ExpandError::NotAPermutation(what) => write!(f, "no such shader permutation: {what}"),
        }
    }
}

impl std::error::Error for ExpandError {}

/// Every WGSL file of the package as `(path, text)`.
pub fn sources() -> &'static [(&'static str, &'static str)] {
    SOURCES
}

fn text(path: &str, from: &str) -> Result<&'static str, ExpandError> {
    SOURCES
        .binary_search_by_key(&path, |&(p, _)| p)
        .map(|i| SOURCES[i].1)
        .map_err(|_| ExpandError::Missing(path.to_owned(), from.to_owned()))
}

/// Appends `path` with its includes; each file enters once, so cycles end by themselves.
fn append(path: &str, from: &str, seen: &mut Vec<String>, out: &mut String) -> Result<(), ExpandError> {
    if seen.iter().any(|s| s == path) {
        return Ok(());
    }
    seen.push(path.to_owned());
    append_text(text(path, from)?, path, seen, out)
}

fn append_text(text: &str, path: &str, seen: &mut Vec<String>, out: &mut String) -> Result<(), ExpandError> {
    for line in text.lines() {
        match line.trim().strip_prefix("//#include ") {
            Some(name) => append(name.trim().trim_matches('"'), path, seen, out)?,
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    Ok(())
}

impl Kernel {
    /// The WGSL text of one permutation.
    ///
    /// # Errors
    /// When an include cannot be found, or the kernel has no such permutation.
    pub fn source(&self, elem: Option<Elem>, consts: &[Const], target: Target) -> Result<String, ExpandError> {
        expand(self, None, elem, consts, target)
    }

    /// As [`Kernel::source`], from a text that is not in this package; its includes are looked up here.
    ///
    /// # Errors
    /// As [`Kernel::source`].
    pub fn source_of(
        &self,
        text: &str,
        elem: Option<Elem>,
        consts: &[Const],
        target: Target,
    ) -> Result<String, ExpandError> {
        expand(self, Some(text), elem, consts, target)
    }
}

fn expand(
    kernel: &Kernel,
    own_text: Option<&str>,
    elem: Option<Elem>,
    consts: &[Const],
    target: Target,
) -> Result<String, ExpandError> {
    let fits = match elem {
        Some(elem) => kernel.elems.contains(&elem),
        None => kernel.elems.is_empty(),
    };
    if !fits {
        return Err(ExpandError::NotAPermutation(format!("{} with element type {elem:?}", kernel.name)));
    }
    let mut out = String::new();
    if kernel.subgroup && target == Target::Web {
        out += "enable subgroups;\n";
    }
    let mut seen = Vec::new();
    if let Some(elem) = elem {
        append(&format!("prelude/{}.wgsl", elem.name()), kernel.file, &mut seen, &mut out)?;
    }
    for (name, value) in consts {
        out += &format!("const {name}: u32 = {value}u;\n");
    }
    match own_text {
        Some(text) => append_text(text, kernel.name, &mut seen, &mut out)?,
        None => append(kernel.file, kernel.name, &mut seen, &mut out)?,
    }
    Ok(out)
}
