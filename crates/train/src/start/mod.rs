//! What a run starts from: its file, checked against the data and the folders that it names, then the model.

mod file;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{SafeTensors, ShardFiles, ShardIndex, WeightSource, read_f32};
use vljepa_model::{ModelError, SentenceFolder, SentenceWeights, TextTokenizer, VlJepa};
use vljepa_tensor::Device;

use self::file::ConfigFile;
use crate::config::TrainConfig;
use crate::data::Source;
use crate::error::{Result, TrainError};
use crate::shim::model::{Part, VlJepaParts as _};
use crate::sources;
use crate::trainer::{Trainer, check_fit};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const TARGET_TOKENIZER: &str = "target_tokenizer.json";
const QUERY_TOKENIZER: &str = "query_tokenizer.json";
const NO_QUERIES: &str = "the samples have queries: name in `model.folder` a model folder with a tokenizer for them";
/// The tokenizer of a text encoder's own folder.
const TOKENIZER: &str = "tokenizer.json";

/// Checks a run's file and what it names: folders, data, sizes. `output` stands in place of the file's.
///
/// # Errors
/// [`TrainError::Config`] with the line of the setting at fault, [`TrainError::Io`], [`TrainError::Invalid`] for `output`.
pub fn check(path: &Path, output: Option<&Path>) -> Result<()> {
    Start::read(path, output).map(drop)
}

/// A run's file and what it says, all that needs no device.
#[derive(Debug)]
pub(crate) struct Start {
    pub file: ConfigFile,
    pub config: TrainConfig,
    pub source: Arc<dyn Source>,
    model: VlJepaConfig,
}

/// What a run needs before its first step.
pub(crate) struct Prepared {
    pub trainer: Trainer,
    /// Files of tokenizers for the model folder, by name.
    pub tokenizers: Vec<(&'static str, Vec<u8>)>,
}

impl Start {
    /// Reads and checks; see [`check`].
    pub fn read(path: &Path, output: Option<&Path>) -> Result<Self> {
        let (file, mut config) = ConfigFile::read(path)?;
        if let Some(output) = output {
            match no_folder(output) {
                Some(what) => return Err(TrainError::Invalid(what)),
                None => config.output = output.into(),
            }
        }
        match Self::find(&config) {
            Ok((model, source)) => Ok(Self { file, config, source, model }),
            Err(error) => Err(file.locate(error)),
        }
    }

    fn find(config: &TrainConfig) -> Result<(VlJepaConfig, Arc<dyn Source>)> {
        if let Some(what) = no_folder(&config.output) {
            return Err(TrainError::setting("output", format!("`output`: {what}")));
        }
        let source = &config.model;
        let (key, path) = match (&source.config, &source.folder) {
            (Some(path), _) => ("model.config", path.clone()),
            (None, Some(folder)) => {
                need_files("model.folder", folder, &[&[CONFIG], &[WEIGHTS, INDEX]])?;
                if source.y_encoder.is_none() {
                    need_files("model.folder", folder, &[&[TARGET_TOKENIZER]])?;
                }
                ("model.folder", folder.join(CONFIG))
            }
            (None, None) => return Err(TrainError::setting("model", "`model` names neither `config` nor `folder`")),
        };
        if let Some(folder) = &source.y_encoder {
            need_files("model.y_encoder", folder, &[&[WEIGHTS, INDEX], &[TARGET_TOKENIZER, TOKENIZER]])?;
        }
        let model = VlJepaConfig::from_json(&read_text(key, &path)?).map_err(fault(key, &path, ""))?;
        let data = sources::open(config)?;
        check_fit(config, data.as_ref(), &model)?;
        if data.asks() {
            match &source.folder {
                Some(folder) => need_files("model.folder", folder, &[&[QUERY_TOKENIZER]])?,
                None => return Err(TrainError::setting("model.folder", NO_QUERIES)),
            }
        }
        Ok((model, data))
    }

    /// The trainer at step 0.
    ///
    /// # Errors
    /// Weights and tokenizers that cannot be read or do not fit, and what the device reports.
    pub fn assemble(&self, device: &Device) -> Result<Prepared> {
        self.prepared(device).map_err(|error| self.file.locate(error))
    }

    fn prepared(&self, device: &Device) -> Result<Prepared> {
        let source = &self.config.model;
        let model = match (&source.config, &source.folder) {
            (None, Some(folder)) => {
                with_weights("model.folder", folder, "", |weights| VlJepa::load(device, self.model.clone(), weights))?
            }
            _ => VlJepa::init(device, self.model.clone(), self.config.seed)?,
        };
        let (key, tokenizer) = match (&source.y_encoder, &source.folder) {
            (Some(folder), _) => {
                read_y_encoder(&model, folder)?;
                let own = folder.join(TARGET_TOKENIZER);
                ("model.y_encoder", if own.exists() { own } else { folder.join(TOKENIZER) })
            }
            (None, Some(folder)) => ("model.folder", folder.join(TARGET_TOKENIZER)),
            (None, None) => return Err(TrainError::setting("model", "`model.y_encoder` is missing")),
        };
        let tokenizer_json = read(key, &tokenizer)?;
        let targets = TextTokenizer::for_targets(&tokenizer_json, &model.config.y_encoder);
        let targets = targets.map_err(fault(key, &tokenizer, ""))?;
        let queries = match &source.folder {
            Some(folder) if self.source.asks() => {
                let path = folder.join(QUERY_TOKENIZER);
                let json = read("model.folder", &path)?;
                let tokenizer = TextTokenizer::for_queries(&json, &model.config);
                Some((tokenizer.map_err(fault("model.folder", &path, ""))?, json))
            }
            _ => None,
        };
        let mut trainer = Trainer::new(device, self.config.clone(), model, targets, self.source.clone())?;
        let mut tokenizers = vec![(TARGET_TOKENIZER, tokenizer_json)];
        if let Some((tokenizer, json)) = queries {
            trainer = trainer.with_queries(tokenizer);
            tokenizers.push((QUERY_TOKENIZER, json));
        }
        Ok(Prepared { trainer, tokenizers })
    }
}

/// Why the folder of a run cannot be at `path`, if so.
fn no_folder(path: &Path) -> Option<String> {
    let there = path.ancestors().find(|p| p.is_symlink() || p.exists())?;
    (!there.is_dir()).then(|| format!("{} is not a folder; name a folder for the run", there.display()))
}

/// Checks that a folder has files; of alternatives one must be there.
fn need_files(key: &str, folder: &Path, files: &[&[&str]]) -> Result<()> {
    let shown = folder.display();
    let all = files.iter().map(|names| names.join(" or ")).collect::<Vec<_>>().join(", ");
    let what = match folder.is_dir() {
        false if folder.exists() => "is not a folder".to_owned(),
        false => "there is no such folder (paths are relative to that of this file)".to_owned(),
        true => match files.iter().find(|names| !names.iter().any(|name| folder.join(name).exists())) {
            Some(names) => format!("it has no {}", names.join(" or ")),
            None => return Ok(()),
        },
    };
    Err(TrainError::setting(key, format!("`{key}`: {shown}: {what}; name a folder with {all}")))
}

/// Reads a file that a setting names or that lies in a folder that it names.
fn read(key: &str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "there is no such file (paths are relative to the folder of this one)".into()
            }
            std::io::ErrorKind::IsADirectory => "is a folder, a file is expected".into(),
            _ => format!("reading failed: {error}"),
        };
        TrainError::setting(key, format!("`{key}`: {}: {what}", path.display()))
    })
}

fn read_text(key: &str, path: &Path) -> Result<String> {
    String::from_utf8(read(key, path)?)
        .map_err(|_| TrainError::setting(key, format!("`{key}`: {} is not UTF-8 text", path.display())))
}

/// For `map_err`: the fault of a file that the setting `key` names, with a hint; faults of the device stay what they are.
fn fault(key: &'static str, path: &Path, hint: &'static str) -> impl FnOnce(ModelError) -> TrainError {
    let path = path.display().to_string();
    move |error| match error {
        ModelError::Tensor(error) => error.into(),
        error => TrainError::setting(key, format!("`{key}`: {path}: {error}{hint}")),
    }
}

/// Hands `body` the weights of a folder: `model.safetensors`, or shards behind their index.
fn with_weights<T>(
    key: &'static str,
    folder: &Path,
    hint: &'static str,
    body: impl FnOnce(&dyn WeightSource) -> vljepa_model::Result<T>,
) -> Result<T> {
    let file = folder.join(WEIGHTS);
    if file.exists() {
        let bytes = read(key, &file)?;
        let source = SafeTensors::parse(WEIGHTS, &bytes).map_err(fault(key, folder, ""))?;
        return body(&source).map_err(fault(key, folder, hint));
    }
    let index = ShardIndex::parse(&read_text(key, &folder.join(INDEX))?).map_err(fault(key, folder, ""))?;
    let shards = ShardFiles::open(index, |name| read(key, &folder.join(name)))?;
    let source = shards.source().map_err(fault(key, folder, ""))?;
    body(&source).map_err(fault(key, folder, hint))
}

/// Fills the Y-Encoder of a model from a folder.
fn read_y_encoder(model: &VlJepa, folder: &Path) -> Result<()> {
    let key = "model.y_encoder";
    let hint = "; it must be the text encoder that `y_encoder` of the model's configuration describes";
    let heads = dense_heads(key, folder)?;
    with_weights(key, folder, hint, |weights| {
        let heads: Vec<SafeTensors<'_>> = heads
            .iter()
            .map(|(path, bytes)| SafeTensors::parse(&path.display().to_string(), bytes))
            .collect::<vljepa_model::Result<_>>()?;
        let heads = heads.iter().map(|head| head as &dyn WeightSource).collect();
        y_encoder_from(model, weights, &SentenceWeights::new(weights, heads))
    })
}

/// The weights of the Dense modules of a sentence-transformers folder.
fn dense_heads(key: &'static str, folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    // A file that is there and cannot be read is a fault, not a missing file.
    let missing = |path: &Path| matches!(path.try_exists(), Ok(false));
    if missing(&folder.join("modules.json")) {
        return Ok(Vec::new());
    }
    let failed = RefCell::new(None);
    let parsed = SentenceFolder::parse(&|file| {
        let path = folder.join(file);
        if missing(&path) {
            return None;
        }
        match read(key, &path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                failed.borrow_mut().get_or_insert(error);
                None
            }
        }
    });
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    let parsed = parsed.map_err(fault(key, folder, ""))?;
    let open = |dense: &String| {
        let file = folder.join(dense).join(WEIGHTS);
        let bytes = read(key, &file)?;
        Ok((file, bytes))
    };
    parsed.dense_folders.iter().map(open).collect()
}

/// Fills the Y-Encoder from a model folder's weights, or from a checkpoint of its own (`own`), where the names lack the
/// first part.
fn y_encoder_from(model: &VlJepa, weights: &dyn WeightSource, own: &dyn WeightSource) -> vljepa_model::Result<()> {
    for (_, param) in model.params_by_part().into_iter().filter(|(part, _)| *part == Part::YEncoder) {
        let (name, shape) = (param.name(), param.tensor().shape());
        let values = match (weights.tensor(name), name.split_once('.')) {
            (None, Some((_, bare))) => read_f32(own, bare, shape)?,
            _ => read_f32(weights, name, shape)?,
        };
        param.tensor().write_f32(&values)?;
    }
    Ok(())
}
