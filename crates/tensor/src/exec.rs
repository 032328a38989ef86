//! Pipelines, recorded commands and their submission.

use std::collections::VecDeque;
use std::sync::Arc;

use vljepa_shaders::{Access, Const, Elem, Kernel, Params, Target};

use crate::device::{Device, Inner};
use crate::tensor::Tensor;
use crate::{Error, Result, grid};

/// Pipeline constants (`override` declarations) by name.
pub type Override = (&'static str, u32);

/// What distinguishes one compiled pipeline from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PipelineKey {
    kernel: &'static str,
    elem: Option<Elem>,
    consts: Vec<Const>,
    overrides: Vec<Override>,
}

#[derive(Debug)]
pub(crate) struct Pipeline {
    raw: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

/// One launch of a kernel, built by an operator's host half and recorded by [`Launch::record`].
///
/// Bindings are given in the kernel's order; `None` binds a placeholder for an absent optional input that the kernel,
/// by an override, never reads.
pub struct Launch<'a> {
    kernel: &'static Kernel,
    elem: Option<Elem>,
    consts: Vec<Const>,
    overrides: Vec<Override>,
    bindings: Vec<Option<&'a Tensor>>,
    work: u64,
    own_text: Option<&'a str>,
}

impl<'a> Launch<'a> {
    /// A launch of `kernel` with the tensors of its storage bindings in order.
    pub fn new(kernel: &'static Kernel, bindings: impl IntoIterator<Item = Option<&'a Tensor>>) -> Self {
        Launch {
            kernel,
            elem: (!kernel.elems.is_empty()).then_some(Elem::F32),
            consts: Vec::new(),
            overrides: Vec::new(),
            bindings: bindings.into_iter().collect(),
            work: 0,
            own_text: None,
        }
    }

    /// A kernel of your own: its WGSL text, which may include ours. The kernel's name must be unlike any other.
    pub fn text(mut self, wgsl: &'a str) -> Self {
        self.own_text = Some(wgsl);
        self
    }

    /// Element type of the kernel's `store4` buffers (default f32).
    pub fn elem(mut self, elem: Elem) -> Self {
        self.elem = Some(elem);
        self
    }

    /// Constants put in front of the text.
    pub fn consts(mut self, consts: &[Const]) -> Self {
        self.consts.extend_from_slice(consts);
        self
    }

    /// Values of `override` declarations.
    pub fn overrides(mut self, overrides: &[Override]) -> Self {
        self.overrides.extend_from_slice(overrides);
        self
    }

    /// Estimated floating-point operations, which bound how much goes into one submission.
    pub fn work(mut self, flops: u64) -> Self {
        self.work = flops;
        self
    }

    /// Records `groups` workgroups in x, y and z, none of them folded.
    ///
    /// # Errors
    /// [`Error::Limit`] when a dimension or binding exceeds the device's limits, [`Error::DeviceMismatch`], and what
    /// compiling the pipeline reports.
    pub fn record_grid<P: Params>(self, device: &Device, params: &P, groups: [u32; 3]) -> Result<()> {
        let limit = device.0.limits.max_compute_workgroups_per_dimension;
        if let Some(&most) = groups.iter().max().filter(|&&g| g > limit) {
            return Err(Error::Limit {
                what: "workgroups in one dimension",
                requested: most.into(),
                limit: limit.into(),
            });
        }
        if groups.contains(&0) {
            return Ok(());
        }
        debug_assert_eq!(P::LAYOUT, self.kernel.params, "{}", self.kernel.name);
        if self.bindings.len() != self.kernel.bindings.len() {
            return Err(Error::Invalid(format!(
                "kernel {} takes {} bindings, got {}",
                self.kernel.name,
                self.kernel.bindings.len(),
                self.bindings.len()
            )));
        }
        let binding_limit = device.0.limits.max_storage_buffer_binding_size;
        let mut buffers = Vec::with_capacity(self.bindings.len());
        for tensor in &self.bindings {
            buffers.push(match tensor {
                Some(tensor) => {
                    if !tensor.device().same(device) {
                        return Err(Error::DeviceMismatch { op: self.kernel.name });
                    }
                    let bytes = tensor.byte_len().max(4).next_multiple_of(4);
                    if bytes > binding_limit {
                        return Err(Error::Limit {
                            what: "bytes of one storage binding",
                            requested: bytes,
                            limit: binding_limit,
                        });
                    }
                    (tensor.raw().clone(), bytes.next_multiple_of(16).min(tensor.raw().size()))
                }
                None => (device.0.placeholder.clone(), 256),
            });
        }
        for (i, a) in buffers.iter().enumerate() {
            let written = self.kernel.bindings[i] == Access::ReadWrite;
            if written && buffers.iter().enumerate().any(|(j, b)| i != j && a.0 == b.0) {
                return Err(Error::Invalid(format!("kernel {}: a written tensor is bound twice", self.kernel.name)));
            }
        }
        let pipeline = pipeline(device, self.kernel, self.own_text, self.elem, self.consts, self.overrides)?;
        let mut recorder = device.recorder();
        recorder.dispatch(Dispatch {
            label: self.kernel.name,
            pipeline,
            buffers,
            params: bytemuck::bytes_of(params).to_vec(),
            groups,
            work: self.work,
        });
        if recorder.full() {
            recorder.flush(&device.0)?;
            drop(recorder);
            device.check()?;
        }
        Ok(())
    }

    /// Records `groups` workgroups, folded to the device's limits; the kernel linearises them.
    ///
    /// # Errors
    /// As [`Launch::record_grid`].
    pub fn record<P: Params>(self, device: &Device, params: &P, groups: u64) -> Result<()> {
        if groups == 0 {
            return Ok(());
        }
        let folded = grid::fold(groups, device.0.limits.max_compute_workgroups_per_dimension)?;
        self.record_grid(device, params, folded)
    }

    /// Records one invocation per element of `count`, in workgroups of the kernel's size.
    ///
    /// # Errors
    /// As [`Launch::record_grid`].
    pub fn record_elements<P: Params>(self, device: &Device, params: &P, count: u64) -> Result<()> {
        let size = u64::from(self.kernel.workgroup_size);
        self.record(device, params, count.div_ceil(size))
    }
}

fn pipeline(
    device: &Device,
    kernel: &'static Kernel,
    own_text: Option<&str>,
    elem: Option<Elem>,
    consts: Vec<Const>,
    overrides: Vec<Override>,
) -> Result<Arc<Pipeline>> {
    let key = PipelineKey { kernel: kernel.name, elem, consts, overrides };
    if let Some(found) = device.pipelines().get(&key) {
        return Ok(found.clone());
    }
    let inner = &device.0;
    let raw = &inner.raw;
    let target = if inner.info.backend == wgpu::Backend::BrowserWebGpu { Target::Web } else { Target::Native };
    let text = match own_text {
        Some(text) => kernel.source_of(text, elem, &key.consts, target)?,
        None => kernel.source(elem, &key.consts, target)?,
    };
    let scope = raw.push_error_scope(wgpu::ErrorFilter::Validation);
    let source =
        wgpu::ShaderModuleDescriptor { label: Some(kernel.name), source: wgpu::ShaderSource::Wgsl(text.into()) };
    // SAFETY: every kernel guards its own indices, and the test suite runs each of them with checks on.
    let module = unsafe {
        raw.create_shader_module_trusted(
            source,
            if inner.checked { wgpu::ShaderRuntimeChecks::checked() } else { wgpu::ShaderRuntimeChecks::unchecked() },
        )
    };
    let mut entries: Vec<wgpu::BindGroupLayoutEntry> = kernel
        .bindings
        .iter()
        .enumerate()
        .map(|(i, access)| wgpu::BindGroupLayoutEntry {
            binding: i as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: *access == Access::Read },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    entries.push(wgpu::BindGroupLayoutEntry {
        binding: kernel.bindings.len() as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: true,
            min_binding_size: std::num::NonZeroU64::new(kernel.params.size as u64),
        },
        count: None,
    });
    let layout =
        raw.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel.name), entries: &entries });
    let pipeline_layout = raw.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.name),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let constants: Vec<(&str, f64)> = key.overrides.iter().map(|&(n, v)| (n, f64::from(v))).collect();
    let compiled = raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.name),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &constants,
            // Kernels write workgroup memory before they read it.
            zero_initialize_workgroup_memory: inner.checked,
        },
        cache: None,
    });
    if let Some(error) = crate::device::ready(scope.pop()).flatten() {
        return Err(Error::Gpu { label: kernel.name.into(), message: error.to_string() });
    }
    let made = Arc::new(Pipeline { raw: compiled, layout });
    device.pipelines().insert(key, made.clone());
    Ok(made)
}

struct Dispatch {
    label: &'static str,
    pipeline: Arc<Pipeline>,
    buffers: Vec<(wgpu::Buffer, u64)>,
    params: Vec<u8>,
    groups: [u32; 3],
    work: u64,
}

enum Command {
    Dispatch(Dispatch),
    Copy { from: (wgpu::Buffer, u64), to: (wgpu::Buffer, u64), bytes: u64 },
    Clear { buffer: wgpu::Buffer, bytes: u64 },
}

/// How much is gathered before it is submitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubmitPolicy {
    /// Commands per submission: enough to hide submission cost, few enough that the GPU starts early.
    commands: usize,
    /// Floating-point operations per submission: drivers kill submissions that run for seconds.
    work: u64,
    /// Submissions in flight before recording waits, which bounds memory held by pending work.
    in_flight: usize,
    /// Bytes of host writes before they are submitted and waited for: until then each lies in a staging buffer, a second
    /// copy of what is uploaded.
    uploads: u64,
}

impl Default for SubmitPolicy {
    fn default() -> Self {
        SubmitPolicy { commands: 128, work: 400_000_000_000, in_flight: 4, uploads: 64 << 20 }
    }
}

/// Commands in program order, not yet submitted.
pub(crate) struct Recorder {
    policy: SubmitPolicy,
    commands: Vec<Command>,
    work: u64,
    /// Bytes of host writes since the last submission.
    uploaded: u64,
    submitted: VecDeque<wgpu::SubmissionIndex>,
    uniforms: Vec<wgpu::Buffer>,
    next_uniform: usize,
    profile: Option<crate::timer::Profile>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("commands", &self.commands.len()).finish_non_exhaustive()
    }
}

impl Recorder {
    pub(crate) fn new(policy: SubmitPolicy) -> Self {
        Recorder {
            policy,
            commands: Vec::new(),
            work: 0,
            uploaded: 0,
            submitted: VecDeque::new(),
            uniforms: Vec::new(),
            next_uniform: 0,
            profile: None,
        }
    }

    fn dispatch(&mut self, dispatch: Dispatch) {
        self.work = self.work.saturating_add(dispatch.work);
        self.commands.push(Command::Dispatch(dispatch));
    }

    fn full(&self) -> bool {
        self.commands.len() >= self.policy.commands || self.work >= self.policy.work
    }

    pub(crate) fn copy(&mut self, from: (&wgpu::Buffer, u64), to: (&wgpu::Buffer, u64), bytes: u64) {
        self.commands.push(Command::Copy { from: (from.0.clone(), from.1), to: (to.0.clone(), to.1), bytes });
    }

    pub(crate) fn clear(&mut self, buffer: &wgpu::Buffer, bytes: u64) {
        self.commands.push(Command::Clear { buffer: buffer.clone(), bytes });
    }

    /// Whether a pending command touches the buffer, so that a host write would overtake it.
    pub(crate) fn touches(&self, buffer: &wgpu::Buffer) -> bool {
        self.commands.iter().any(|c| match c {
            Command::Dispatch(d) => d.buffers.iter().any(|(b, _)| b == buffer),
            Command::Copy { from, to, .. } => from.0 == *buffer || to.0 == *buffer,
            Command::Clear { buffer: b, .. } => b == buffer,
        })
    }

    /// Starts or stops collecting per-kernel times; returns what was collected.
    pub(crate) fn set_profile(&mut self, profile: Option<crate::timer::Profile>) -> Option<crate::timer::Profile> {
        std::mem::replace(&mut self.profile, profile)
    }

    /// Writes host bytes, the last word filled with zeros, after every command recorded so far and before every later one.
    pub(crate) fn write(&mut self, inner: &Inner, buffer: &wgpu::Buffer, bytes: &[u8]) -> Result<()> {
        if self.touches(buffer) {
            self.flush(inner)?;
        }
        let part = self.policy.uploads as usize;
        for (i, bytes) in bytes.chunks(part).enumerate() {
            let (at, whole) = (i * part, bytes.len() / 4 * 4);
            inner.queue.write_buffer(buffer, at as u64, &bytes[..whole]);
            if whole < bytes.len() {
                let mut tail = [0u8; 4];
                tail[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
                inner.queue.write_buffer(buffer, (at + whole) as u64, &tail);
            }
            self.uploaded += bytes.len() as u64;
            if self.uploaded >= self.policy.uploads {
                self.flush(inner)?;
                let last = inner.queue.submit([]);
                self.submitted.clear();
                wait(inner, last)?;
                self.uploaded = 0;
            }
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self, inner: &Inner) -> Result<()> {
        if self.commands.is_empty() {
            return Ok(());
        }
        self.uploaded = 0;
        let commands = std::mem::take(&mut self.commands);
        self.work = 0;
        let align = inner.limits.min_uniform_buffer_offset_alignment as usize;
        let mut bytes: Vec<u8> = Vec::new();
        let mut offsets = Vec::new();
        for command in &commands {
            if let Command::Dispatch(d) = command {
                offsets.push(bytes.len() as u32);
                bytes.extend_from_slice(&d.params);
                bytes.resize(bytes.len().next_multiple_of(align), 0);
            }
        }
        let uniform = self.uniform(inner, bytes.len().max(align) as u64);
        if !bytes.is_empty() {
            inner.queue.write_buffer(&uniform, 0, &bytes);
        }
        let mut encoder = inner.raw.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("vljepa") });
        let mut offsets = offsets.into_iter();
        let mut i = 0;
        while i < commands.len() {
            match &commands[i] {
                Command::Dispatch(_) => {
                    let profiled = self.profile.as_mut().and_then(|p| match &commands[i] {
                        Command::Dispatch(d) => p.slot(inner, d.label),
                        _ => None,
                    });
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: None,
                        timestamp_writes: profiled.as_ref().map(|(set, at)| wgpu::ComputePassTimestampWrites {
                            query_set: set,
                            beginning_of_pass_write_index: Some(*at),
                            end_of_pass_write_index: Some(*at + 1),
                        }),
                    });
                    while let Some(Command::Dispatch(d)) = commands.get(i) {
                        encode(inner, &mut pass, d, &uniform, offsets.next().unwrap_or_default());
                        i += 1;
                        if self.profile.is_some() {
                            break;
                        }
                    }
                }
                Command::Copy { from, to, bytes } => {
                    encoder.copy_buffer_to_buffer(&from.0, from.1, &to.0, to.1, *bytes);
                    i += 1;
                }
                Command::Clear { buffer, bytes } => {
                    encoder.clear_buffer(buffer, 0, Some(*bytes));
                    i += 1;
                }
            }
        }
        self.submitted.push_back(inner.queue.submit([encoder.finish()]));
        while self.submitted.len() > self.policy.in_flight {
            if let Some(oldest) = self.submitted.pop_front() {
                wait(inner, oldest)?;
            }
        }
        Ok(())
    }

    /// The next parameter buffer of a small ring. Reuse is safe while older submissions run, since the queue orders
    /// the write after them.
    fn uniform(&mut self, inner: &Inner, bytes: u64) -> wgpu::Buffer {
        const RING: usize = 4;
        let make = || {
            inner.raw.create_buffer(&wgpu::BufferDescriptor {
                label: Some("params"),
                size: bytes.next_power_of_two().max(32 * 1024),
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        if self.uniforms.len() < RING {
            self.uniforms.push(make());
        }
        self.next_uniform = (self.next_uniform + 1) % self.uniforms.len();
        let slot = &mut self.uniforms[self.next_uniform];
        if slot.size() < bytes {
            *slot = make();
        }
        slot.clone()
    }
}

/// Waits for a submission; browsers cannot, and bound what is in flight themselves.
fn wait(inner: &Inner, submission: wgpu::SubmissionIndex) -> Result<()> {
    #[cfg(not(target_arch = "wasm32"))]
    inner
        .raw
        .poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })
        .map_err(|e| Error::Gpu { label: "wait".into(), message: e.to_string() })?;
    #[cfg(target_arch = "wasm32")]
    let _ = (inner, submission);
    Ok(())
}

fn encode(inner: &Inner, pass: &mut wgpu::ComputePass<'_>, d: &Dispatch, uniform: &wgpu::Buffer, offset: u32) {
    let mut entries: Vec<wgpu::BindGroupEntry<'_>> = d
        .buffers
        .iter()
        .enumerate()
        .map(|(i, (buffer, bytes))| wgpu::BindGroupEntry {
            binding: i as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset: 0,
                size: std::num::NonZeroU64::new(*bytes),
            }),
        })
        .collect();
    entries.push(wgpu::BindGroupEntry {
        binding: d.buffers.len() as u32,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: uniform,
            offset: 0,
            size: std::num::NonZeroU64::new(d.params.len() as u64),
        }),
    });
    let group = inner.raw.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(d.label),
        layout: &d.pipeline.layout,
        entries: &entries,
    });
    pass.set_pipeline(&d.pipeline.raw);
    pass.set_bind_group(0, &group, &[offset]);
    pass.dispatch_workgroups(d.groups[0], d.groups[1], d.groups[2]);
}
