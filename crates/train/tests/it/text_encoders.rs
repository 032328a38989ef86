//! Y-Encoders other than BERT in a run: EmbeddingGemma's layout, from the folder that sentence-transformers writes.

use std::fs;
use std::path::{Path, PathBuf};

use vljepa_model::config::{TensorSpec, TextEncoderConfig, VlJepaConfig};
use vljepa_model::weights::{SafeTensors, Writer, read_f32};
use vljepa_train::{RunOptions, run};

use crate::support::{config_text, device, model_config, tokenizer_json};

const GEMMA: &str = r#"{"model_type": "gemma3_text", "vocab_size": 60, "hidden_size": 16, "intermediate_size": 24,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
    "query_pre_attn_scalar": 12, "sliding_window": 4, "sliding_window_pattern": 2,
    "use_bidirectional_attention": true, "max_position_embeddings": 24}"#;

/// Values that differ between tensors and elements.
fn values(spec: &TensorSpec) -> Vec<f32> {
    let seed = spec.name.bytes().map(u32::from).sum::<u32>();
    (0..spec.elements() as u32).map(|i| ((i * 37 + seed) % 101) as f32 / 500.0 - 0.1).collect()
}

fn write(path: &Path, prefix: &str, specs: &[TensorSpec]) {
    let mut writer = Writer::new();
    for spec in specs {
        writer.f32(&format!("{prefix}{}", spec.name), &spec.shape, &values(spec)).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, writer.finish().unwrap()).unwrap();
}

/// A Gemma with two heads, its backbone in two shards and under `model.` as in the checkpoints of the language models.
fn sentence_folder(folder: &Path) {
    let specs = TextEncoderConfig::from_json(GEMMA).unwrap().tensors();
    let (first, second) = specs.split_at(specs.len() / 2);
    let mut map = serde_json::Map::new();
    for (file, specs) in [("model-00001-of-00002.safetensors", first), ("model-00002-of-00002.safetensors", second)] {
        write(&folder.join(file), "model.", specs);
        map.extend(specs.iter().map(|spec| (format!("model.{}", spec.name), file.into())));
    }
    let index = serde_json::json!({"metadata": {"total_size": 0}, "weight_map": map});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    for (name, input, output) in [("2_Dense", 16, 20), ("3_Dense", 20, 16)] {
        let spec = TensorSpec { name: "linear.weight".into(), shape: vec![output, input] };
        write(&folder.join(name).join("model.safetensors"), "", &[spec]);
        let keys = format!(
            r#"{{"in_features": {input}, "out_features": {output}, "bias": false,
                "activation_function": "torch.nn.modules.linear.Identity"}}"#
        );
        fs::write(folder.join(name).join("config.json"), keys).unwrap();
    }
    fs::write(folder.join("config.json"), GEMMA).unwrap();
    let module = |path: &str, kind: &str| serde_json::json!({"idx": 0, "name": "", "path": path, "type": format!("sentence_transformers.models.{kind}")});
    let modules = [module("", "Transformer"), module("2_Dense", "Dense"), module("3_Dense", "Dense")];
    fs::write(folder.join("modules.json"), serde_json::json!(modules).to_string()).unwrap();
    let letters = tokenizer_json().replace("\"[CLS]\"", "\"<bos>\"").replace("\"[SEP]\"", "\"<eos>\"");
    fs::write(folder.join("tokenizer.json"), letters).unwrap();
}

/// A run from a Gemma's folder in `dir`: its file, and the model's configuration.
fn gemma_run(dir: &Path) -> (PathBuf, VlJepaConfig) {
    sentence_folder(&dir.join("gemma"));
    let mut config: serde_json::Value = serde_json::from_str(&model_config().to_json().unwrap()).unwrap();
    let gemma: serde_json::Value = serde_json::from_str(GEMMA).unwrap();
    config["y_encoder"] = serde_json::json!({"kind": "gemma3", "config": gemma, "max_target_tokens": 24,
        "dense": [{"in_features": 16, "out_features": 20}, {"in_features": 20, "out_features": 16}],
        "truncate_dim": 14, "prompt": "a b "});
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    // The Y-Encoder takes a twentieth of the rate: after a step every weight is within a twentieth of it.
    let tables = "[objective]\nkind = \"batch\"\ntrain_y_encoder = true\ny_head = { whiten = false, train = true }\n\
        [optimizer]\nkind = \"adamw\"\nlr = 0.001\n[optimizer.muon]\n";
    let text = config_text("steps = 1\nbatch = 6\n", tables)
        .replace("folder = \"start\"", "config = \"config.json\"\ny_encoder = \"gemma\"");
    let path = dir.join("train.toml");
    fs::write(&path, text).unwrap();
    (path, VlJepaConfig::from_json(&config.to_string()).unwrap())
}

#[test]
fn a_file_of_the_folder_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = gemma_run(dir.path());
    for name in ["config_sentence_transformers.json", "tokenizer_config.json"] {
        let file = dir.path().join("gemma").join(name);
        fs::create_dir(&file).unwrap();
        let output = dir.path().join("out");
        let error = run(&path, RunOptions::new(device()).output(&output)).unwrap_err().to_string();
        assert!(error.contains("`model.y_encoder`") && error.contains(&format!("{name}: is a folder")), "{error}");
        assert!(!output.exists());
        fs::remove_dir(&file).unwrap();
    }
}

#[test]
fn gemma_with_its_heads_is_read_from_a_folder_and_trained() {
    let dir = tempfile::tempdir().unwrap();
    let (path, config) = gemma_run(dir.path());
    let output = dir.path().join("out");
    let summary = run(&path, RunOptions::new(device()).output(&output)).unwrap();
    assert!(summary.complete && summary.validation.is_some());

    let bytes = fs::read(output.join("checkpoints/step-00000001/model.safetensors")).unwrap();
    let saved = SafeTensors::parse("model.safetensors", &bytes).unwrap();
    let (mut moved, mut total) = (0, 0);
    for spec in config.y_encoder.tensors() {
        let own = match spec.name.starts_with("dense.") {
            true => TensorSpec { name: "linear.weight".into(), shape: spec.shape.clone() },
            false => spec.clone(),
        };
        let got = read_f32(&saved, &format!("y_encoder.{}", spec.name), &spec.shape).unwrap();
        let farthest = got.iter().zip(values(&own)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(farthest <= 0.05 * 0.001 * 1.05, "{}: {farthest}", spec.name);
        moved += usize::from(farthest > 1e-5);
        total += 1;
    }
    assert!(moved * 10 >= total * 9, "{moved} of {total} tensors were trained");
}
