//! The handle of one GPU device with its memory pool, pipelines and pending commands.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::caps::Capabilities;
use crate::error::{Error, Result};
use crate::pool::{PoolStats, PooledBuffer, size_class};

mod adapter;
mod gpu;
#[cfg(not(target_arch = "wasm32"))]
mod interface;
pub(crate) mod pipelines;
mod profile;
mod read_back;
pub(crate) mod recorder;

pub use adapter::{AdapterChoice, DeviceOptions, adapters};
pub use profile::KernelTime;

use gpu::{Gpu, lock};
use pipelines::{Pipeline, Pipelines, Request};
use profile::Profile;
use read_back::ReadBack;
use recorder::{Dispatch, Excess, Recorder, UPLOAD_BYTES};

/// A shared handle of one GPU device with its memory pool, pipelines and pending commands. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Device(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    gpu: Gpu,
    recorder: Mutex<Recorder>,
    pipelines: Mutex<Pipelines>,
    #[cfg(not(target_arch = "wasm32"))]
    driver: read_back::Driver,
}

impl Device {
    /// Opens an adapter with all the limits it has and the optional features that kernels can use.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when none fits, [`Error::Gpu`] when the driver refuses the device,
    /// [`Error::Invalid`] for an unknown name in the list of disabled capabilities.
    pub async fn new(options: DeviceOptions) -> Result<Self> {
        Ok(Self::over(adapter::open(&options).await?))
    }

    /// Wraps a device that the embedding application made. Capabilities follow from the device's features and limits;
    /// `VLJEPA_DISABLE` and `VLJEPA_SHADER_CHECKS` are honoured. The device's callbacks for uncaptured errors and for its
    /// loss are replaced: both become errors of the next call here.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown name in `VLJEPA_DISABLE`.
    pub fn from_wgpu(raw: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        Ok(Self::over(adapter::adopt(raw, queue)?))
    }

    fn over(gpu: Gpu) -> Self {
        Device(Arc::new(Inner {
            gpu,
            recorder: Mutex::default(),
            pipelines: Mutex::default(),
            #[cfg(not(target_arch = "wasm32"))]
            driver: read_back::Driver::default(),
        }))
    }

    /// Blocking form of [`Device::new`].
    ///
    /// # Errors
    /// As [`Device::new`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(options: DeviceOptions) -> Result<Self> {
        pollster::block_on(Self::new(options))
    }

    /// The wgpu device, for code that mixes its own commands with ours. Call [`Device::flush`] before submitting
    /// commands that read our buffers.
    pub fn wgpu_device(&self) -> &wgpu::Device {
        &self.0.gpu.raw
    }

    /// The wgpu queue of this device.
    pub fn wgpu_queue(&self) -> &wgpu::Queue {
        &self.0.gpu.queue
    }

    /// Name, driver and kind of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.0.gpu.info
    }

    /// What kernels may use here.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.gpu.caps
    }

    /// Limits of the device.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.0.gpu.limits
    }

    /// Whether both handles are the same device.
    pub fn same(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Memory held by tensors and by the pool.
    pub fn memory(&self) -> PoolStats {
        self.0.gpu.pool.stats()
    }

    /// Gives the pool's free buffers back to the driver; returns how many bytes.
    ///
    /// # Errors
    /// As [`Device::flush`].
    pub fn trim(&self) -> Result<u64> {
        self.flush()?;
        Ok(self.0.gpu.pool.trim())
    }

    /// Submits the pending commands.
    ///
    /// # Errors
    /// The first failure that the GPU reported since the last call.
    pub fn flush(&self) -> Result<()> {
        let excess = self.recorder().flush(&self.0.gpu);
        self.wait_for_excess(excess)?;
        self.check()
    }

    /// Submits the pending commands and waits until the GPU has run them.
    ///
    /// # Errors
    /// The first failure that the GPU reported since the last call.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn synchronize(&self) -> Result<()> {
        self.flush()?;
        self.0.gpu.wait(None)?;
        self.check()
    }

    /// Starts measuring every kernel. Returns false where timestamps are missing or switched off.
    ///
    /// # Errors
    /// As [`Device::flush`].
    pub fn start_profile(&self) -> Result<bool> {
        self.flush()?;
        if !self.capabilities().timestamps {
            return Ok(false);
        }
        self.recorder().set_profile(Some(Profile::default()));
        Ok(true)
    }

    /// Stops measuring; kernels by falling time. Empty when nothing was measured, or when the driver's timestamps make
    /// no sense (some return zeros).
    ///
    /// # Errors
    /// As [`Device::flush`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn stop_profile(&self) -> Result<Vec<KernelTime>> {
        self.synchronize()?;
        let profile = self.recorder().set_profile(None);
        profile.map_or(Ok(Vec::new()), |profile| profile.read(&self.0.gpu))
    }

    /// Takes the failure that the GPU reported, if any.
    fn check(&self) -> Result<()> {
        self.0.gpu.check()
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        lock(&self.0.recorder)
    }

    /// The pipeline of this request, compiled at the first.
    pub(crate) fn pipeline(&self, request: &Request<'_>) -> Result<Arc<Pipeline>> {
        if let Some(found) = lock(&self.0.pipelines).get(request) {
            return Ok(found);
        }
        let made = pipelines::compile(&self.0.gpu, request)?;
        Ok(lock(&self.0.pipelines).put(request, made))
    }

    /// Bound where an optional input is absent: a few bytes that nothing reads.
    pub(crate) fn placeholder(&self) -> &wgpu::Buffer {
        &self.0.gpu.placeholder
    }

    /// Records a dispatch, and submits what is pending where that is much.
    pub(crate) fn dispatch(&self, dispatch: Dispatch) -> Result<()> {
        let due = self.recorder().dispatch(dispatch);
        if due { self.flush() } else { Ok(()) }
    }

    /// Records zeros over the first `bytes` of a buffer, and submits as [`Device::dispatch`] does.
    pub(crate) fn clear(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<()> {
        let due = self.recorder().clear(buffer, bytes);
        if due { self.flush() } else { Ok(()) }
    }

    /// Records a copy of the first `bytes` of a buffer over those of another, and submits as [`Device::dispatch`] does.
    pub(crate) fn copy(&self, from: &wgpu::Buffer, to: &wgpu::Buffer, bytes: u64) -> Result<()> {
        let due = self.recorder().copy(from, to, bytes);
        if due { self.flush() } else { Ok(()) }
    }

    /// Writes host bytes, the last word filled with zeros, after every command recorded so far and before every later one.
    pub(crate) fn write(&self, buffer: &wgpu::Buffer, bytes: &[u8]) -> Result<()> {
        for (i, part) in bytes.chunks(UPLOAD_BYTES).enumerate() {
            let excess = self.recorder().write(&self.0.gpu, buffer, i * UPLOAD_BYTES, part);
            self.wait_for_excess(excess)?;
        }
        Ok(())
    }

    /// Keeps the number of submissions in flight within bounds; not to be called with the recorder locked.
    fn wait_for_excess(&self, excess: Excess) -> Result<()> {
        if excess.is_some() { self.0.gpu.wait(excess) } else { Ok(()) }
    }

    /// The first `len` bytes of a buffer after every command recorded so far; never blocks.
    pub(crate) async fn read(&self, buffer: &wgpu::Buffer, len: u64) -> Result<Vec<u8>> {
        let read = self.start_read(buffer, len)?;
        #[cfg(not(target_arch = "wasm32"))]
        self.0.driver.drive(&self.0.gpu, &read);
        read.bytes(&self.0.gpu, len as usize).await
    }

    /// Blocking form of [`Device::read`]; the caller's thread does the waiting.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn read_now(&self, buffer: &wgpu::Buffer, len: u64) -> Result<Vec<u8>> {
        let read = self.start_read(buffer, len)?;
        read.wait(&self.0.gpu)?;
        pollster::block_on(read.bytes(&self.0.gpu, len as usize))
    }

    fn start_read(&self, buffer: &wgpu::Buffer, len: u64) -> Result<ReadBack> {
        let copied = self.recorder().read(&self.0.gpu, buffer, len.next_multiple_of(4))?;
        self.check()?;
        Ok(ReadBack::of(copied))
    }

    /// Memory of at least `bytes`, from the pool or the driver.
    pub(crate) fn allocate(&self, bytes: u64) -> Result<PooledBuffer> {
        let class = size_class(bytes);
        let gpu = &self.0.gpu;
        let pool = Arc::downgrade(&gpu.pool);
        if let Some((raw, size)) = gpu.pool.take(class) {
            return Ok(PooledBuffer { raw: Some(raw), size, pool });
        }
        if class > gpu.limits.max_buffer_size {
            return Err(Error::Limit {
                what: "bytes of one tensor",
                requested: bytes,
                limit: gpu.limits.max_buffer_size,
            });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let raw = match gpu.buffer("tensor", class, usage) {
            Some(raw) => raw,
            None => {
                self.trim()?;
                #[cfg(not(target_arch = "wasm32"))]
                self.synchronize()?;
                gpu.buffer("tensor", class, usage).ok_or_else(|| self.no_memory(class))?
            }
        };
        gpu.pool.made(class);
        Ok(PooledBuffer { raw: Some(raw), size: class, pool })
    }

    fn no_memory(&self, requested: u64) -> Error {
        let what = match self.recorder().last() {
            "" => "a tensor".into(),
            last => format!("a tensor, after the operator {last}"),
        };
        Error::OutOfMemory { what, requested, in_use: self.memory().in_use }
    }
}
