//! What a run starts from: its file, checked against the data and the folders that it names, then the model.

mod file;
mod frozen;
mod probe;
mod queries;
mod read;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;
use vljepa_embed::checkpoint::Checkpoint;
use vljepa_embed::features::RowFeatures;
use vljepa_embed::folder::{SentenceFiles, VisionFolder};
use vljepa_embed::models::VisionTokens;
use vljepa_embed::{names, preprocess};
use vljepa_model::config::{TextEncoderConfig, VlJepaConfig, Words, YDecoderConfig};
use vljepa_model::weights::{WeightSource, bare_vjepa2, read_f32};
use vljepa_model::{Part, SentenceWeights, TextTokenizer, VlJepa};
use vljepa_tensor::Device;

use self::file::{ConfigFile, no_folder};
pub(crate) use self::probe::ProbeStart;
use self::queries::Queries;
use self::read::{fault, file_fault, read_config, read_tokenizer};
pub(crate) use self::world::WorldStart;
use crate::config::TrainConfig;
use crate::data::Source;
use crate::error::{Result, TrainError};
use crate::places::{check_media, check_places};
use crate::sources;
use crate::trainer::{Trainer, check_fit};

/// Checks a run's file and what it names: folders, data, sizes. `output` stands in place of the file's.
///
/// # Errors
/// [`TrainError::Config`] with the line of the setting at fault, [`TrainError::Io`], [`TrainError::Invalid`] for `output`.
pub fn check(path: &Path, output: Option<&Path>) -> Result<()> {
    match kind(path)? {
        Kind::Probe => ProbeStart::read(path, output).map(drop),
        Kind::World => WorldStart::read(path, output).map(drop),
        Kind::VlJepa => Start::read(path, output).map(drop),
    }
}

/// What a run's file asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    VlJepa,
    Probe,
    World,
}

/// What a run's file asks for: its tables tell.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn kind(path: &Path) -> Result<Kind> {
    let file = ConfigFile::open(path)?;
    let has = |table: &str| has_table(file.text(), table);
    Ok(if has("probe") {
        Kind::Probe
    } else if has("world") {
        Kind::World
    } else {
        Kind::VlJepa
    })
}

/// Whether the text of a configuration has a table of this name.
fn has_table(text: &str, table: &str) -> bool {
    DeTable::parse(text).is_ok_and(|root| root.get_ref().keys().any(|key| key.get_ref() == table))
}

/// A run's file and what it says, all that needs no device.
#[derive(Debug)]
pub(crate) struct Start {
    pub file: ConfigFile,
    pub config: TrainConfig,
    pub source: Arc<dyn Source>,
    model: VlJepaConfig,
    /// The frozen X-Encoder, where the run has one.
    frozen: Option<VisionFolder>,
    /// The tokenizer of the queries, where samples have some.
    pub queries: Option<Queries>,
}

/// What a run's file leads to.
struct Found {
    model: VlJepaConfig,
    frozen: Option<VisionFolder>,
    source: Arc<dyn Source>,
    queries: Option<Queries>,
}

/// What a run needs before its first step.
pub(crate) struct Prepared {
    pub trainer: Trainer,
    /// The bytes of the Y-Encoder's tokenizer, for the trained model's folder.
    pub target_tokenizer: Vec<u8>,
    /// Those of the queries' tokenizer, where samples have queries.
    pub query_tokenizer: Option<Vec<u8>>,
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
        let own = sources::paths(&config)?.iter().filter_map(|key| config.data.own.get(*key)?.as_str());
        let own: Vec<PathBuf> = own.map(|path| config.data.base.join(path)).collect();
        check_places(path, &own, &config)?;
        match Self::find(&config) {
            Ok(found) => {
                let Found { model, frozen, source, queries } = found;
                Ok(Self { file, config, source, model, frozen, queries })
            }
            Err(error) => Err(file.locate(error)),
        }
    }

    fn find(config: &TrainConfig) -> Result<Found> {
        if let Some(what) = no_folder(&config.output) {
            return Err(TrainError::setting("output", format!("`output`: {what}")));
        }
        let source = &config.model;
        if let Some(what) = source.features.as_deref().and_then(no_folder) {
            return Err(TrainError::setting("model.features", format!("`model.features`: {what}")));
        }
        let (key, path) = match (&source.config, &source.folder) {
            (Some(path), _) => ("model.config", path.clone()),
            (None, Some(folder)) => {
                need_files("model.folder", folder, &[&[names::CONFIG], &[names::WEIGHTS, names::WEIGHTS_INDEX]])?;
                if source.y_encoder.is_none() {
                    need_files("model.folder", folder, &[&[names::TARGET_TOKENIZER]])?;
                }
                ("model.folder", folder.join(names::CONFIG))
            }
            (None, None) => return Err(TrainError::setting("model", "`model` names neither `config` nor `folder`")),
        };
        if let Some(folder) = &source.y_encoder {
            need_files(
                "model.y_encoder",
                folder,
                &[&[names::WEIGHTS, names::WEIGHTS_INDEX], &[names::TARGET_TOKENIZER, names::TOKENIZER]],
            )?;
        }
        let frozen = source.x_encoder.as_deref().map(frozen::open_encoder).transpose()?;
        let text = read_config(key, &path)?;
        let model = match &frozen {
            Some(encoder) => frozen::config_around(&text, encoder),
            None => VlJepaConfig::from_json(&text),
        };
        let model = model.map_err(fault(key, &path, ""))?;
        if let Some(encoder) = &frozen {
            frozen::check_preprocessing(&model, encoder)?;
        }
        if let Some(folder) = &source.still_stem {
            let key = "model.still_stem";
            if model.x_encoder.still_stem.is_none() {
                let what = format!("`{key}`: the model has no `still_stem` to start from it; leave it out");
                return Err(TrainError::setting(key, what));
            }
            need_files(key, folder, &[&[names::CONFIG], &[names::WEIGHTS, names::WEIGHTS_INDEX]])?;
            let path = folder.join(names::CONFIG);
            let of = VlJepaConfig::from_json(&read_config(key, &path)?).map_err(fault(key, &path, ""))?;
            let (from, to) = (&of.x_encoder, &model.x_encoder);
            let pixels = |config: &VlJepaConfig| (config.preprocessing.mean, config.preprocessing.std);
            let (stem, hidden) = (from.conv_stem == to.still_stem, from.hidden_size == to.hidden_size);
            if !stem || !hidden || from.layer_norm_eps != to.layer_norm_eps || pixels(&of) != pixels(&model) {
                let what = format!(
                    "`{key}`: {}: its `conv_stem`, `hidden_size`, `layer_norm_eps` and the `mean` and `std` of its pictures must be those of this \
                     model's `still_stem`; name a folder where they are",
                    folder.display()
                );
                return Err(TrainError::setting(key, what));
            }
        }
        let data = sources::open(config, &model)?;
        if let Some(rows) = data.rows() {
            check_media(&config.output, rows.train.iter().chain(rows.validation))?;
        }
        check_fit(config, data.as_ref(), &model)?;
        let queries = if data.asks() { Some(Queries::find(source, &model, data.as_ref())?) } else { None };
        Ok(Found { model, frozen, source: data, queries })
    }

    /// What the frozen X-Encoder makes of the source's rows, with that encoder before it is loaded; `None` where the X-Encoder is
    /// trained. Every file is read once for its hash.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn stored<'a>(&'a self, device: &'a Device) -> Result<Option<(RowFeatures, VisionTokens<'a>)>> {
        let (Some(folder), Some(rows)) = (&self.frozen, self.source.rows()) else { return Ok(None) };
        let (place, preprocess) = (self.config.features(), preprocess(&self.model));
        let stored = frozen::features(&place, &rows, folder, &preprocess)?;
        Ok(Some((stored, VisionTokens::new(device, folder).preprocessed(preprocess))))
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
            _ => match &self.frozen {
                Some(encoder) => init_around(device, self.model.clone(), self.config.seed, encoder)?,
                None => VlJepa::init(device, self.model.clone(), self.config.seed)?,
            },
        };
        let model = match self.config.decoder.as_ref().and_then(|decoder| decoder.config.as_ref()) {
            Some(path) => {
                let key = "decoder.config";
                let decoder = YDecoderConfig::from_json(&read_config(key, path)?).map_err(fault(key, path, ""))?;
                model.with_y_decoder(device, decoder, self.config.seed).map_err(fault(key, path, ""))?
            }
            None => model,
        };
        if let Some(folder) = &source.y_encoder {
            read_y_encoder(&model, folder)?;
        }
        if let Some(folder) = &source.still_stem {
            read_still_stem(&model, folder)?;
        }
        if source.config.is_some() && self.model.predictor.words == Words::YEncoder {
            queries::components_of_words(&model)?;
        }
        let (key, tokenizer) = queries::of_targets(source)?;
        let tokenizer_json = read_tokenizer(key, &tokenizer)?;
        let targets = TextTokenizer::for_targets(&tokenizer_json, &model.config.y_encoder);
        let targets = targets.map_err(fault(key, &tokenizer, ""))?.named(tokenizer.display());
        let mut trainer = Trainer::new(device, self.config.clone(), model, targets, self.source.clone())?;
        let mut query_tokenizer = None;
        if let Some(queries) = &self.queries {
            trainer = trainer.with_queries(queries.tokenizer.clone());
            query_tokenizer = Some(queries.json.clone());
        }
        Ok(Prepared { trainer, target_tokenizer: tokenizer_json, query_tokenizer })
    }
}

/// A model with random weights around the X-Encoder of a folder.
fn init_around(device: &Device, config: VlJepaConfig, seed: u64, encoder: &VisionFolder) -> Result<VlJepa> {
    let path = Path::new(encoder.origin());
    with_weights("model.x_encoder", path, "", |weights| {
        let (bare, _) = bare_vjepa2(weights, &config.x_encoder)?;
        VlJepa::init_around(device, config, seed, &bare)
    })
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

/// Hands `body` the weights of a folder.
fn with_weights<T>(
    key: &'static str,
    folder: &Path,
    hint: &'static str,
    body: impl FnOnce(&dyn WeightSource) -> vljepa_model::Result<T>,
) -> Result<T> {
    let checkpoint = Checkpoint::open(folder).map_err(file_fault(key))?;
    let source = checkpoint.source().map_err(|error| match error {
        vljepa_embed::Error::Model { source, .. } => fault(key, folder, "")(source),
        error => file_fault(key)(error),
    })?;
    body(&source).map_err(fault(key, folder, hint))
}

/// Fills the Y-Encoder of a model from a folder.
fn read_y_encoder(model: &VlJepa, folder: &Path) -> Result<()> {
    let key = "model.y_encoder";
    let hint = "; it must be the text encoder that `y_encoder` of the model's configuration describes";
    let heads = dense_heads(key, folder)?;
    let heads = heads.iter().map(Checkpoint::source).collect::<Result<Vec<_>, _>>().map_err(file_fault(key))?;
    with_weights(key, folder, hint, |weights| {
        let heads = heads.iter().map(|head| head as &dyn WeightSource).collect();
        y_encoder_from(model, weights, &SentenceWeights::new(weights, heads))
    })
}

/// Fills the stem for stills of a model from the stem of another, whose clips are a frame repeated: its maps of all frames of a
/// tubelet are one.
fn read_still_stem(model: &VlJepa, folder: &Path) -> Result<()> {
    with_weights("model.still_stem", folder, "", |weights| {
        for param in model.params() {
            let (name, shape) = (param.name(), param.tensor().shape());
            let values = if let Some((part, layer)) = name.split_once(".still_stem.") {
                read_f32(weights, &format!("{part}.stem.{layer}"), shape)?
            } else if let Some(part) = name.strip_suffix(".still.weight") {
                let first = read_f32(weights, &format!("{part}.proj.0.weight"), shape)?;
                let others = (1..).map(|t| format!("{part}.proj.{t}.weight"));
                let others = others.take_while(|name| weights.tensor(name).is_some());
                others.map(|name| read_f32(weights, &name, shape)).try_fold(first, |sum, values| {
                    Ok::<_, vljepa_model::ModelError>(sum.iter().zip(values?).map(|(a, b)| a + b).collect())
                })?
            } else {
                continue;
            };
            param.tensor().write_f32(&values)?;
        }
        Ok(())
    })
}

/// The weights of the Dense modules of a sentence-transformers folder.
fn dense_heads(key: &'static str, folder: &Path) -> Result<Vec<Checkpoint>> {
    // A file that is there and cannot be read is a fault, not a missing file.
    if matches!(folder.join(names::MODULES).try_exists(), Ok(false)) {
        return Ok(Vec::new());
    }
    let config = read_config(key, &folder.join(names::CONFIG))?;
    let config = TextEncoderConfig::from_json(&config).map_err(fault(key, folder, ""))?;
    let sentence = SentenceFiles::read(folder, config).map_err(file_fault(key))?.folder;
    let open = |dense: &String| Checkpoint::open(&folder.join(dense)).map_err(file_fault(key));
    sentence.dense_folders.iter().map(open).collect()
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
