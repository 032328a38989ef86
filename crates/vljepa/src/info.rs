//! Facts about this machine and this build: adapters, capabilities, limits, kernel variants, models.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use vljepa_tensor::{Device, Dtype, ops};

use vljepa_embed::folder::AnyFolder;

use crate::builtin::{Builtin, find};
use crate::error::Result;

/// A graphics adapter.
#[derive(Clone, Debug, Serialize)]
pub struct Adapter {
    /// Index among the adapters; [`crate::open_device`] accepts it as a name.
    pub index: usize,
    /// The name that the driver reports.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// `discrete-gpu`, `integrated-gpu`, `virtual-gpu`, `cpu`, `other`.
    pub device_type: String,
    /// The driver and its version.
    pub driver: String,
}

/// `DiscreteGpu` → `discrete-gpu`.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            out.push('-');
        }
        out.extend(c.to_lowercase());
    }
    out
}

impl Adapter {
    /// All adapters, best first.
    pub fn all() -> Vec<Self> {
        let adapters = pollster::block_on(vljepa_tensor::adapters());
        let all = adapters.into_iter().enumerate().map(|(index, info)| Self {
            index,
            backend: info.backend.to_str().to_owned(),
            device_type: kebab(&format!("{:?}", info.device_type)),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            name: info.name,
        });
        all.collect()
    }
}

/// Name, backend and type of a device's adapter in one text.
pub fn adapter_name(device: &Device) -> String {
    let info = device.info();
    format!("{} ({}, {})", info.name, info.backend.to_str(), kebab(&format!("{:?}", info.device_type)))
}

/// A device's capabilities, its limits that matter here, and the kernel variants that will run, as JSON.
pub fn device(device: &Device) -> Value {
    let (caps, limits) = (device.capabilities(), device.limits());
    json!({
        "adapter": adapter_name(device),
        "capabilities": {
            "f16": caps.f16,
            "subgroup": caps.subgroup,
            "subgroup_size": [caps.subgroup_size.0, caps.subgroup_size.1],
            "coop": caps.coop,
            "timestamps": caps.timestamps,
            "immediates": caps.immediates,
            "pipeline_cache": caps.pipeline_cache,
            "software": caps.software,
        },
        "limits": {
            "max_buffer_size": limits.max_buffer_size,
            "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
            "max_storage_buffers_per_shader_stage": limits.max_storage_buffers_per_shader_stage,
            "max_compute_workgroup_storage_size": limits.max_compute_workgroup_storage_size,
            "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
            "max_compute_workgroups_per_dimension": limits.max_compute_workgroups_per_dimension,
        },
        "variants": variants(device),
    })
}

/// The variant that each kernel family chooses at a shape that models use; the shape is part of the key.
fn variants(device: &Device) -> Value {
    let caps = device.capabilities();
    let matmul = |b| format!("{:?}", ops::choose_matmul(caps, ops::Layout::Nt, [256, 1024, 1024], b)).to_lowercase();
    json!({
        "matmul": matmul(Dtype::F32),
        "matmul_f16": matmul(Dtype::F16),
        "attention, 64 channels a head": format!("{:?}", ops::choose_attention(caps, 64, false)).to_lowercase(),
        "lanes of a row of 384": ops::choose_lanes(caps, 384),
        "chunk of a patch row of 48": ops::choose_patch_chunk(caps, 48),
        "chunk of a copied row of 384": ops::choose_chunk(caps, 384),
        "partial sums of a gradient norm": ops::choose_square_partials(caps),
    })
}

/// Kind, sizes and hash of a model, as JSON; needs no device.
pub fn model(folder: &AnyFolder) -> Value {
    let mut out = match folder {
        AnyFolder::VlJepa(folder) => {
            let c = folder.config();
            json!({
                "kind": "vljepa",
                "parameters": c.parameters(),
                "weight_bytes": folder.weight_bytes(),
                "image_size": c.image_size(),
                "frames": c.frames(),
                "embedding_dim": c.embedding_dim,
                "x_encoder": { "layers": c.x_encoder.num_hidden_layers, "width": c.x_encoder.hidden_size },
                "predictor": { "layers": c.predictor.num_layers, "width": c.predictor.config.hidden_size },
                "y_encoder": { "layers": c.y_encoder.config.num_hidden_layers(), "width": c.y_encoder.config.hidden_size() },
                "queries": folder.takes_queries(),
            })
        }
        AnyFolder::Vision(folder) => {
            let c = folder.config();
            json!({
                "kind": "vjepa2",
                "parameters": folder.parameters(),
                "weight_bytes": folder.weight_bytes(),
                "image_size": folder.preprocess().size,
                "frames": c.frames_per_clip,
                "embedding_dim": c.hidden_size,
                "x_encoder": { "layers": c.num_hidden_layers, "width": c.hidden_size },
                "classes": folder.labels().map_or(0, <[_]>::len),
            })
        }
        AnyFolder::Text(folder) => {
            let c = folder.config();
            json!({
                "kind": c.config.kind(),
                "parameters": folder.parameters(),
                "weight_bytes": folder.weight_bytes(),
                "embedding_dim": c.output_size(),
                "y_encoder": { "layers": c.config.num_hidden_layers(), "width": c.config.hidden_size() },
                "pooling": c.pooling,
            })
        }
    };
    out["origin"] = folder.origin().into();
    out["hash"] = folder.hash().into();
    out
}

/// [`model`] of each built-in model that there is, and of the model folder `dir`, if given.
///
/// # Errors
/// A `dir` that is not a model folder.
pub fn models(dir: Option<&Path>) -> Result<Vec<Value>> {
    let mut models = Vec::new();
    for builtin in Builtin::ALL.into_iter().filter(|builtin| builtin.is_carried()) {
        models.push(model(&AnyFolder::VlJepa(builtin.open()?)));
    }
    if dir.is_some() {
        models.push(model(&find(dir, Builtin::Compact)?));
    }
    Ok(models)
}
