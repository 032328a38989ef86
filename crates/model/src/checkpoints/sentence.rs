//! Folders of sentence-transformers: a text encoder at the root, and modules for pooling, Dense heads and
//! normalisation.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::text::{current_norm, older_norm};
use crate::architectures::{TextEncoderConfig, checkpoint_prefix};
use crate::error::{ModelError, Result};
use crate::formats::{TensorView, WeightSource};
use crate::json;
use crate::text_encoder::Pooling;
use crate::y_encoder::{DenseConfig, YEncoderConfig};

/// What the files of a sentence-transformers folder say, the weights aside.
#[derive(Clone, Debug)]
pub struct SentenceFolder {
    /// The encoder with its pooling, heads and longest text. The prompt is the folder's default one.
    pub config: YEncoderConfig,
    /// Folders of the Dense modules, whose `model.safetensors` hold the heads, in their order.
    pub dense_folders: Vec<String>,
    /// Texts to put before a text, by purpose.
    pub prompts: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `1_Pooling/config.json` in either spelling.
#[derive(Deserialize)]
struct PoolingFile {
    #[serde(default)]
    pooling_mode: Option<Value>,
    #[serde(default = "yes")]
    include_prompt: bool,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// `N_Dense/config.json`.
#[derive(Deserialize)]
struct DenseFile {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default)]
    activation_function: Option<String>,
    #[serde(default)]
    use_residual: bool,
}

#[derive(Default, Deserialize)]
struct LimitFile {
    #[serde(default)]
    max_seq_length: Option<usize>,
}

/// `tokenizer_config.json`, where newer folders have their limit.
#[derive(Default, Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    model_max_length: Option<f64>,
}

#[derive(Default, Deserialize)]
struct PromptFile {
    #[serde(default)]
    prompts: BTreeMap<String, String>,
    #[serde(default)]
    default_prompt_name: Option<String>,
    #[serde(default)]
    truncate_dim: Option<usize>,
}

fn yes() -> bool {
    true
}

fn fail<T>(what: String) -> Result<T> {
    Err(ModelError::Config { config: "sentence-transformers", what })
}

impl SentenceFolder {
    /// Reads what stands around the encoder of `config`, which the folder's `config.json` describes. `read` gives the
    /// bytes of a file by its path below the folder, `None` where there is none. A folder without `modules.json` is a
    /// bare encoder.
    ///
    /// # Errors
    /// [`ModelError::Config`] when a file is missing or not readable, and for modules that are not supported.
    pub fn parse(config: TextEncoderConfig, read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<Self> {
        let mut folder =
            SentenceFolder { config: YEncoderConfig::new(config), dense_folders: Vec::new(), prompts: BTreeMap::new() };
        let modules: Option<Vec<Module>> = parsed(read, "modules.json")?;
        let transformer = |m: &Module| m.kind.rsplit('.').next() == Some("Transformer");
        if modules.as_ref().is_some_and(|modules| !modules.first().is_some_and(transformer)) {
            return fail("`modules.json` does not begin with a Transformer; get the file again".into());
        }
        let modules = modules.unwrap_or_default();
        check_order(&modules)?;
        for module in modules {
            folder.module(read, &module).map_err(|error| match error {
                ModelError::Config { config, what } => {
                    ModelError::Config { config, what: format!("module {:?} of `modules.json`: {what}", module.path) }
                }
                other => other,
            })?;
        }
        let config = &mut folder.config;
        let limit: LimitFile = parsed(read, "sentence_bert_config.json")?.unwrap_or_default();
        let tokenizer: TokenizerFile = parsed(read, "tokenizer_config.json")?.unwrap_or_default();
        // The file of a tokenizer without a limit says 10^30; the cast saturates.
        let tokenizer = tokenizer.model_max_length.filter(|n| *n >= 1.0).map(|n| n as usize);
        if let Some(limit) = limit.max_seq_length.or(tokenizer) {
            config.max_target_tokens = limit.min(config.config.max_position_embeddings());
        }
        let file: PromptFile = parsed(read, "config_sentence_transformers.json")?.unwrap_or_default();
        if let Some(name) = file.default_prompt_name {
            let Some(prompt) = file.prompts.get(&name) else {
                return fail(format!("`default_prompt_name` is \"{name}\", which `prompts` does not have"));
            };
            config.prompt.clone_from(prompt);
        }
        config.truncate_dim = file.truncate_dim;
        folder.prompts = file.prompts;
        folder.config.validate()?;
        Ok(folder)
    }

    fn module(&mut self, read: &dyn Fn(&str) -> Option<Vec<u8>>, module: &Module) -> Result<()> {
        let path = module.path.trim_end_matches('/');
        let kind = module.kind.rsplit('.').next().unwrap_or_default();
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
        // Modules without files of their own may be at the root.
        let root = path.is_empty() && matches!(kind, "Transformer" | "Normalize");
        if !root && !path.split('/').all(plain) {
            return fail(format!("{:?} in `modules.json` is no folder below it", module.path));
        }
        let file = format!("{path}/config.json");
        match kind {
            "Transformer" if path.is_empty() => {}
            "Pooling" => {
                let Some(pooling) = parsed::<PoolingFile>(read, &file)? else {
                    return fail(format!("`{file}` is missing"));
                };
                self.config.pooling = pooling.mode(&file)?;
            }
            "Dense" => {
                let Some(dense) = parsed::<DenseFile>(read, &file)? else {
                    return fail(format!("`{file}` is missing"));
                };
                // The reference's default is tanh.
                let activation = dense.activation_function.as_deref().unwrap_or("Tanh");
                if activation.rsplit('.').next() != Some("Identity") || dense.use_residual {
                    return fail(format!("`{file}`: activation {activation}, supported: Identity without residual"));
                }
                self.config.dense.push(DenseConfig {
                    in_features: dense.in_features,
                    out_features: dense.out_features,
                    bias: dense.bias,
                });
                self.dense_folders.push(path.to_owned());
            }
            "Normalize" => self.config.normalize = true,
            other => {
                return fail(format!(
                    "module {other} at {path:?}, supported: Transformer at the root, Pooling, Dense, Normalize"
                ));
            }
        }
        Ok(())
    }
}

/// Checks that vectors are pooled once, and scaled to unit length at the end alone.
fn check_order(modules: &[Module]) -> Result<()> {
    let kinds: Vec<&str> = modules.iter().map(|m| m.kind.rsplit('.').next().unwrap_or_default()).collect();
    let place = |kind: &str| kinds.iter().position(|k| *k == kind);
    if kinds.iter().filter(|kind| **kind == "Pooling").count() > 1 {
        return fail("`modules.json` pools twice, which is not supported".into());
    }
    if place("Dense") < place("Pooling") && place("Dense").is_some() {
        return fail("`modules.json` has a Dense module before Pooling, which is not supported".into());
    }
    match place("Normalize") {
        Some(at) if kinds[at..].iter().any(|kind| *kind != "Normalize") => {
            fail("`modules.json` has a module after Normalize, which is not supported".into())
        }
        _ => Ok(()),
    }
}

impl PoolingFile {
    fn mode(&self, file: &str) -> Result<Pooling> {
        if !self.include_prompt {
            return fail(format!("`{file}`: `include_prompt` is false, which is not supported"));
        }
        let modes: Vec<&str> = match &self.pooling_mode {
            Some(Value::String(mode)) => vec![mode],
            Some(Value::Array(modes)) if modes.iter().all(Value::is_string) => {
                modes.iter().filter_map(Value::as_str).collect()
            }
            Some(_) => return fail(format!("`{file}`: `pooling_mode` is neither a text nor a list of texts")),
            None => {
                let mut modes = Vec::new();
                for (key, value) in &self.others {
                    let Some(mode) = key.strip_prefix("pooling_mode_") else { continue };
                    match value {
                        Value::Bool(true) => modes.push(mode),
                        Value::Bool(false) => {}
                        _ => return fail(format!("`{file}`: `{key}` is neither true nor false")),
                    }
                }
                if modes.is_empty() && self.others.keys().any(|key| key.starts_with("pooling_mode_")) {
                    return fail(format!("`{file}`: no pooling is switched on"));
                }
                modes
            }
        };
        match modes.as_slice() {
            [] | ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
            ["cls" | "cls_token"] => Ok(Pooling::Cls),
            ["lasttoken"] => Ok(Pooling::Last),
            modes => fail(format!("`{file}`: pooling {}, supported: mean, cls, lasttoken", modes.join(" and "))),
        }
    }
}

fn text(read: &dyn Fn(&str) -> Option<Vec<u8>>, file: &str) -> Result<Option<String>> {
    match read(file).map(String::from_utf8) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => fail(format!("`{file}` is not UTF-8")),
    }
}

fn parsed<T: DeserializeOwned>(read: &dyn Fn(&str) -> Option<Vec<u8>>, file: &str) -> Result<Option<T>> {
    match text(read, file)?.map(|text| json::from_str(&text)) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(e)) => fail(format!("`{file}` is not readable: {e}")),
    }
}

/// The weights of a sentence-transformers folder under the names of [`YEncoderConfig::tensors`]: those of the root file
/// without their prefix, and those of the Dense modules as `dense.{i}.…`.
pub struct SentenceWeights<'a> {
    root: &'a dyn WeightSource,
    prefix: &'static str,
    dense: Vec<&'a dyn WeightSource>,
}

impl std::fmt::Debug for SentenceWeights<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentenceWeights").field("prefix", &self.prefix).field("dense", &self.dense.len()).finish()
    }
}

impl<'a> SentenceWeights<'a> {
    /// Joins the root's weights and those of [`SentenceFolder::dense_folders`], in that order.
    pub fn new(root: &'a dyn WeightSource, dense: Vec<&'a dyn WeightSource>) -> Self {
        Self { root, prefix: checkpoint_prefix(root), dense }
    }
}

impl WeightSource for SentenceWeights<'_> {
    fn names(&self) -> Vec<Cow<'_, str>> {
        let strip = |n: Cow<'_, str>| {
            let bare = n.strip_prefix(self.prefix).unwrap_or(&n);
            current_norm(bare).unwrap_or_else(|| bare.to_owned())
        };
        let mut names: Vec<String> = self.root.names().into_iter().map(strip).collect();
        for (i, dense) in self.dense.iter().enumerate() {
            names.extend(dense.names().into_iter().map(|n| format!("dense.{i}.{n}")));
        }
        names.sort();
        names.into_iter().map(Cow::Owned).collect()
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        if let Some((i, rest)) = name.strip_prefix("dense.").and_then(|rest| rest.split_once('.')) {
            return self.dense.get(i.parse::<usize>().ok()?)?.tensor(rest);
        }
        let find = |name: &str| self.root.tensor(&format!("{}{name}", self.prefix)).or_else(|| self.root.tensor(name));
        find(name).or_else(|| find(&older_norm(name)?))
    }
}
