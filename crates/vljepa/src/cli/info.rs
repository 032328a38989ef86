//! `info`: shows adapters, capabilities, limits, the kernel variants that will run, and the models found.

use serde_json::{Value, json};
use vljepa::info::{self, Adapter};

use super::common::Common;
pub use super::common::ModelArgs as Args;
use super::failure::Result;
use super::output::{self, Output};

/// Shows the facts. A machine without adapters is not a failure: its list of adapters is empty.
pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    let models = info::models(args.model.as_deref())?;
    let adapters = Adapter::all();
    let device = if adapters.is_empty() { None } else { Some(info::device(&vljepa::open_device(&common.device)?)) };
    if out.json {
        let version = env!("CARGO_PKG_VERSION");
        return out.document(&json!({
            "version": version, "adapters": adapters, "device": device, "models": models,
        }));
    }
    let mut text = format!("vljepa {}\n\nadapters\n", env!("CARGO_PKG_VERSION"));
    let row = |a: &Adapter| {
        vec![format!("  {}", a.index), a.name.clone(), a.backend.clone(), a.device_type.clone(), a.driver.clone()]
    };
    text += &output::columns(&adapters.iter().map(row).collect::<Vec<_>>());
    match &device {
        None => {
            text += "  none: install a driver; without a GPU a software Vulkan driver will do (Debian, Ubuntu: mesa-vulkan-drivers)\n"
        }
        Some(device) => {
            text += &format!("\n--device {} is {}\n", common.device, plain(&device["adapter"]));
            for part in ["capabilities", "limits", "variants"] {
                text += &format!("\n{part}\n");
                let values = device[part].as_object().into_iter().flatten();
                let rows: Vec<_> = values.map(|(key, value)| vec![format!("  {key}"), plain(value)]).collect();
                text += &output::columns(&rows);
            }
        }
    }
    text += "\nmodels\n";
    if models.is_empty() {
        text += "  none: this build carries no compact model; pass --model DIR\n";
    }
    for model in &models {
        let pictures = match &model["image_size"] {
            Value::Null => String::new(),
            size => format!(" pictures of {size} pixels,"),
        };
        text += &format!(
            "  {}: {}, {} parameters, {:.1} MB,{pictures} embeddings of {}\n",
            plain(&model["origin"]),
            plain(&model["kind"]),
            plain(&model["parameters"]),
            model["weight_bytes"].as_f64().unwrap_or(0.0) / 1e6,
            plain(&model["embedding_dim"]),
        );
    }
    out.text(&text)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        other => other.to_string(),
    }
}
