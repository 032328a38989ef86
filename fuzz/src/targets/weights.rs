//! Weights, configurations and model folders.

use serde_json::Value;
use vljepa_embed::folder::AnyFolder;
use vljepa_model::config::{TextEncoderConfig, Vjepa2Config, VlJepaConfig};
use vljepa_model::weights::{PtFile, SafeTensors, ShardIndex, TextKind, WeightSource, read_f32};

use super::texts::WORDPIECE;
use crate::error::Result;
use crate::mutate::Shape;
use crate::target::{Case, Target, files, workspace};

/// Reads every tensor of a source.
fn read(source: &dyn WeightSource) {
    for name in source.names() {
        if let Some(shape) = source.tensor(&name).map(|tensor| tensor.shape.to_vec()) {
            let _ = read_f32(source, &name, &shape);
        }
    }
}

pub const SAFETENSORS: Target = Target {
    name: "safetensors",
    about: "safetensors files, all tensors of them",
    shape: Shape::Header,
    megabytes: 64,
    seeds: || {
        files(&[
            "crates/model/tests/fixtures/adamw.safetensors",
            "crates/model/tests/fixtures/infonce.safetensors",
            "crates/model/tests/fixtures/vision/rectangular.safetensors",
            "crates/model/tests/fixtures/gemma3/2_Dense/model.safetensors",
            "crates/model/tests/fixtures/vision/open_vljepa_bert.safetensors",
        ])
    },
    make: |_| {
        Ok(Box::new(|input| {
            if let Ok(file) = SafeTensors::parse("case", input) {
                let _ = file.metadata().len();
                read(&file);
            }
        }))
    },
};

pub const SHARDS: Target = Target {
    name: "shards",
    about: "the index of weights in several files",
    shape: Shape::Json,
    megabytes: 64,
    seeds: || files(&["crates/vljepa/assets/compact/model.safetensors.index.json"]),
    make: |_| {
        Ok(Box::new(|input| {
            let Ok(text) = std::str::from_utf8(input) else { return };
            if let Ok(index) = ShardIndex::parse(text) {
                let _ = index.files().len();
            }
        }))
    },
};

fn checkpoints() -> Result<Vec<Vec<u8>>> {
    let names = ["little", "expanded", "odd_2", "odd_4", "odd_5", "legacy", "torchscript", "open_vljepa_bert"];
    names
        .iter()
        .map(|name| Ok(std::fs::read(workspace(&format!("crates/model/tests/fixtures/vision/{name}.pt")))?))
        .collect()
}

pub const PT: Target = Target {
    name: "pt",
    about: "PyTorch checkpoints: archive, pickle, strided views",
    shape: Shape::Bytes,
    megabytes: 64,
    seeds: checkpoints,
    make: |_| {
        Ok(Box::new(|input| {
            let Ok(file) = PtFile::parse("case", input) else { return };
            let _ = (file.values().len(), file.opaque().len(), file.entries().len(), file.verify());
            read(&file);
        }))
    },
};

pub const INSPECT: Target = Target {
    name: "inspect",
    about: "what a checkpoint holds, from its file",
    shape: Shape::Bytes,
    megabytes: 64,
    seeds: || {
        let mut seeds = checkpoints()?;
        seeds.extend((SAFETENSORS.seeds)()?);
        Ok(seeds)
    },
    make: |folder| {
        let path = folder.join("case.pt");
        Ok(Box::new(move |input| {
            // A new file for each: what is mapped must not change.
            let _ = std::fs::remove_file(&path);
            if std::fs::write(&path, input).is_ok() {
                let _ = vljepa::inspect::Inspection::of(&path);
            }
        }))
    },
};

fn configurations() -> Result<Vec<Vec<u8>>> {
    files(&[
        "crates/model/tests/fixtures/bert/config.json",
        "crates/model/tests/fixtures/gemma3/config.json",
        "crates/model/tests/fixtures/qwen3/config.json",
        "crates/model/tests/fixtures/llama/config.json",
        "crates/model/tests/fixtures/vjepa2_d32/config.json",
        "crates/model/tests/fixtures/vision/official.json",
        "crates/model/tests/fixtures/vision/probe.json",
        "crates/model/tests/fixtures/vljepa/config.json",
        "crates/model/tests/fixtures/vljepa_gemma3/config.json",
        "crates/vljepa/assets/compact/config.json",
    ])
}

pub const CONFIG: Target = Target {
    name: "config",
    about: "config.json of each architecture, and the tensors that follow from it",
    shape: Shape::Json,
    megabytes: 64,
    seeds: configurations,
    make: |_| {
        Ok(Box::new(|input| {
            let Ok(text) = std::str::from_utf8(input) else { return };
            if let Ok(config) = TextEncoderConfig::from_json(text) {
                let _ = (config.validate(), config.tensors().len());
            }
            if let Ok(config) = Vjepa2Config::from_json(text) {
                let _ = (config.tensors().len(), config.predictor_tensors().len(), config.parameters());
            }
            if let Ok(config) = VlJepaConfig::from_json(text) {
                let _ = (config.tensors().len(), config.parameters(), config.to_json());
            }
            if let Ok(value) = serde_json::from_str::<Value>(text)
                && let Ok(kind) = TextKind::of_config(&value)
            {
                let _ = kind.tensors(&value).map(|tensors| tensors.len());
            }
        }))
    },
};

pub const FOLDER: Target = Target {
    name: "folder",
    about: "a model folder by its config.json",
    shape: Shape::Json,
    megabytes: 64,
    seeds: configurations,
    make: |folder| -> Result<Case> {
        std::fs::write(folder.join("tokenizer.json"), WORDPIECE)?;
        for name in ["query_tokenizer.json", "target_tokenizer.json"] {
            std::fs::write(folder.join(name), WORDPIECE)?;
        }
        let weights = workspace("crates/model/tests/fixtures/vljepa/model.safetensors");
        std::fs::copy(weights, folder.join("model.safetensors"))?;
        let folder = folder.to_owned();
        Ok(Box::new(move |input| {
            if std::fs::write(folder.join("config.json"), input).is_ok() {
                let _ = AnyFolder::open(&folder).map(|folder| folder.origin().len());
            }
        }))
    },
};
