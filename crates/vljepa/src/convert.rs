//! Converts checkpoints of other projects into model folders. A folder is written completely or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vljepa_model::config::{TextEncoderConfig, Vjepa2Config, VlJepaConfig, parameter_count};
use vljepa_model::weights::{
    OpenVlJepaParts, PtFile, TextKind, Vjepa2Parts, WeightSource, bare_text, bare_vjepa2, check, is_v2_1,
    official_config, official_vjepa2, open_vljepa, open_vljepa_config, write_safetensors,
};
use vljepa_model::{ModelError, SentenceWeights, TextTokenizer};

use vljepa_embed::checkpoint::{Checkpoint, Source};
use vljepa_embed::files::{self, MAX_JSON, MAX_TOKENIZER, OutFolder};
use vljepa_embed::folder::SentenceFiles;
use vljepa_embed::names;

use crate::error::{Error, Hint, Result};
pub use crate::kind::Kind;

/// Default side in pixels of the square input of a V-JEPA 2 checkpoint of its authors; all published ones but one have
/// it.
pub const CROP_SIZE: usize = 256;

/// As [`CROP_SIZE`] of a V-JEPA 2.1; all published ones have it.
pub const CROP_SIZE_2_1: usize = 384;

/// Entries that are the moving average of an encoder, first to last choice: the second is V-JEPA 2.1's ViT-B and ViT-L's.
const AVERAGES: [&str; 2] = ["target_encoder", "ema_encoder"];

/// The kind of a checkpoint, with the options of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConvertFrom<'a> {
    /// A V-JEPA 2 of the model hub, base model or classifier.
    Vjepa2,
    /// A V-JEPA 2 or 2.1 as its authors publish it.
    Vjepa2Pt {
        /// The entry to convert: `encoder`, or its moving average, which the authors evaluate: `target_encoder`, in some
        /// files `ema_encoder`. `None` is the moving average, whatever its name.
        entry: Option<&'a str>,
        /// Side of the square input in pixels; [`CROP_SIZE`] if `None`, or [`CROP_SIZE_2_1`] for a V-JEPA 2.1. It cannot
        /// be derived from the tensors.
        crop_size: Option<usize>,
    },
    /// A text model of the model hub: BERT, Llama, Gemma 3, Qwen3.
    HfText,
    /// A checkpoint of open-vljepa. It needs the folders of the models that its training started from.
    OpenVlJepa {
        /// Folder of the V-JEPA 2, whose encoder is not in the checkpoint.
        vjepa2: &'a Path,
        /// Folder of the Llama, for configuration and tokenizer.
        llama: &'a Path,
        /// Folder of the Y-Encoder (EmbeddingGemma in that project), for configuration and tokenizer.
        gemma: &'a Path,
    },
}

/// Options of a conversion.
#[derive(Clone, Debug)]
pub struct ConvertOptions<'a> {
    /// The kind of the checkpoint.
    pub from: ConvertFrom<'a>,
    /// The `config.json` of the checkpoint, if it is not in the same folder. A V-JEPA 2 or 2.1 of its authors needs none.
    pub config: Option<&'a Path>,
    /// Whether to verify the checksums of a PyTorch checkpoint.
    pub checksums: bool,
}

/// The folder that was written.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Converted {
    /// The path of the folder.
    pub out: String,
    /// A description of the model.
    pub model: String,
    /// Number of tensors in `model.safetensors`, including those of Dense heads.
    pub tensors: usize,
    /// Number of elements of these tensors.
    pub parameters: u64,
    /// Size of these files in bytes.
    pub bytes: u64,
    /// Side of the square input in pixels where neither the checkpoint nor the options tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumed_crop_size: Option<usize>,
}

/// A weight file that was written.
struct Written {
    tensors: usize,
    parameters: u64,
    bytes: u64,
}

/// Converts the checkpoint at `source` into the folder `out`, which must be empty or not exist.
///
/// # Errors
/// A source, a configuration or a target folder that cannot be used; nothing is written then.
pub fn convert(source: &Path, out: &Path, options: &ConvertOptions<'_>) -> Result<Converted> {
    convert_with(source, out, options, &mut |_, _| ())
}

/// [`convert`]; `progress` receives the number of bytes written and the total.
///
/// # Errors
/// As [`convert`].
pub fn convert_with(
    source: &Path,
    out: &Path,
    options: &ConvertOptions<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Converted> {
    let folder = OutFolder::new(out)?;
    let checkpoint = Checkpoint::open(source)?;
    let weights = open_weights(&checkpoint, options)?;
    let conversion = Conversion { source, checkpoint: &checkpoint, weights: &weights, options, folder };
    let done = match options.from {
        ConvertFrom::Vjepa2 => conversion.vjepa2(progress),
        ConvertFrom::Vjepa2Pt { entry, crop_size } => conversion.vjepa2_pt(entry, crop_size, progress),
        ConvertFrom::HfText => conversion.hf_text(progress),
        ConvertFrom::OpenVlJepa { vjepa2, llama, gemma } => conversion.open_vljepa(vjepa2, llama, gemma, progress),
    }?;
    Ok(Converted { out: out.display().to_string(), ..done })
}

/// The weights of a checkpoint, with checksums verified if `options` ask for it.
fn open_weights<'a>(checkpoint: &'a Checkpoint, options: &ConvertOptions<'_>) -> Result<Source<'a>> {
    let weights = checkpoint.source()?;
    if let (Source::Pt(file), true) = (&weights, options.checksums) {
        file.verify().map_err(Error::model(checkpoint.path().display()))?;
    }
    Ok(weights)
}

/// A conversion in progress.
struct Conversion<'a> {
    source: &'a Path,
    checkpoint: &'a Checkpoint,
    weights: &'a Source<'a>,
    options: &'a ConvertOptions<'a>,
    folder: OutFolder,
}

impl<'a> Conversion<'a> {
    /// Text and path of the configuration: the one in the options, else the `config.json` in the folder of the weights.
    fn config(&self) -> Result<(String, PathBuf)> {
        let (text, path) = match self.options.config {
            Some(path) => (files::read_text(path, MAX_JSON)?, path.to_path_buf()),
            None => match self.checkpoint.config()? {
                Some(text) => (text, self.checkpoint.beside(names::CONFIG)),
                None => {
                    let or_authors = matches!((self.options.from, self.weights), (ConvertFrom::Vjepa2, Source::Pt(_)));
                    let error = Error::content(self.checkpoint.path(), "there is no config.json in its folder");
                    return Err(error.hint(Hint::GiveConfig { or_authors }));
                }
            },
        };
        self.check_model_type(&text, &path)?;
        Ok((text, path))
    }

    /// Refuses a configuration that belongs to another kind of conversion; the error names that kind.
    fn check_model_type(&self, text: &str, path: &Path) -> Result<()> {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let found = value["model_type"].as_str().unwrap_or_default();
        let (what, hint) = match (found, self.options.from) {
            ("vjepa2", ConvertFrom::HfText) => ("a V-JEPA 2", Hint::ConvertAs(Kind::Vjepa2)),
            (text, ConvertFrom::Vjepa2) if TextKind::model_types().any(|model_type| model_type == text) => {
                ("a text model", Hint::ConvertAs(Kind::HfText))
            }
            ("vljepa", _) => ("a VL-JEPA, which is read as it is", Hint::UseAsModel),
            _ => return Ok(()),
        };
        Err(Error::content(path, format!("`model_type` is \"{found}\": {what}")).hint(hint))
    }

    /// The checkpoint as a PyTorch file; `what` describes the expected checkpoint in the error.
    fn pt(&self, what: &str) -> Result<&'a PtFile<'a>> {
        match self.weights {
            Source::Pt(file) => Ok(file),
            _ => {
                let reason = format!("not a PyTorch checkpoint, as {what} is");
                Err(Error::content(self.checkpoint.path(), reason))
            }
        }
    }

    /// Writes `weights` and moves the folder to its target.
    fn finish(self, weights: &impl WeightSource, model: String, progress: impl FnMut(u64, u64)) -> Result<Converted> {
        let Written { tensors, parameters, bytes } =
            self.write_weights(names::WEIGHTS, weights, self.source, progress)?;
        self.folder.persist()?;
        Ok(Converted { out: String::new(), model, tensors, parameters, bytes, assumed_crop_size: None })
    }

    /// Writes `weights` unchanged into the file `name`; `origin` names their source in messages.
    fn write_weights(
        &self,
        name: &str,
        weights: &impl WeightSource,
        origin: &Path,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Written> {
        let names = weights.names();
        let tensors = names.iter().filter_map(|n| weights.tensor(n));
        let parameters = tensors.map(|t| (t.bytes.len() / t.dtype.size()) as u64).sum();
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let mut bytes = 0;
        self.folder.stream(name, |out: &mut dyn Write| {
            let on_bytes = |done, total| {
                bytes = total;
                progress(done, total);
            };
            write_safetensors(weights, &metadata, out, on_bytes).map_err(|error| match error {
                // A full disk is no fault of the source.
                ModelError::Write { what } => {
                    vljepa_embed::Error::content(self.folder.place().join(name), format!("writing failed: {what}"))
                }
                error => vljepa_embed::Error::model(origin.display())(error),
            })
        })?;
        Ok(Written { tensors: names.len(), parameters, bytes })
    }

    fn vjepa2(self, progress: impl FnMut(u64, u64)) -> Result<Converted> {
        let (text, path) = self.config()?;
        let config = Vjepa2Config::from_json(&text).map_err(Error::model(path.display()))?;
        let (weights, parts) = bare_vjepa2(self.weights, &config).map_err(Error::model(self.source.display()))?;
        self.folder.write(names::CONFIG, text.as_bytes())?;
        self.finish(&weights, describe(&config, &parts), progress)
    }

    fn vjepa2_pt(self, entry: Option<&str>, crop: Option<usize>, progress: impl FnMut(u64, u64)) -> Result<Converted> {
        let fault = || Error::model(self.source.display());
        let file = self.pt("a V-JEPA 2 of its authors").map_err(|e| e.hint(Hint::ConvertAs(Kind::Vjepa2)))?;
        let names = file.names();
        let entries: BTreeSet<&str> = names.iter().filter_map(|name| Some(name.split_once('.')?.0)).collect();
        let average = AVERAGES.into_iter().find(|name| entries.contains(name));
        let entry = entry.or(average).unwrap_or(AVERAGES[0]);
        if !entries.contains(entry) {
            let some = entries.iter().take(12).copied().collect::<Vec<_>>().join(", ");
            let reason = format!("no entry `{entry}` with tensors; the entries are: {some}");
            let error = |more: &str| Error::content(self.checkpoint.path(), format!("{reason}{more}"));
            return Err(match average.or(entries.contains("encoder").then_some("encoder")) {
                Some(name) => error("").hint(Hint::Entry(name)),
                None => error("; name the .pt file of a V-JEPA 2 as its authors publish it"),
            });
        }
        let weights = official_vjepa2(file, entry).map_err(fault())?;
        let usual = if is_v2_1(&weights) { CROP_SIZE_2_1 } else { CROP_SIZE };
        let assumed_crop_size = (crop.is_none() && self.options.config.is_none()).then_some(usual);
        let config = match self.options.config {
            Some(path) => {
                let text = files::read_text(path, MAX_JSON)?;
                let config = Vjepa2Config::from_json(&text).map_err(Error::model(path.display()))?;
                match crop.filter(|&side| side != config.crop_size) {
                    Some(side) => {
                        let reason = format!(
                            "{side} contradicts {}, which has {}; leave it out",
                            path.display(),
                            config.crop_size
                        );
                        return Err(Error::argument("crop_size", reason));
                    }
                    None => config,
                }
            }
            None => official_config(&weights, crop.unwrap_or(usual)).map_err(fault())?,
        };
        let parts = Vjepa2Parts::of(&weights);
        check(&weights, &parts.tensors(&config), &[]).map_err(fault())?;
        let text = serde_json::to_string_pretty(&config).map_err(|e| Error::content(self.source, e.to_string()))?;
        self.folder.write(names::CONFIG, (text + "\n").as_bytes())?;
        Ok(Converted { assumed_crop_size, ..self.finish(&weights, describe(&config, &parts), progress)? })
    }

    fn hf_text(self, progress: impl FnMut(u64, u64)) -> Result<Converted> {
        let (text, path) = self.config()?;
        // Check the configuration before the weights: otherwise a wrong configuration would look like wrong weights.
        let value = parse_json(&text, &path)?;
        let kind = TextKind::of_config(&value).map_err(Error::model(path.display()))?;
        let tensors = kind.tensors(&value).map_err(Error::model(path.display()))?;
        let weights = bare_text(self.weights, kind, &tensors).map_err(Error::model(self.source.display()))?;
        self.folder.write(names::CONFIG, text.as_bytes())?;
        if kind == TextKind::Llama {
            let modules = self.checkpoint.beside(names::MODULES);
            if modules.exists() {
                let reason = "sentence-transformers modules of a Llama are not read; \
                              move the file away to convert the Llama alone";
                return Err(Error::content(modules, reason));
            }
            let tokenizer = self.read_tokenizer(|json| TextTokenizer::from_json(json, usize::MAX))?;
            self.folder.write(names::TOKENIZER, &tokenizer)?;
            return self.finish(&weights, format!("{kind:?} text model"), progress);
        }
        let encoder = TextEncoderConfig::from_value(&value).map_err(Error::model(path.display()))?;
        let sentence = SentenceFiles::read(self.checkpoint.dir(), encoder)?;
        let config = &sentence.folder.config;
        let tokenizer = self.read_tokenizer(|json| TextTokenizer::for_targets(json, config))?;
        self.folder.write(names::TOKENIZER, &tokenizer)?;
        for (name, bytes) in &sentence.files {
            self.folder.write(name, bytes)?;
        }
        let folders = &sentence.folder.dense_folders;
        let heads =
            folders.iter().map(|f| Checkpoint::open(&self.checkpoint.beside(f))).collect::<Result<Vec<_>, _>>()?;
        let sources = heads.iter().map(|head| open_weights(head, self.options)).collect::<Result<Vec<_>>>()?;
        let with_heads = SentenceWeights::new(&weights, sources.iter().map(|s| s as &dyn WeightSource).collect());
        check(&with_heads, &config.tensors(), &[]).map_err(Error::model(self.source.display()))?;
        // A folder that two modules share is written once.
        let by_folder: BTreeMap<_, _> = folders.iter().zip(heads.iter().zip(&sources)).collect();
        let write = |(folder, (head, source)): (&String, (&Checkpoint, &Source<'_>))| {
            self.write_weights(&format!("{folder}/{}", names::WEIGHTS), source, head.path(), |_, _| ())
        };
        let written = by_folder.into_iter().map(write).collect::<Result<Vec<_>>>()?;
        let model = match folders.len() {
            0 => format!("{kind:?} text model"),
            1 => format!("{kind:?} text model with a Dense head"),
            n => format!("{kind:?} text model with {n} Dense heads"),
        };
        let mut done = self.finish(&weights, model, progress)?;
        for head in written {
            done.tensors += head.tensors;
            done.parameters += head.parameters;
            done.bytes += head.bytes;
        }
        Ok(done)
    }

    /// The bytes of the `tokenizer.json` in the folder of the weights; otherwise as [`read_tokenizer`].
    fn read_tokenizer(&self, read: impl Fn(&[u8]) -> vljepa_model::Result<TextTokenizer>) -> Result<Vec<u8>> {
        read_tokenizer(&self.checkpoint.beside(names::TOKENIZER), read)
    }

    fn open_vljepa(
        self,
        vjepa2: &Path,
        llama: &Path,
        gemma: &Path,
        progress: impl FnMut(u64, u64),
    ) -> Result<Converted> {
        let fault = || Error::model(self.source.display());
        let file = self.pt("a checkpoint of open-vljepa")?;
        let read = |dir: &Path| files::read_text(&dir.join(names::CONFIG), MAX_JSON);
        let (vjepa2_text, llama_text, y_text) = (read(vjepa2)?, read(llama)?, read(gemma)?);
        let (vjepa2_json, y_json) = (parse_json(&vjepa2_text, vjepa2)?, parse_json(&y_text, gemma)?);
        let llama_json = parse_json(&llama_text, llama)?;
        let x_config = Vjepa2Config::from_value(&vjepa2_json).map_err(Error::model(vjepa2.display()))?;
        let kind = TextKind::of_config(&y_json).map_err(Error::model(gemma.display()))?;
        let llama_kind = TextKind::of_config(&llama_json).map_err(Error::model(llama.display()))?;
        if llama_kind != TextKind::Llama {
            let reason = format!("is the configuration of a {llama_kind:?}; a Llama is needed");
            return Err(Error::content(llama.join(names::CONFIG), reason).hint(Hint::NameLlama));
        }
        let x_checkpoint = Checkpoint::open(vjepa2)?;
        let x_source = x_checkpoint.source()?;
        let (x_weights, _) = bare_vjepa2(&x_source, &x_config).map_err(Error::model(vjepa2.display()))?;
        let parts = OpenVlJepaParts { vjepa2: &vjepa2_json, llama: &llama_json, text: &y_json };
        let text = open_vljepa_config(file, &parts).map_err(fault())?;
        let config = VlJepaConfig::from_json(&text).map_err(fault())?;
        let weights = open_vljepa(file, &x_weights, kind).map_err(fault())?;
        check(&weights, &config.tensors(), &[]).map_err(fault())?;
        self.folder.write(names::CONFIG, text.as_bytes())?;
        let queries = read_tokenizer(&llama.join(names::TOKENIZER), |json| TextTokenizer::for_queries(json, &config))?;
        let targets =
            read_tokenizer(&gemma.join(names::TOKENIZER), |json| TextTokenizer::for_targets(json, &config.y_encoder))?;
        self.folder.write(names::QUERY_TOKENIZER, &queries)?;
        self.folder.write(names::TARGET_TOKENIZER, &targets)?;
        self.folder.write(names::CARD, card(self.checkpoint.path(), &config).as_bytes())?;
        self.finish(&weights, format!("VL-JEPA of {} dimensions", config.embedding_dim), progress)
    }
}

/// The JSON value of a `config.json`.
fn parse_json(text: &str, path: &Path) -> Result<Value> {
    serde_json::from_str(text).map_err(|e| Error::content(path, format!("not readable: {e}; get the file again")))
}

/// The bytes of a `tokenizer.json`; `read` checks that it is a tokenizer for the model.
fn read_tokenizer(path: &Path, read: impl Fn(&[u8]) -> vljepa_model::Result<TextTokenizer>) -> Result<Vec<u8>> {
    let bytes = files::read(path, MAX_TOKENIZER)?;
    read(&bytes).map_err(Error::model(path.display()))?;
    Ok(bytes)
}

/// A description of a V-JEPA 2 or 2.1.
fn describe(config: &Vjepa2Config, parts: &Vjepa2Parts) -> String {
    let version = if config.is_v2_1() { "2.1" } else { "2" };
    let mut out = format!("V-JEPA {version} of width {} and depth {}", config.hidden_size, config.num_hidden_layers);
    if parts.predictor {
        out += ", with its predictor";
    }
    if let Some(labels) = parts.labels {
        out += &format!(", with a probe of {labels} classes");
    }
    out
}

/// The model card of a converted VL-JEPA.
fn card(source: &Path, config: &VlJepaConfig) -> String {
    let name = source.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    format!(
        "# VL-JEPA converted from open-vljepa\n\n\
         Converted from `{name}`, a checkpoint of open-vljepa: {} parameters, embeddings of {} dimensions, queries of\n\
         up to {} tokens. The X-Encoder comes from V-JEPA 2, the Predictor started from Llama layers {} to {}.\n\n\
         The licences of V-JEPA 2, of the Llama, of the text encoder and of the checkpoint hold for this folder.\n",
        parameter_count(&config.tensors()),
        config.embedding_dim,
        config.max_query_tokens,
        config.predictor.first_layer,
        config.predictor.first_layer + config.predictor.num_layers - 1,
    )
}
