//! Adapters and devices: chosen here or brought by the embedding application.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::exec::{PipelineKey, Recorder, SubmitPolicy};
use crate::pool::{PoolStats, PooledBuffer, parking::Pool, size_class};
use crate::{Capabilities, Error, Result};

/// Which adapter to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterChoice {
    /// The fastest: discrete, then integrated, then virtual, then software.
    #[default]
    Best,
    /// A software adapter.
    Software,
    /// The adapter at this place in [`adapters`].
    Index(usize),
    /// The first adapter whose name contains this text, case ignored.
    Name(String),
}

impl AdapterChoice {
    /// Reads the command line's form: an index, `cpu`, or part of a name.
    pub fn parse(text: &str) -> Self {
        match text.to_lowercase().as_str() {
            "" | "auto" | "best" => AdapterChoice::Best,
            "cpu" => AdapterChoice::Software,
            _ => text.parse().map_or_else(|_| AdapterChoice::Name(text.to_owned()), AdapterChoice::Index),
        }
    }
}

impl std::fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AdapterChoice::Best => f.write_str("any adapter"),
            AdapterChoice::Software => f.write_str("a software adapter"),
            AdapterChoice::Index(i) => write!(f, "adapter {i}"),
            AdapterChoice::Name(part) => write!(f, "an adapter with \"{}\" in its name", part.escape_debug()),
        }
    }
}

/// How to make a [`Device`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DeviceOptions {
    /// Which adapter.
    pub adapter: AdapterChoice,
    /// Capabilities to switch off, in the form of `VLJEPA_DISABLE`; the environment variable is added to it.
    pub disable: String,
    /// Bounds-checked shaders. `None`: checked in debug builds and with `VLJEPA_SHADER_CHECKS=1`, unchecked else.
    pub checked_shaders: Option<bool>,
    /// Bytes that a kernel may bind of one buffer, where that is to be less than the adapter's limit: how a model runs on a
    /// smaller GPU can be tried on a larger one.
    pub max_binding: Option<u64>,
}

/// A shared handle of one GPU device with its memory pool, pipelines and pending commands. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Device(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) raw: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) info: wgpu::AdapterInfo,
    pub(crate) limits: wgpu::Limits,
    pub(crate) caps: Capabilities,
    pub(crate) checked: bool,
    pub(crate) pool: Arc<Pool>,
    pub(crate) recorder: Mutex<Recorder>,
    pub(crate) pipelines: Mutex<HashMap<PipelineKey, Arc<crate::exec::Pipeline>>>,
    /// Bound where an optional input is absent.
    pub(crate) placeholder: wgpu::Buffer,
    failure: Arc<Mutex<Option<Error>>>,
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // The GL backend complains about missing display servers on headless machines.
    descriptor.backends = wgpu::Backends::PRIMARY;
    wgpu::Instance::new(descriptor.with_env())
}

fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// Every adapter of the machine, best first.
pub async fn adapters() -> Vec<wgpu::AdapterInfo> {
    enumerate().await.iter().map(wgpu::Adapter::get_info).collect()
}

async fn enumerate() -> Vec<wgpu::Adapter> {
    let mut found = instance().enumerate_adapters(wgpu::Backends::all()).await;
    found.sort_by_key(|a| rank(a.get_info().device_type));
    found
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    /// Opens an adapter with all the limits it has and the optional features that kernels can use.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when none fits, [`Error::Gpu`] when the driver refuses the device,
    /// [`Error::Invalid`] for an unknown name in the list of disabled capabilities.
    pub async fn new(options: DeviceOptions) -> Result<Self> {
        let found = enumerate().await;
        let names = || found.iter().map(|a| a.get_info().name).collect::<Vec<_>>();
        let adapter = match &options.adapter {
            AdapterChoice::Best => found.first(),
            AdapterChoice::Software => found.iter().find(|a| a.get_info().device_type == wgpu::DeviceType::Cpu),
            AdapterChoice::Index(i) => found.get(*i),
            AdapterChoice::Name(part) => {
                let part = part.to_lowercase();
                found.iter().find(|a| a.get_info().name.to_lowercase().contains(&part))
            }
        }
        .ok_or_else(|| Error::NoAdapter { wanted: options.adapter.to_string(), found: names() })?;
        let env = std::env::var("VLJEPA_DISABLE").unwrap_or_default();
        let caps = capabilities(adapter).disable(&options.disable)?.disable(&env)?;
        let plain = caps == Capabilities::none();
        let mut features = wgpu::Features::empty();
        for (on, feature) in [
            (caps.f16, wgpu::Features::SHADER_F16),
            (caps.subgroup, wgpu::Features::SUBGROUP),
            (caps.timestamps, wgpu::Features::TIMESTAMP_QUERY),
            (caps.pipeline_cache, wgpu::Features::PIPELINE_CACHE),
            (!caps.coop.is_empty(), wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
        ] {
            features.set(feature, on);
        }
        // SAFETY: the only experimental feature asked for is cooperative matrices, whose kernels are compared with the
        // plain ones by the test suite and which VLJEPA_DISABLE=coop switches off.
        let experimental_features = if caps.coop.is_empty() {
            wgpu::ExperimentalFeatures::disabled()
        } else {
            unsafe { wgpu::ExperimentalFeatures::enabled() }
        };
        let mut limits = if plain { wgpu::Limits::defaults() } else { adapter.limits() };
        let binding = &mut limits.max_storage_buffer_binding_size;
        *binding = options.max_binding.unwrap_or(*binding).min(*binding);
        let (raw, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("vljepa"),
                required_features: features,
                required_limits: limits,
                experimental_features,
                memory_hints: wgpu::MemoryHints::Performance,
                trace: wgpu::Trace::Off,
            })
            .await
            .map_err(|e| Error::Gpu { label: "request_device".into(), message: e.to_string() })?;
        let checks = std::env::var("VLJEPA_SHADER_CHECKS").ok().map(|v| v != "0");
        let checked = options.checked_shaders.or(checks).unwrap_or(cfg!(debug_assertions));
        Ok(Self::assemble(raw, queue, adapter.get_info(), caps, checked))
    }

    /// Wraps a device that the embedding application made. Capabilities follow from the device's features and limits;
    /// `VLJEPA_DISABLE` is honoured.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown name in `VLJEPA_DISABLE`.
    pub fn from_wgpu(raw: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let info = raw.adapter_info();
        let features = raw.features();
        let env = std::env::var("VLJEPA_DISABLE").unwrap_or_default();
        let caps = Capabilities {
            f16: features.contains(wgpu::Features::SHADER_F16),
            subgroup: features.contains(wgpu::Features::SUBGROUP),
            subgroup_size: (info.subgroup_min_size, info.subgroup_max_size),
            coop: Vec::new(),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            immediates: features.contains(wgpu::Features::IMMEDIATES),
            pipeline_cache: features.contains(wgpu::Features::PIPELINE_CACHE),
            software: info.device_type == wgpu::DeviceType::Cpu,
        }
        .disable(&env)?;
        Ok(Self::assemble(raw, queue, info, caps, cfg!(debug_assertions)))
    }

    fn assemble(
        raw: wgpu::Device,
        queue: wgpu::Queue,
        info: wgpu::AdapterInfo,
        caps: Capabilities,
        checked: bool,
    ) -> Self {
        let failure = Arc::new(Mutex::new(None::<Error>));
        let seen = failure.clone();
        raw.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let error = match error {
                wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { requested: 0, in_use: 0 },
                other => Error::Gpu { label: "command".into(), message: other.to_string() },
            };
            lock(&seen).get_or_insert(error);
        }));
        let seen = failure.clone();
        raw.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                lock(&seen).get_or_insert(Error::DeviceLost(message));
            }
        });
        let placeholder = raw.create_buffer(&wgpu::BufferDescriptor {
            label: Some("placeholder"),
            size: 256,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let limits = raw.limits();
        Device(Arc::new(Inner {
            raw,
            queue,
            info,
            limits,
            caps,
            checked,
            pool: Arc::new(Pool::default()),
            recorder: Mutex::new(Recorder::new(SubmitPolicy::default())),
            pipelines: Mutex::new(HashMap::new()),
            placeholder,
            failure,
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
        &self.0.raw
    }

    /// The wgpu queue of this device.
    pub fn wgpu_queue(&self) -> &wgpu::Queue {
        &self.0.queue
    }

    /// Name, driver and kind of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.0.info
    }

    /// What kernels may use here.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.caps
    }

    /// Limits of the device.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.0.limits
    }

    /// Whether both handles are the same device.
    pub fn same(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Memory held by tensors and by the pool.
    pub fn memory(&self) -> PoolStats {
        self.0.pool.stats()
    }

    /// Gives the pool's free buffers back to the driver; returns how many bytes.
    ///
    /// # Errors
    /// As [`Device::flush`].
    pub fn trim(&self) -> Result<u64> {
        self.flush()?;
        Ok(self.0.pool.trim())
    }

    /// Submits the pending commands.
    ///
    /// # Errors
    /// The first failure that the GPU reported since the last call.
    pub fn flush(&self) -> Result<()> {
        lock(&self.0.recorder).flush(&self.0)?;
        self.check()
    }

    /// Submits the pending commands and waits until the GPU has run them.
    ///
    /// # Errors
    /// The first failure that the GPU reported since the last call.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn synchronize(&self) -> Result<()> {
        self.flush()?;
        self.0
            .raw
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|e| Error::Gpu { label: "wait".into(), message: e.to_string() })?;
        self.check()
    }

    /// Takes the failure that the GPU reported, if any.
    pub(crate) fn check(&self) -> Result<()> {
        let mut failure = lock(&self.0.failure);
        match &*failure {
            // A lost device stays lost.
            Some(Error::DeviceLost(why)) => Err(Error::DeviceLost(why.clone())),
            Some(_) => failure.take().map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    pub(crate) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        lock(&self.0.recorder)
    }

    pub(crate) fn pipelines(&self) -> MutexGuard<'_, HashMap<PipelineKey, Arc<crate::exec::Pipeline>>> {
        lock(&self.0.pipelines)
    }

    pub(crate) fn allocate(&self, bytes: u64) -> Result<PooledBuffer> {
        let class = size_class(bytes);
        let inner = &self.0;
        let pool = Arc::downgrade(&inner.pool);
        if let Some((raw, size)) = inner.pool.take(class) {
            return Ok(PooledBuffer { raw: Some(raw), size, pool });
        }
        if class > inner.limits.max_buffer_size {
            return Err(Error::Limit {
                what: "bytes of one tensor",
                requested: bytes,
                limit: inner.limits.max_buffer_size,
            });
        }
        let make = || {
            let scope = inner.raw.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
            let raw = inner.raw.create_buffer(&wgpu::BufferDescriptor {
                label: Some("tensor"),
                size: class,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            // Native scopes answer at once; a browser's answer comes later through the uncaptured-error handler.
            match ready(scope.pop()) {
                Some(Some(_)) => None,
                _ => Some(raw),
            }
        };
        let raw = match make() {
            Some(raw) => raw,
            None => {
                self.trim()?;
                #[cfg(not(target_arch = "wasm32"))]
                self.synchronize()?;
                make().ok_or(Error::OutOfMemory { requested: class, in_use: inner.pool.stats().in_use })?
            }
        };
        inner.pool.made(class);
        Ok(PooledBuffer { raw: Some(raw), size: class, pool })
    }
}

/// The future's value if it is ready now.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

fn capabilities(adapter: &wgpu::Adapter) -> Capabilities {
    let features = adapter.features();
    let info = adapter.get_info();
    let mut coop: Vec<u32> = Vec::new();
    if features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        // WGSL has types for cubic shapes only, and the kernels take f16 operands with f32 sums.
        for p in adapter.cooperative_matrix_properties() {
            let cubic = p.m_size == p.n_size && p.n_size == p.k_size;
            let halves = p.ab_type == wgpu::CooperativeScalarType::F16 && p.cr_type == wgpu::CooperativeScalarType::F32;
            if cubic && halves && !coop.contains(&p.m_size) {
                coop.push(p.m_size);
            }
        }
        coop.sort_unstable();
    }
    Capabilities {
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroup: features.contains(wgpu::Features::SUBGROUP),
        subgroup_size: (info.subgroup_min_size, info.subgroup_max_size),
        coop,
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        immediates: features.contains(wgpu::Features::IMMEDIATES),
        pipeline_cache: features.contains(wgpu::Features::PIPELINE_CACHE),
        software: info.device_type == wgpu::DeviceType::Cpu,
    }
}
