//! Text encoders as the model hub has them: BERT, Gemma 3 and Qwen3, bare or with the modules of sentence-transformers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vljepa_model::config::{Pooling, TextEncoderConfig, YEncoderConfig, parameter_count};
use vljepa_model::weights::{WeightSource, bare_text, check};
use vljepa_model::{CutTexts, Forward, Precision, SentenceFolder, SentenceWeights, TextTokenizer, YEncoder};
use vljepa_tensor::Device;

use super::{CONFIG, MAX_JSON, hash_of};
use crate::checkpoint::Checkpoint;
use crate::embeddings::Embeddings;
use crate::error::{Error, Result};
use crate::files;
use crate::texts::TextSide;

const TOKENIZER: &str = "tokenizer.json";
/// The largest tokenizers in use have some 35 MB.
const MAX_TOKENIZER: u64 = 256 << 20;

/// From token vectors to one vector, in place of what the folder says.
pub type TextPool = Pooling;

/// What the small files around a text encoder say: modules, prompts, the longest text.
#[derive(Debug)]
pub(crate) struct SentenceFiles {
    pub folder: SentenceFolder,
    /// All that were there and read but for `config.json`, by their paths below the folder.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl SentenceFiles {
    /// Reads them in `dir`. `config` is the text of the encoder's `config.json`.
    ///
    /// # Errors
    /// Files that cannot be read, an invalid configuration, modules that are not supported.
    pub(crate) fn read(dir: &Path, config: &str) -> Result<Self> {
        // What is wrong with a file that is there is told, instead of taking it for one that is not.
        let (files, failed) = (RefCell::new(BTreeMap::new()), RefCell::new(None));
        let read = |name: &str| {
            let path = dir.join(name);
            if !path.exists() {
                return None;
            }
            match files::read(&path, MAX_JSON) {
                Ok(bytes) => {
                    files.borrow_mut().insert(name.to_owned(), bytes.clone());
                    Some(bytes)
                }
                Err(e) => {
                    failed.borrow_mut().get_or_insert(e);
                    None
                }
            }
        };
        let config = TextEncoderConfig::from_json(config).map_err(Error::model(dir.display()))?;
        let folder = SentenceFolder::parse(config, &read);
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        Ok(Self { folder: folder.map_err(Error::model(dir.display()))?, files: files.into_inner() })
    }
}

/// The files of a text encoder.
#[derive(Debug)]
pub struct TextFolder {
    dir: PathBuf,
    origin: String,
    sentence: SentenceFolder,
    config_text: String,
    tokenizer: Vec<u8>,
    root: Checkpoint,
    dense: Vec<Checkpoint>,
}

impl TextFolder {
    /// Opens a folder with `config.json`, `tokenizer.json` and weights; `modules.json` and what it names where there is one.
    ///
    /// # Errors
    /// Missing, empty or damaged files, an invalid configuration, modules that are not supported.
    pub fn open(dir: &Path) -> Result<Self> {
        let config_text = files::read_text(&dir.join(CONFIG), MAX_JSON)?;
        let sentence = SentenceFiles::read(dir, &config_text)?.folder;
        let tokenizer = files::read(&dir.join(TOKENIZER), MAX_TOKENIZER)?;
        let root = Checkpoint::open(dir)?;
        let dense = sentence.dense_folders.iter().map(|f| Checkpoint::open(&dir.join(f))).collect::<Result<_>>()?;
        let origin = dir.display().to_string();
        Ok(Self { dir: dir.to_path_buf(), origin, sentence, config_text, tokenizer, root, dense })
    }

    /// The folder as given.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The encoder with its pooling and heads.
    pub fn config(&self) -> &YEncoderConfig {
        &self.sentence.config
    }

    /// The architecture's name.
    pub(crate) fn kind(&self) -> String {
        format!("{:?}", self.config().config.kind())
    }

    /// Elements of all tensors that are used.
    pub fn parameters(&self) -> u64 {
        parameter_count(&self.config().tensors())
    }

    /// Bytes of the weights on disk.
    pub fn weight_bytes(&self) -> u64 {
        self.root.bytes() + self.dense.iter().map(Checkpoint::bytes).sum::<u64>()
    }

    /// SHA-256 over everything that embeddings depend on. Hexadecimal.
    pub fn hash(&self) -> String {
        let sentence = format!("{:?}", self.sentence);
        let texts = [self.config_text.as_bytes(), sentence.as_bytes(), self.tokenizer.as_slice()];
        let weights = std::iter::once(&self.root).chain(&self.dense).flat_map(Checkpoint::slices);
        hash_of(texts.into_iter().chain(weights))
    }
}

/// A text encoder on a device.
#[derive(Debug)]
pub struct TextModel {
    origin: String,
    config: YEncoderConfig,
    device: Device,
    encoder: YEncoder,
    tokenizer: TextTokenizer,
}

impl TextModel {
    /// Loads the encoder onto `device`, matrices and tables in `precision`; `pool` in place of the folder's pooling.
    ///
    /// # Errors
    /// Tensors that are missing, unknown or of another shape, NaN, a tokenizer of another model, no memory.
    pub fn load_as(device: &Device, folder: &TextFolder, pool: Option<TextPool>, precision: Precision) -> Result<Self> {
        let mut config = folder.config().clone();
        config.pooling = pool.unwrap_or(config.pooling);
        let tokenizer = TextTokenizer::for_targets(&folder.tokenizer, &config)
            .map_err(Error::model(folder.file(TOKENIZER).display()))?;
        let root = folder.root.source()?;
        let own = &folder.config().config;
        let root =
            bare_text(&root, own.kind().into(), &own.tensors()).map_err(Error::model(folder.root.path().display()))?;
        let heads = folder.dense.iter().map(Checkpoint::source).collect::<Result<Vec<_>>>()?;
        let weights = SentenceWeights::new(&root, heads.iter().map(|h| h as &dyn WeightSource).collect());
        check(&weights, &config.tensors(), &[]).map_err(Error::model(&folder.origin))?;
        let encoder = YEncoder::load_as(device, &config, &mut &weights, "", precision);
        let encoder = encoder.map_err(Error::model(&folder.origin))?;
        Ok(Self { origin: folder.origin.clone(), config, device: device.clone(), encoder, tokenizer })
    }

    /// The folder as given.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The device that computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Unit rows of texts, in their order, behind the folder's default prompt, and which texts were cut to the longest
    /// that the encoder takes. `done` hears how many are done.
    ///
    /// # Errors
    /// A text without tokens, or with one outside the vocabulary, and what the device reports.
    pub fn embed_texts(&self, texts: &[String], done: impl FnMut(usize)) -> Result<(Embeddings, Option<CutTexts>)> {
        let side = TextSide {
            origin: &self.origin,
            device: &self.device,
            tokenizer: &self.tokenizer,
            prompt: &self.config.prompt,
            pad: self.config.config.pad_token_id(),
            dim: self.config.output_size(),
        };
        side.embed(texts, |tokens| self.encoder.forward(&Forward::inference(), tokens), done)
    }
}
