//! Compiled kernels, kept by everything that tells one from another.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use vljepa_shaders::{Access, Const, Elem, Kernel, Target, kernels};

use super::gpu::{Gpu, ready};
use crate::error::{Error, Result};

/// Name of every kernel's entry point.
const ENTRY: &str = "main";

/// Pipeline constants (`override` declarations) by name.
pub type Override = (&'static str, u32);

/// What a launch asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) kernel: &'static Kernel,
    /// WGSL of the caller; without it the kernel's file in this repository.
    pub(crate) text: Option<&'a str>,
    /// Whether an operator of this crate asks, which has checked every size that the kernel relies on.
    pub(crate) by_operator: bool,
    pub(crate) elem: Option<Elem>,
    pub(crate) consts: &'a [Const],
    pub(crate) overrides: &'a [Override],
}

impl Request<'_> {
    /// Whether this is an operator of this crate with a kernel of the table. No name and no path that a caller can write
    /// into a [`Kernel`] makes it true.
    fn trusted(&self) -> bool {
        self.by_operator && self.text.is_none() && kernels::all().any(|k| k == self.kernel)
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.kernel.name, self.text, self.by_operator, self.elem, self.consts, self.overrides).hash(&mut hasher);
        hasher.finish()
    }
}

/// A [`Request`] that owns its parts: two of them compare equal only where the whole text and description do.
#[derive(Debug)]
struct Key {
    kernel: &'static Kernel,
    text: Option<Box<str>>,
    by_operator: bool,
    elem: Option<Elem>,
    consts: Box<[Const]>,
    overrides: Box<[Override]>,
}

impl Key {
    fn of(request: &Request<'_>) -> Self {
        let &Request { kernel, text, by_operator, elem, consts, overrides } = request;
        Key {
            kernel,
            text: text.map(Into::into),
            by_operator,
            elem,
            consts: consts.into(),
            overrides: overrides.into(),
        }
    }

    fn is(&self, request: &Request<'_>) -> bool {
        (std::ptr::eq(self.kernel, request.kernel) || self.kernel == request.kernel)
            && self.text.as_deref() == request.text
            && (self.by_operator, self.elem) == (request.by_operator, request.elem)
            && *self.consts == *request.consts
            && *self.overrides == *request.overrides
    }
}

/// A compiled kernel.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) raw: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
    /// Least bytes of each storage binding; empty for trusted kernels, whose operators see to it.
    pub(crate) smallest: Vec<u64>,
}

/// The pipelines of one device, by the hash of their key.
#[derive(Debug, Default)]
pub(crate) struct Pipelines {
    made: HashMap<u64, Vec<(Key, Arc<Pipeline>)>>,
}

impl Pipelines {
    /// The pipeline of an earlier request that asked for the same.
    pub(crate) fn get(&self, request: &Request<'_>) -> Option<Arc<Pipeline>> {
        let found = self.made.get(&request.hash())?;
        found.iter().find(|(key, _)| key.is(request)).map(|(_, pipeline)| pipeline.clone())
    }

    /// Keeps a pipeline, unless there is one for the same request: two threads may have compiled it at once. Returns the
    /// one that is kept.
    pub(crate) fn put(&mut self, request: &Request<'_>, pipeline: Pipeline) -> Arc<Pipeline> {
        if let Some(kept) = self.get(request) {
            return kept;
        }
        let pipeline = Arc::new(pipeline);
        self.made.entry(request.hash()).or_default().push((Key::of(request), pipeline.clone()));
        pipeline
    }
}

/// Compiles what `request` asks for.
///
/// # Errors
/// [`Error::Shader`] for a permutation that does not exist, [`Error::Wgsl`] for a text that does not compile,
/// [`Error::Interface`] for one that does not fit its description, [`Error::Limit`] for too many bindings.
pub(crate) fn compile(gpu: &Gpu, request: &Request<'_>) -> Result<Pipeline> {
    let kernel = request.kernel;
    let most = u64::from(gpu.limits.max_storage_buffers_per_shader_stage);
    if kernel.bindings.len() as u64 > most {
        let requested = kernel.bindings.len() as u64;
        return Err(Error::Limit { what: "storage bindings of one kernel", requested, limit: most });
    }
    let target = if gpu.info.backend == wgpu::Backend::BrowserWebGpu { Target::Web } else { Target::Native };
    let text = match request.text {
        Some(text) => kernel.source_of(text, request.elem, request.consts, target)?,
        None => kernel.source(request.elem, request.consts, target)?,
    };
    let trusted = request.trusted();
    let checked = gpu.checked || !trusted;
    let module = guarded(gpu, || shader_module(gpu, kernel.name, &text, checked))
        .map_err(|message| Error::Wgsl { kernel: kernel.name, message })?;
    // A browser checks what it needs to be safe itself, and there is no parser for more.
    #[cfg(not(target_arch = "wasm32"))]
    let smallest = if trusted { Vec::new() } else { super::interface::check(kernel, ENTRY, &text)? };
    #[cfg(target_arch = "wasm32")]
    let smallest = Vec::new();
    let (raw, layout) = guarded(gpu, || pipeline(gpu, request, &module, checked)).map_err(|message| {
        if trusted {
            return Error::Gpu { label: kernel.name.into(), message };
        }
        Error::Interface { kernel: kernel.name, what: message }
    })?;
    Ok(Pipeline { raw, layout, smallest })
}

/// Runs `make`; the first error that wgpu reports meanwhile as text.
fn guarded<T>(gpu: &Gpu, make: impl FnOnce() -> T) -> Result<T, String> {
    let internal = gpu.raw.push_error_scope(wgpu::ErrorFilter::Internal);
    let validation = gpu.raw.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = make();
    let validation = ready(validation.pop()).flatten();
    let internal = ready(internal.pop()).flatten();
    validation.or(internal).map_or(Ok(made), |error| Err(error.to_string().trim_end().to_owned()))
}

fn shader_module(gpu: &Gpu, name: &str, text: &str, checked: bool) -> wgpu::ShaderModule {
    let source = wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(text.into()) };
    if checked {
        return gpu.raw.create_shader_module(source);
    }
    // SAFETY: only kernels of the table come here, launched by operators of this crate. Each guards its own indices by
    // sizes that its operator has compared with the tensors, and the test suite runs every one of them with checks on.
    unsafe { gpu.raw.create_shader_module_trusted(source, wgpu::ShaderRuntimeChecks::unchecked()) }
}

fn pipeline(
    gpu: &Gpu,
    request: &Request<'_>,
    module: &wgpu::ShaderModule,
    checked: bool,
) -> (wgpu::ComputePipeline, wgpu::BindGroupLayout) {
    let kernel = request.kernel;
    let entry = |binding: usize, ty, has_dynamic_offset, bytes: u64| wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: std::num::NonZeroU64::new(bytes) },
        count: None,
    };
    let storage = |access| wgpu::BufferBindingType::Storage { read_only: access == Access::Read };
    let mut entries: Vec<wgpu::BindGroupLayoutEntry> =
        kernel.bindings.iter().enumerate().map(|(i, &access)| entry(i, storage(access), false, 0)).collect();
    entries.push(entry(kernel.bindings.len(), wgpu::BufferBindingType::Uniform, true, kernel.params.size as u64));
    let layout = gpu
        .raw
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel.name), entries: &entries });
    let pipeline_layout = gpu.raw.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.name),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let constants: Vec<(&str, f64)> = request.overrides.iter().map(|&(n, v)| (n, f64::from(v))).collect();
    let raw = gpu.raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.name),
        layout: Some(&pipeline_layout),
        module,
        entry_point: Some(ENTRY),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &constants,
            // Kernels of the table write workgroup memory before they read it.
            zero_initialize_workgroup_memory: checked,
        },
        cache: None,
    });
    (raw, layout)
}
