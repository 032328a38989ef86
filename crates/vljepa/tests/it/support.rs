//! A tiny model with random weights, pictures to embed, and ways to run the command.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;
use vljepa_data::{Rgba8Image, encode_png};
use vljepa_model::config::{BertConfig, LlamaConfig, PredictorConfig, Vjepa2Config, VlJepaConfig, YEncoderConfig};
use vljepa_model::weights::Writer;

/// The command, with backtraces asked for: they must not show.
pub fn vljepa<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vljepa"));
    command.env("RUST_BACKTRACE", "full").args(args);
    command
}

/// Runs a command that must succeed in silence and parses its one JSON document.
#[track_caller]
pub fn json<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Value {
    let (document, notes) = noted(args);
    assert_eq!(notes, "", "nothing on stderr");
    document
}

/// Runs a command that must succeed; its one JSON document, and what it says on stderr.
#[track_caller]
pub fn noted<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> (Value, String) {
    let output = vljepa(args).arg("--json").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    (serde_json::from_slice(&output.stdout).unwrap(), stderr)
}

/// Runs a command that must fail in the one way allowed: code 1, nothing on stdout, one line on stderr that begins with
/// `error: ` and holds each of `words`.
#[track_caller]
pub fn fails(command: &mut Command, words: &[&str]) {
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "stdout: {stdout}\nstderr: {stderr}");
    assert_eq!(stdout, "");
    assert!(stderr.starts_with("error: ") && stderr.ends_with('\n') && stderr.lines().count() == 1, "{stderr}");
    assert!(!stderr.contains("internal error"), "{stderr}");
    assert!(stderr.len() < 1500, "{} characters are no line to read: {stderr}", stderr.len());
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in: {stderr}");
    }
}

/// Runs a command whose arguments the parser must refuse: code 2, nothing on stdout, on stderr what it says of them, with
/// each of `words` in it.
#[track_caller]
pub fn misused(command: &mut Command, words: &[&str]) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty() && stderr.starts_with("error: "), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in: {stderr}");
    }
}

/// A WordPiece tokenizer of single letters.
pub fn tokenizer() -> String {
    let special = |id: usize, name: &str| {
        serde_json::json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
    let mut vocab: Vec<String> = names.map(String::from).to_vec();
    for letter in 'a'..='z' {
        vocab.extend([letter.to_string(), format!("##{letter}")]);
    }
    let vocab: serde_json::Map<String, Value> = vocab.into_iter().enumerate().map(|(i, v)| (v, i.into())).collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": names.iter().enumerate().map(|(i, n)| special(i, n)).collect::<Vec<_>>(),
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    })
    .to_string()
}

/// The configuration of the tiny model: one layer of everything, 32 pixels, 8 numbers in an embedding.
pub fn config() -> VlJepaConfig {
    let x = Vjepa2Config {
        patch_size: 16,
        crop_size: 32,
        frames_per_clip: 2,
        hidden_size: 24,
        num_attention_heads: 2,
        num_hidden_layers: 1,
        ..Default::default()
    };
    let llama = r#"{"vocab_size": 60, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}"#;
    let predictor = PredictorConfig {
        config: LlamaConfig::from_json(llama).unwrap(),
        first_layer: 0,
        num_layers: 1,
        causal: false,
        final_norm: true,
        words: Default::default(),
        positions: Default::default(),
        query_bos: false,
        query_pad_id: 0,
        default_query: String::new(),
    };
    let bert = BertConfig {
        vocab_size: 60,
        hidden_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_position_embeddings: 32,
        ..Default::default()
    };
    let y = serde_json::json!({"kind": "bert", "config": bert, "max_target_tokens": 32});
    let y: YEncoderConfig = serde_json::from_value(y).unwrap();
    VlJepaConfig { embedding_dim: 8, max_query_tokens: 32, ..VlJepaConfig::new(x, predictor, y) }
}

/// A tensor's values: ones for the scales of norms, noise else.
fn values(name: &str, count: usize, seed: u64) -> Vec<f32> {
    if name == "logit_scale" {
        return vec![(1.0f32 / 0.07).ln()];
    }
    if name.ends_with("orm.weight") || name.contains("norm1.weight") || name.contains("norm2.weight") {
        return vec![1.0; count];
    }
    let mut x =
        name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        ((x >> 40) as f32 / (1u32 << 23) as f32 - 1.0) * 0.3
    };
    (0..count).map(|_| next()).collect()
}

/// The weights of the tiny model; `change` may alter each tensor before it is written.
pub fn weights(seed: u64, change: impl Fn(&str, &mut Vec<usize>, &mut Vec<f32>)) -> Vec<u8> {
    write_weights(&config(), seed, change)
}

/// As [`weights`], of a model like the tiny one.
pub fn write_weights(
    config: &VlJepaConfig,
    seed: u64,
    change: impl Fn(&str, &mut Vec<usize>, &mut Vec<f32>),
) -> Vec<u8> {
    let mut writer = Writer::new();
    for tensor in config.tensors() {
        let mut values = values(&tensor.name, tensor.shape.iter().product(), seed);
        let mut shape = tensor.shape.clone();
        change(&tensor.name, &mut shape, &mut values);
        writer.f32(&tensor.name, &shape, &values).unwrap();
    }
    writer.finish().unwrap()
}

/// A folder with the tiny model in `model/` and nine pictures in `pictures/`.
pub struct Bench {
    dir: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(bench.path("model")).unwrap();
        bench.write("model/config.json", config().to_json().unwrap());
        bench.write("model/model.safetensors", weights(0, |_, _, _| ()));
        bench.write("model/target_tokenizer.json", tokenizer());
        std::fs::create_dir_all(bench.path("pictures/sub")).unwrap();
        for i in 0..9u8 {
            let folder = if i < 6 { "pictures" } else { "pictures/sub" };
            bench.write(&format!("{folder}/{i}.png"), picture(i));
        }
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.text(name)
    }

    /// `args` with `--model` of the tiny model; `@` at the start of an argument stands for the folder.
    pub fn args(&self, args: &[&str]) -> Vec<String> {
        let at = |a: &&str| a.strip_prefix('@').map_or_else(|| (*a).to_owned(), |rest| self.text(rest));
        let mut args: Vec<String> = args.iter().map(at).collect();
        args.extend(["--model".into(), self.text("model")]);
        args
    }

    /// Names of all files of a folder, sorted.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// A PNG of 40 × 48 pixels: a bar on a colour that `i` decides.
pub fn picture(i: u8) -> Vec<u8> {
    let color = [i.wrapping_mul(29), i.wrapping_mul(83), 255 - i.wrapping_mul(17), 255];
    let pixel = |p: usize| if p % 40 > 5 * usize::from(i % 7) { color } else { [255 - color[0], 40, color[1], 255] };
    let data: Vec<u8> = (0..40 * 48).flat_map(pixel).collect();
    encode_png(&Rgba8Image::new(40, 48, data).unwrap()).unwrap()
}

/// A film of grey frames, 10 a second, that brightens.
pub fn film(path: &Path, frames: usize) {
    std::fs::write(path, y4m(frames)).unwrap();
}

/// The Y4M of such a film.
pub fn y4m(frames: usize) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W24 H16 F10:1 Cmono\n".to_vec();
    for i in 0..frames {
        bytes.extend(b"FRAME\n");
        bytes.extend((0..384).map(|at| ((3 * i + at) % 220 + 16) as u8));
    }
    bytes
}

/// Copies a folder of plain files.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
