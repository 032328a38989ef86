//! A text encoder on a device: BERT, Gemma 3 or Qwen3, bare or with sentence-transformers modules.

use vljepa_model::config::{Pooling, YEncoderConfig};
use vljepa_model::weights::{WeightSource, bare_text, check};
use vljepa_model::{CutTexts, Forward, Precision, SentenceWeights, TextTokenizer, YEncoder};
use vljepa_tensor::Device;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::folder::TextFolder;
use crate::names;
use crate::rows::Embeddings;
use crate::texts::{TEXT_BATCH, TextBatcher};

/// How token vectors are pooled into one vector.
pub type TextPool = Pooling;

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
    /// Loads the encoder onto `device`, matrices and tables in `precision`; `pool` replaces the pooling that the folder
    /// asks for.
    ///
    /// # Errors
    /// Tensors that are missing, unknown or of another shape, NaN, a tokenizer of another model, too little memory.
    pub fn load_as(device: &Device, folder: &TextFolder, pool: Option<TextPool>, precision: Precision) -> Result<Self> {
        let mut config = folder.config().clone();
        config.pooling = pool.unwrap_or(config.pooling);
        let origin = folder.origin().to_owned();
        let file = folder.file(names::TOKENIZER).display().to_string();
        let tokenizer =
            TextTokenizer::for_targets(folder.tokenizer(), &config).map_err(Error::model(&file))?.named(&file);
        let (root, dense) = folder.weights();
        let source = root.source()?;
        let backbone = &folder.config().config;
        let bare = bare_text(&source, backbone.kind().into(), &backbone.tensors())
            .map_err(Error::model(root.path().display()))?;
        let heads = dense.iter().map(Checkpoint::source).collect::<Result<Vec<_>>>()?;
        let weights = SentenceWeights::new(&bare, heads.iter().map(|h| h as &dyn WeightSource).collect());
        check(&weights, &config.tensors(), &[]).map_err(Error::model(&origin))?;
        let encoder =
            YEncoder::load_as(device, &config, &mut &weights, "", precision).map_err(Error::model(&origin))?;
        Ok(Self { origin, config, device: device.clone(), encoder, tokenizer })
    }

    /// The path of the folder, as given.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The device of the model.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Rows of unit length for texts, in their order, each text with the folder's default prompt as prefix; and the
    /// texts that were cut to the encoder's longest input.
    ///
    /// # Errors
    /// A text without tokens, a token outside the vocabulary, and errors of the device.
    pub fn embed_texts(&self, texts: &[String]) -> Result<(Embeddings, Option<CutTexts>)> {
        self.embed_texts_with(texts, &mut |_| ())
    }

    /// [`Self::embed_texts`]; `progress` receives the number of texts that are done.
    ///
    /// # Errors
    /// As [`Self::embed_texts`].
    pub fn embed_texts_with(
        &self,
        texts: &[String],
        progress: &mut dyn FnMut(usize),
    ) -> Result<(Embeddings, Option<CutTexts>)> {
        let batcher = TextBatcher {
            origin: &self.origin,
            device: &self.device,
            tokenizer: &self.tokenizer,
            prompt: &self.config.prompt,
            pad: self.config.config.pad_token_id(),
            batch: TEXT_BATCH,
        };
        let f = Forward::inference();
        let rows =
            batcher.run_with(texts, self.config.output_size(), |tokens| self.encoder.forward(&f, tokens), progress)?;
        rows.into_unit(texts)
    }
}
