//! Adapters: which there are, what they can do, and how one is chosen and opened.

use super::gpu::Gpu;
use crate::caps::Capabilities;
use crate::error::{Error, Result};

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
    /// Reads a choice from text: nothing, `auto` or `best` is [`AdapterChoice::Best`], `cpu` is
    /// [`AdapterChoice::Software`], a number is an index, and anything else is part of a name.
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

/// How to make a [`Device`](crate::Device).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DeviceOptions {
    /// Which adapter.
    pub adapter: AdapterChoice,
    /// Capabilities to switch off, in the form of `VLJEPA_DISABLE`; the environment variable is added to it.
    pub disable: String,
    /// Bounds checks in the kernels of this repository. `None`: on in debug builds and with `VLJEPA_SHADER_CHECKS=1`, off
    /// else. Kernels of your own are always checked.
    pub checked_shaders: Option<bool>,
    /// Largest number of bytes that a kernel may bind of one buffer; the adapter's limit where that is smaller or this is
    /// `None`. It shows on a large GPU how a model runs on a smaller one.
    pub max_binding: Option<u64>,
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

/// What features and adapter allow, without what the environment variable `VLJEPA_DISABLE` names.
fn capabilities(features: wgpu::Features, info: &wgpu::AdapterInfo, coop: Vec<u32>) -> Result<Capabilities> {
    let caps = Capabilities {
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroup: features.contains(wgpu::Features::SUBGROUP),
        subgroup_size: (info.subgroup_min_size, info.subgroup_max_size),
        coop,
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        immediates: features.contains(wgpu::Features::IMMEDIATES),
        pipeline_cache: features.contains(wgpu::Features::PIPELINE_CACHE),
        software: info.device_type == wgpu::DeviceType::Cpu,
    };
    caps.disable(&std::env::var("VLJEPA_DISABLE").unwrap_or_default())
}

/// Sizes of the cooperative matrices that kernels can use: cubic, since WGSL has no other types, with f16 operands and f32
/// sums.
fn cooperative(adapter: &wgpu::Adapter) -> Vec<u32> {
    if !adapter.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return Vec::new();
    }
    let mut sizes: Vec<u32> = Vec::new();
    for p in adapter.cooperative_matrix_properties() {
        let cubic = p.m_size == p.n_size && p.n_size == p.k_size;
        let halves = p.ab_type == wgpu::CooperativeScalarType::F16 && p.cr_type == wgpu::CooperativeScalarType::F32;
        if cubic && halves && !sizes.contains(&p.m_size) {
            sizes.push(p.m_size);
        }
    }
    sizes.sort_unstable();
    sizes
}

fn checked(wanted: Option<bool>) -> bool {
    let environment = || std::env::var("VLJEPA_SHADER_CHECKS").ok().map(|v| v != "0");
    wanted.or_else(environment).unwrap_or(cfg!(debug_assertions))
}

/// Opens the adapter that `options` choose.
pub(crate) async fn open(options: &DeviceOptions) -> Result<Gpu> {
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
    let info = adapter.get_info();
    let caps = capabilities(adapter.features(), &info, cooperative(adapter))?.disable(&options.disable)?;
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
    let experimental_features = if caps.coop.is_empty() {
        wgpu::ExperimentalFeatures::disabled()
    } else {
        // SAFETY: the only experimental feature asked for is cooperative matrices, whose kernels the test suite compares
        // with the plain ones and which VLJEPA_DISABLE=coop switches off.
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
    Ok(Gpu::new(raw, queue, info, caps, checked(options.checked_shaders)))
}

/// Takes a device over that an application made.
pub(crate) fn adopt(raw: wgpu::Device, queue: wgpu::Queue) -> Result<Gpu> {
    let info = raw.adapter_info();
    let caps = capabilities(raw.features(), &info, Vec::new())?;
    Ok(Gpu::new(raw, queue, info, caps, checked(None)))
}

#[cfg(test)]
mod tests {
    use super::AdapterChoice;

    #[test]
    fn choices_are_read_from_text() {
        for text in ["", "auto", "BEST"] {
            assert_eq!(AdapterChoice::parse(text), AdapterChoice::Best);
        }
        assert_eq!(AdapterChoice::parse("CPU"), AdapterChoice::Software);
        assert_eq!(AdapterChoice::parse("2"), AdapterChoice::Index(2));
        assert_eq!(AdapterChoice::parse("Radeon"), AdapterChoice::Name("Radeon".into()));
    }
}
