//! Commands in program order, and their submission.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::gpu::{Gpu, Task};
use super::pipelines::Pipeline;
use super::profile::Profile;
use crate::error::{Error, Result};

/// One launch of a kernel.
pub(crate) struct Dispatch {
    pub(crate) label: &'static str,
    pub(crate) pipeline: Arc<Pipeline>,
    /// Storage buffers in the kernel's order, each with the bytes that are bound.
    pub(crate) buffers: Vec<(wgpu::Buffer, u64)>,
    pub(crate) params: Vec<u8>,
    pub(crate) groups: [u32; 3],
    /// Estimated floating-point operations.
    pub(crate) work: u64,
}

enum Command {
    Dispatch(Dispatch),
    Copy { from: wgpu::Buffer, to: wgpu::Buffer, bytes: u64 },
    Clear { buffer: wgpu::Buffer, bytes: u64 },
}

impl Command {
    fn label(&self) -> &'static str {
        match self {
            Command::Dispatch(d) => d.label,
            Command::Copy { .. } => "copy",
            Command::Clear { .. } => "clear",
        }
    }
}

/// How much is gathered before it is submitted.
#[derive(Clone, Copy, Debug)]
struct SubmitPolicy {
    /// Commands per submission: enough to hide submission cost, few enough that the GPU starts early.
    commands: usize,
    /// Floating-point operations per submission: drivers kill submissions that run for seconds.
    work: u64,
    /// Submissions in flight before recording waits, which bounds memory held by pending work.
    in_flight: usize,
}

/// Bytes of host writes before they are submitted and waited for, and the most of one write: until then each byte has a
/// second copy in a staging buffer.
pub(crate) const UPLOAD_BYTES: usize = 64 << 20;

impl Default for SubmitPolicy {
    fn default() -> Self {
        SubmitPolicy { commands: 128, work: 400_000_000_000, in_flight: 4 }
    }
}

/// The submission to wait for where more is in flight than the policy allows; the caller lets go of the recorder first, so
/// that others need not wait with it.
pub(crate) type Excess = Option<wgpu::SubmissionIndex>;

/// The highest number of a submission known to be finished.
#[derive(Clone, Debug, Default)]
struct Finished(Arc<AtomicU64>);

/// A submitted copy for the host.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) staging: wgpu::Buffer,
    /// The submission that the copy is part of.
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "a browser calls back without being waited for"))]
    pub(crate) submission: Option<wgpu::SubmissionIndex>,
    number: u64,
    finished: Finished,
}

impl Copied {
    /// Says that the GPU has run the copy, and so all before it: nobody need wait for them.
    pub(crate) fn arrived(&self) {
        self.finished.0.fetch_max(self.number, Ordering::Relaxed);
    }
}

/// Commands in program order, not yet submitted.
#[derive(Default)]
pub(crate) struct Recorder {
    policy: SubmitPolicy,
    commands: Vec<Command>,
    work: u64,
    /// Bytes of host writes since the last submission.
    uploaded: usize,
    /// Submissions that may be in flight, oldest first, by number.
    submitted: VecDeque<(u64, wgpu::SubmissionIndex)>,
    /// Number of the last submission.
    count: u64,
    finished: Finished,
    uniforms: Vec<wgpu::Buffer>,
    next_uniform: usize,
    profile: Option<Profile>,
    /// The last operator recorded.
    last: &'static str,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("commands", &self.commands.len()).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Records a dispatch. Returns whether what is pending is now enough for a submission: then [`Recorder::flush`] is due.
    #[must_use]
    pub(crate) fn dispatch(&mut self, dispatch: Dispatch) -> bool {
        self.work = self.work.saturating_add(dispatch.work);
        self.last = dispatch.label;
        self.push(Command::Dispatch(dispatch))
    }

    fn push(&mut self, command: Command) -> bool {
        self.commands.push(command);
        self.commands.len() >= self.policy.commands || self.work >= self.policy.work
    }

    /// The last operator recorded; nothing before the first.
    pub(crate) fn last(&self) -> &'static str {
        self.last
    }

    /// Records a copy of the first `bytes` of a buffer over those of another. Returns what [`Recorder::dispatch`] does.
    #[must_use]
    pub(crate) fn copy(&mut self, from: &wgpu::Buffer, to: &wgpu::Buffer, bytes: u64) -> bool {
        self.push(Command::Copy { from: from.clone(), to: to.clone(), bytes })
    }

    /// Records zeros over the first `bytes` of a buffer. Returns what [`Recorder::dispatch`] does.
    #[must_use]
    pub(crate) fn clear(&mut self, buffer: &wgpu::Buffer, bytes: u64) -> bool {
        self.push(Command::Clear { buffer: buffer.clone(), bytes })
    }

    /// Whether a pending command touches the buffer, so that a host write would overtake it.
    fn touches(&self, buffer: &wgpu::Buffer) -> bool {
        self.commands.iter().any(|c| match c {
            Command::Dispatch(d) => d.buffers.iter().any(|(b, _)| b == buffer),
            Command::Copy { from, to, .. } => from == buffer || to == buffer,
            Command::Clear { buffer: b, .. } => b == buffer,
        })
    }

    /// Starts or stops collecting per-kernel times; returns what was collected.
    pub(crate) fn set_profile(&mut self, profile: Option<Profile>) -> Option<Profile> {
        std::mem::replace(&mut self.profile, profile)
    }

    /// Writes host bytes, the last word filled with zeros, after every command recorded so far and before every later one.
    /// The bytes go to the place `at` of the buffer, at most [`UPLOAD_BYTES`] at once.
    #[must_use]
    pub(crate) fn write(&mut self, gpu: &Gpu, buffer: &wgpu::Buffer, at: usize, bytes: &[u8]) -> Excess {
        let excess = if self.touches(buffer) { self.flush(gpu) } else { None };
        let whole = bytes.len() / 4 * 4;
        gpu.begin(Task::Upload { bytes: bytes.len() as u64 });
        gpu.queue.write_buffer(buffer, at as u64, &bytes[..whole]);
        if whole < bytes.len() {
            let mut tail = [0u8; 4];
            tail[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            gpu.queue.write_buffer(buffer, (at + whole) as u64, &tail);
        }
        self.uploaded += bytes.len();
        if self.uploaded < UPLOAD_BYTES {
            return excess;
        }
        self.submit(gpu);
        let last = gpu.queue.submit([]);
        self.submitted.clear();
        self.uploaded = 0;
        Some(last)
    }

    /// Submits what is pending.
    #[must_use]
    pub(crate) fn flush(&mut self, gpu: &Gpu) -> Excess {
        self.submit(gpu);
        self.forget_finished();
        let excess = self.submitted.len().saturating_sub(self.policy.in_flight);
        self.submitted.drain(..excess).next_back().map(|(_, submission)| submission)
    }

    /// Submits a copy of the first `bytes` of `buffer`, after every command recorded so far, into a new buffer that the host
    /// can map. Never waits: the next [`Recorder::flush`] does, for this submission too.
    pub(crate) fn read(&mut self, gpu: &Gpu, buffer: &wgpu::Buffer, bytes: u64) -> Result<Copied> {
        gpu.begin(Task::ReadBack { bytes });
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = gpu.buffer("read-back", bytes, usage).ok_or_else(|| Error::OutOfMemory {
            what: gpu.task().to_string(),
            requested: bytes,
            in_use: gpu.pool.stats().in_use,
        })?;
        self.commands.push(Command::Copy { from: buffer.clone(), to: staging.clone(), bytes });
        self.forget_finished();
        let submission = self.submit(gpu);
        Ok(Copied { staging, submission, number: self.count, finished: self.finished.clone() })
    }

    fn forget_finished(&mut self) {
        let finished = self.finished.0.load(Ordering::Relaxed);
        while self.submitted.front().is_some_and(|&(number, _)| number <= finished) {
            self.submitted.pop_front();
        }
    }

    fn submit(&mut self, gpu: &Gpu) -> Option<wgpu::SubmissionIndex> {
        let (first, last) = (self.commands.first()?.label(), self.commands.last()?.label());
        self.uploaded = 0;
        let commands = std::mem::take(&mut self.commands);
        self.work = 0;
        let align = gpu.limits.min_uniform_buffer_offset_alignment as usize;
        let mut bytes: Vec<u8> = Vec::new();
        let mut offsets = Vec::new();
        for command in &commands {
            if let Command::Dispatch(d) = command {
                offsets.push(bytes.len() as u32);
                bytes.extend_from_slice(&d.params);
                bytes.resize(bytes.len().next_multiple_of(align), 0);
            }
        }
        gpu.begin(Task::Submit { first, last, commands: commands.len(), bytes: bytes.len() as u64 });
        let uniform = self.uniform(gpu, bytes.len().max(align) as u64);
        if !bytes.is_empty() {
            gpu.queue.write_buffer(&uniform, 0, &bytes);
        }
        let mut encoder = gpu.raw.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("vljepa") });
        let mut offsets = offsets.into_iter();
        let mut i = 0;
        while i < commands.len() {
            match &commands[i] {
                Command::Dispatch(first) => {
                    let profiled = self.profile.as_mut().and_then(|p| p.slot(gpu, first.label));
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: None,
                        timestamp_writes: profiled.as_ref().map(|(set, at)| wgpu::ComputePassTimestampWrites {
                            query_set: set,
                            beginning_of_pass_write_index: Some(*at),
                            end_of_pass_write_index: Some(*at + 1),
                        }),
                    });
                    while let Some(Command::Dispatch(d)) = commands.get(i) {
                        encode(gpu, &mut pass, d, &uniform, offsets.next().unwrap_or_default());
                        i += 1;
                        if self.profile.is_some() {
                            break;
                        }
                    }
                }
                Command::Copy { from, to, bytes } => {
                    encoder.copy_buffer_to_buffer(from, 0, to, 0, *bytes);
                    i += 1;
                }
                Command::Clear { buffer, bytes } => {
                    encoder.clear_buffer(buffer, 0, Some(*bytes));
                    i += 1;
                }
            }
        }
        let submission = gpu.queue.submit([encoder.finish()]);
        self.count += 1;
        self.submitted.push_back((self.count, submission.clone()));
        Some(submission)
    }

    /// The next parameter buffer of a small ring. Reuse is safe while older submissions run, since the queue orders
    /// the write after them.
    fn uniform(&mut self, gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
        const RING: usize = 4;
        let make = || {
            gpu.raw.create_buffer(&wgpu::BufferDescriptor {
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

fn encode(gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>, d: &Dispatch, uniform: &wgpu::Buffer, offset: u32) {
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
    let group = gpu.raw.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(d.label),
        layout: &d.pipeline.layout,
        entries: &entries,
    });
    pass.set_pipeline(&d.pipeline.raw);
    pass.set_bind_group(0, &group, &[offset]);
    pass.dispatch_workgroups(d.groups[0], d.groups[1], d.groups[2]);
}
