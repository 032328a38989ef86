//! The shared device and a model small enough to train in a test.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use vljepa_model::config::VlJepaConfig;
use vljepa_model::{Storage, TextTokenizer, VlJepa};
use vljepa_tensor::{Device, DeviceOptions};
use vljepa_train::feed::Maker;
use vljepa_train::sources::emoji_vendors::{self, Corpus};
use vljepa_train::{TrainConfig, Trainer};

/// The device of the whole run. Without an adapter the tests fail, they do not skip.
pub fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE
        .get_or_init(|| {
            let device = Device::open(DeviceOptions::default()).expect("the tests need a GPU adapter");
            eprintln!("adapter: {}", device.info().name);
            device
        })
        .clone()
}

/// 16 px pictures, four tokens, width 24; a BERT of one layer that reads letters.
pub fn model_config() -> VlJepaConfig {
    let json = r#"{
        "format_version": 1, "model_type": "vljepa", "embedding_dim": 12,
        "x_encoder": {"patch_size": 8, "crop_size": 16, "frames_per_clip": 2, "tubelet_size": 2, "hidden_size": 24,
            "num_attention_heads": 2, "num_hidden_layers": 1, "mlp_ratio": 2.0, "initializer_range": 0.1},
        "predictor": {"first_layer": 0, "num_layers": 1, "config": {"vocab_size": 1, "hidden_size": 24,
            "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
            "head_dim": 12, "max_position_embeddings": 64, "initializer_range": 0.1}},
        "y_encoder": {"kind": "bert", "max_target_tokens": 24, "config": {"vocab_size": 58, "hidden_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 24}},
        "max_query_tokens": 1,
        "preprocessing": {"size": 16, "short_side": 16, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    }"#;
    VlJepaConfig::from_json(json).expect("the tests' configuration")
}

/// A WordPiece tokenizer that spells every word.
pub fn tokenizer_json() -> String {
    let mut vocab = serde_json::Map::new();
    let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "-"].map(str::to_owned);
    let letters = ('a'..='z').flat_map(|c| [c.to_string(), format!("##{c}")]);
    for (id, piece) in specials.into_iter().chain(letters).enumerate() {
        vocab.insert(piece, id.into());
    }
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab}
    })
    .to_string()
}

pub fn tokenizer() -> TextTokenizer {
    TextTokenizer::from_json(tokenizer_json().as_bytes(), 24).unwrap()
}

pub fn model() -> VlJepa {
    VlJepa::init(&device(), model_config(), 5).unwrap()
}

/// Writes a model folder to start from.
pub fn model_folder(dir: &Path) -> PathBuf {
    let folder = dir.join("start");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.json"), model_config().to_json().unwrap()).unwrap();
    std::fs::write(folder.join("model.safetensors"), model().save(Storage::F32).unwrap()).unwrap();
    std::fs::write(folder.join("target_tokenizer.json"), tokenizer_json()).unwrap();
    folder
}

/// A run on Noto's activities (58 concepts): small enough for a bank of a test. `more` is put before the tables.
pub fn config(more: &str, tables: &str) -> TrainConfig {
    TrainConfig::parse(&config_text(more, tables)).expect("the tests' configuration")
}

pub fn config_text(more: &str, tables: &str) -> String {
    let groups: Vec<String> = [
        "People & Body",
        "Flags",
        "Objects",
        "Travel & Places",
        "Symbols",
        "Smileys & Emotion",
        "Animals & Nature",
        "Food & Drink",
        "Component",
    ]
    .iter()
    .map(|g| format!("\"{g}\""))
    .collect();
    format!(
        "seed = 3\n{more}\n[model]\nfolder = \"start\"\n[data]\nvendors = [\"noto\"]\nexclude_groups = [{}]\n{tables}",
        groups.join(", ")
    )
}

pub fn corpus(config: &TrainConfig) -> Arc<Corpus> {
    Arc::new(emoji_vendors::open(config).unwrap())
}

/// A trainer with its batches.
pub fn trainer(config: &TrainConfig) -> (Trainer, Maker) {
    let corpus = corpus(config);
    let trainer = Trainer::new(&device(), config.clone(), model(), tokenizer(), corpus.clone()).unwrap();
    let maker = Maker::new(corpus, config.clone(), trainer.preprocess());
    (trainer, maker)
}

/// The values of a parameter.
pub fn weight(trainer: &Trainer, name: &str) -> Vec<f32> {
    let params = trainer.model().params();
    let param = params.iter().find(|p| p.name() == name).unwrap_or_else(|| panic!("no parameter {name}"));
    param.tensor().to_f32().unwrap()
}
