//! Launches of kernels over tensors.

use vljepa_shaders::{Access, Const, Elem, Kernel, Params};

use crate::device::Device;
use crate::device::pipelines::{Override, Request};
use crate::device::recorder::Dispatch;
use crate::error::{Error, Result};
use crate::grid;
use crate::tensor::Tensor;

/// One launch of a kernel, built by an operator's host half and recorded by [`Launch::record`].
///
/// Bindings are given in the kernel's order; `None` binds a placeholder for an absent optional input that the kernel,
/// by an override, never reads.
///
/// A launch from outside of this crate is always safe: the kernel runs with bounds checks and zeroed workgroup memory,
/// whatever [`DeviceOptions::checked_shaders`](crate::DeviceOptions) says, and text, description and tensors that do not
/// fit together are errors.
pub struct Launch<'a> {
    kernel: &'static Kernel,
    elem: Option<Elem>,
    consts: Vec<Const>,
    overrides: Vec<Override>,
    bindings: Vec<Option<&'a Tensor>>,
    work: u64,
    own_text: Option<&'a str>,
    by_operator: bool,
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
            by_operator: false,
        }
    }

    /// A launch by an operator, which has compared every size in the parameters with its tensors: the kernel's own guards
    /// are enough.
    pub(crate) fn op(kernel: &'static Kernel, bindings: impl IntoIterator<Item = Option<&'a Tensor>>) -> Self {
        Launch { by_operator: true, ..Self::new(kernel, bindings) }
    }

    /// Runs WGSL of your own instead of the kernel's file. It may include files of `vljepa-shaders`. Launches with the same
    /// text share a pipeline; other texts get one of their own, whatever the kernel's name.
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

    fn unfit(&self, what: String) -> Error {
        Error::Interface { kernel: self.kernel.name, what }
    }

    /// Compares what the launch was given with the kernel's description.
    fn check<P: Params>(&self, device: &Device) -> Result<()> {
        let kernel = self.kernel;
        let size = size_of::<P>();
        if P::LAYOUT != kernel.params || size != kernel.params.size {
            return Err(self.unfit(format!(
                "launched with the parameters {:?} of {size} bytes, described with {:?}",
                P::LAYOUT,
                kernel.params
            )));
        }
        if size == 0 || kernel.workgroup_size == 0 {
            return Err(self.unfit("described with no parameters or with workgroups of no invocations".into()));
        }
        let limit = device.limits().max_uniform_buffer_binding_size;
        if size as u64 > limit {
            return Err(Error::Limit { what: "bytes of a kernel's parameters", requested: size as u64, limit });
        }
        if self.bindings.len() != kernel.bindings.len() {
            return Err(Error::Invalid(format!(
                "kernel {} takes {} bindings, got {}",
                kernel.name,
                kernel.bindings.len(),
                self.bindings.len()
            )));
        }
        Ok(())
    }

    /// The buffers to bind, each with its bytes.
    fn buffers(&self, device: &Device) -> Result<Vec<(wgpu::Buffer, u64)>> {
        let limit = device.limits().max_storage_buffer_binding_size;
        let mut buffers = Vec::with_capacity(self.bindings.len());
        for (i, tensor) in self.bindings.iter().enumerate() {
            let Some(tensor) = tensor else {
                if self.kernel.bindings[i] == Access::ReadWrite {
                    return Err(self.unfit(format!("binding {i} is written and cannot be absent")));
                }
                let placeholder = device.placeholder();
                buffers.push((placeholder.clone(), placeholder.size()));
                continue;
            };
            if !tensor.device().same(device) {
                return Err(Error::DeviceMismatch { op: self.kernel.name });
            }
            let bytes = tensor.byte_len().max(4).next_multiple_of(4);
            if bytes > limit {
                return Err(Error::Limit { what: "bytes of one storage binding", requested: bytes, limit });
            }
            buffers.push((tensor.raw().clone(), bytes.next_multiple_of(16).min(tensor.raw().size())));
        }
        for (i, a) in buffers.iter().enumerate() {
            let written = self.kernel.bindings[i] == Access::ReadWrite;
            if written && buffers.iter().enumerate().any(|(j, b)| i != j && a.0 == b.0) {
                return Err(Error::Invalid(format!("kernel {}: a written tensor is bound twice", self.kernel.name)));
            }
        }
        Ok(buffers)
    }

    /// Records `groups` workgroups in x, y and z, none of them folded.
    ///
    /// # Errors
    /// [`Error::Limit`] when a dimension, a binding or the parameters exceed the device's limits,
    /// [`Error::DeviceMismatch`], [`Error::Invalid`] for bindings that are too few, too many, or written and bound twice,
    /// [`Error::Interface`] where parameters, description, text and tensors do not fit together, and [`Error::Wgsl`] or
    /// [`Error::Shader`] when the text does not compile.
    pub fn record_grid<P: Params>(self, device: &Device, params: &P, groups: [u32; 3]) -> Result<()> {
        self.check::<P>(device)?;
        let limit = device.limits().max_compute_workgroups_per_dimension;
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
        let buffers = self.buffers(device)?;
        let pipeline = device.pipeline(&Request {
            kernel: self.kernel,
            text: self.own_text,
            by_operator: self.by_operator,
            elem: self.elem,
            consts: &self.consts,
            overrides: &self.overrides,
        })?;
        for (i, (&least, &(_, bytes))) in pipeline.smallest.iter().zip(&buffers).enumerate() {
            if bytes < least {
                return Err(self.unfit(format!("binding {i} has {bytes} bytes, and the text reads {least} at least")));
            }
        }
        device.dispatch(Dispatch {
            label: self.kernel.name,
            pipeline,
            buffers,
            params: bytemuck::bytes_of(params).to_vec(),
            groups,
            work: self.work,
        })
    }

    /// Records `groups` workgroups, folded to the device's limits; the kernel linearises them.
    ///
    /// # Errors
    /// As [`Launch::record_grid`].
    pub fn record<P: Params>(self, device: &Device, params: &P, groups: u64) -> Result<()> {
        let folded = match groups {
            0 => [0; 3],
            _ => grid::fold(groups, device.limits().max_compute_workgroups_per_dimension)?,
        };
        self.record_grid(device, params, folded)
    }

    /// Records one invocation per element of `count`, in workgroups of the kernel's size.
    ///
    /// # Errors
    /// As [`Launch::record_grid`].
    pub fn record_elements<P: Params>(self, device: &Device, params: &P, count: u64) -> Result<()> {
        // A size of zero is an error, which the check before recording finds.
        let size = u64::from(self.kernel.workgroup_size.max(1));
        self.record(device, params, count.div_ceil(size))
    }
}
