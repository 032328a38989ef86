//! Whether a kernel's text fits its description: bindings, parameters, entry point, workgroup size.

use vljepa_shaders::{Access, Kernel};
use wgpu::naga;

use crate::error::{Error, Result};

/// What a global variable is to the host.
#[derive(PartialEq)]
enum Bound {
    Storage(Access),
    Uniform,
    Other,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Bound::Storage(Access::Read) => "storage, read",
            Bound::Storage(Access::ReadWrite) => "storage, read_write",
            Bound::Uniform => "uniform",
            Bound::Other => "neither storage nor uniform",
        })
    }
}

/// Compares the expanded WGSL `text`, which wgpu has accepted and which starts at the function `entry`, with `kernel`.
/// Returns the least bytes that each storage binding must have.
///
/// # Errors
/// [`Error::Interface`] where they differ, [`Error::Wgsl`] where the text does not parse.
pub(crate) fn check(kernel: &Kernel, entry: &str, text: &str) -> Result<Vec<u64>> {
    let unfit = |what: String| Error::Interface { kernel: kernel.name, what };
    let module = naga::front::wgsl::parse_str(text)
        .map_err(|e| Error::Wgsl { kernel: kernel.name, message: e.emit_to_string(text) })?;
    entry_point(kernel, entry, &module).map_err(unfit)?;
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|e| unfit(e.to_string()))?;
    let params = kernel.bindings.len();
    let mut smallest: Vec<Option<u64>> = vec![None; params + 1];
    for (_, variable) in module.global_variables.iter() {
        let Some(place) = &variable.binding else { continue };
        let name = variable.name.as_deref().unwrap_or("a variable");
        let at = place.binding as usize;
        if place.group != 0 || at > params {
            let what = format!(
                "`{name}` is at @group({}) @binding({at}), and there are only the bindings 0 to {params} of group 0",
                place.group
            );
            return Err(unfit(what));
        }
        let found = match variable.space {
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => {
                Bound::Storage(Access::ReadWrite)
            }
            naga::AddressSpace::Storage { .. } => Bound::Storage(Access::Read),
            naga::AddressSpace::Uniform => Bound::Uniform,
            _ => Bound::Other,
        };
        let wanted = kernel.bindings.get(at).map_or(Bound::Uniform, |&access| Bound::Storage(access));
        if found != wanted {
            return Err(unfit(format!(
                "binding {at}, `{name}`, is {found} in the text and {wanted} in the description"
            )));
        }
        if smallest[at].replace(layouter[variable.ty].size.into()).is_some() {
            return Err(unfit(format!("the text declares binding {at} twice")));
        }
        if at == params {
            parameters(kernel, &module, variable.ty).map_err(unfit)?;
        }
    }
    if let Some(at) = smallest.iter().position(Option::is_none) {
        return Err(unfit(format!(
            "the text declares no binding {at}; the description has {params} and the parameters"
        )));
    }
    smallest.truncate(params);
    Ok(smallest.into_iter().flatten().collect())
}

fn entry_point(kernel: &Kernel, name: &str, module: &naga::Module) -> Result<(), String> {
    let compute = |e: &&naga::EntryPoint| e.name == name && e.stage == naga::ShaderStage::Compute;
    let entry = module
        .entry_points
        .iter()
        .find(compute)
        .ok_or_else(|| format!("the text has no `@compute` function of the name `{name}`"))?;
    if entry.workgroup_size_overrides.is_some_and(|sizes| sizes.iter().any(Option::is_some)) {
        return Err("the workgroup size is an override in the text; it must be constant".into());
    }
    let size: u64 = entry.workgroup_size.iter().map(|&n| u64::from(n)).product();
    if size != u64::from(kernel.workgroup_size) {
        return Err(format!(
            "workgroups of {:?} in the text, {size} invocations, and {} invocations in the description",
            entry.workgroup_size, kernel.workgroup_size
        ));
    }
    Ok(())
}

fn parameters(kernel: &Kernel, module: &naga::Module, ty: naga::Handle<naga::Type>) -> Result<(), String> {
    let wanted = &kernel.params;
    let naga::TypeInner::Struct { members, span } = &module.types[ty].inner else {
        return Err(format!("the parameters are no struct in the text; the description has `{}`", wanted.name));
    };
    let scalar = |ty| match module.types[ty].inner {
        naga::TypeInner::Scalar(naga::Scalar::U32) => "u32",
        naga::TypeInner::Scalar(naga::Scalar::I32) => "i32",
        naga::TypeInner::Scalar(naga::Scalar::F32) => "f32",
        _ => "no 4-byte scalar",
    };
    let show = |name: &str, ty: &str, offset: usize| format!("{name}: {ty} at {offset}");
    let in_text: Vec<String> =
        members.iter().map(|m| show(m.name.as_deref().unwrap_or_default(), scalar(m.ty), m.offset as usize)).collect();
    let in_rust: Vec<String> = wanted.fields.iter().map(|f| show(f.name, f.ty, f.offset)).collect();
    if in_text != in_rust || *span as usize != wanted.size {
        return Err(format!(
            "the parameters are {{{}}}, {span} bytes, in the text and {{{}}}, {} bytes, in the description",
            in_text.join(", "),
            in_rust.join(", "),
            wanted.size
        ));
    }
    Ok(())
}
