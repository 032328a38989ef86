//! A VL-JEPA on a device: embeds pictures, clips and texts as vectors of unit length.

use std::path::PathBuf;

use vljepa_data::{Preprocess, Rgba8Image};
use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::read_f32;
use vljepa_model::{CutTexts, Forward, Precision, Search, TextTokenizer, Tokens, Unclear, VlJepa};
use vljepa_tensor::{Device, Tensor};

use super::embedder::{Embedder, vision_tokens};
use crate::error::{Error, Hint, Result};
use crate::folder::ModelFolder;
use crate::names;
use crate::preprocess::preprocess;
use crate::rows::Embeddings;
use crate::texts::{TEXT_BATCH, name_of};
use crate::visuals::{FileOptions, Visual, VisualEncoder, batch_of, embed_files, embed_visuals, embed_visuals_with};

/// Embeddings that sentences are written for at once.
const WRITTEN: usize = 32;

/// A sentence that a Y-Decoder wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The sentence.
    pub text: String,
    /// The geometric mean of the probabilities of its tokens, 0..1.
    pub score: f64,
}

/// A loaded VL-JEPA with its tokenizers and preprocessing.
#[derive(Debug)]
pub struct Model {
    origin: String,
    hash: String,
    vljepa: VlJepa,
    device: Device,
    target: TextTokenizer,
    query: Option<TextTokenizer>,
    preprocess: Preprocess,
    scale: f32,
}

impl Model {
    /// Loads the weights of `folder` onto `device`.
    ///
    /// # Errors
    /// Corrupt weights, weights that do not fit the configuration, NaN, corrupt tokenizers, too little memory.
    pub fn load(device: &Device, folder: &ModelFolder) -> Result<Self> {
        Self::load_as(device, folder, Precision::F32)
    }

    /// [`Self::load`] with matrices and tables stored in `precision` on the device.
    ///
    /// # Errors
    /// As [`Self::load`]; also a number that the precision cannot hold.
    pub fn load_as(device: &Device, folder: &ModelFolder, precision: Precision) -> Result<Self> {
        let config = folder.config();
        let file = folder.file(names::TARGET_TOKENIZER);
        let target = TextTokenizer::for_targets(folder.target_tokenizer(), &config.y_encoder)
            .map_err(Error::model(&file))?
            .named(&file);
        let file = folder.file(names::QUERY_TOKENIZER);
        let query = folder
            .query_tokenizer()
            .map(|bytes| TextTokenizer::for_queries(bytes, config))
            .transpose()
            .map_err(Error::model(&file))?
            .map(|tokenizer| tokenizer.named(&file));
        let origin = folder.origin().to_owned();
        let (vljepa, logit_scale) = folder.with_weights(|weights| {
            let logit_scale = read_f32(weights, "logit_scale", &[1]).map_err(Error::model(&origin))?;
            let vljepa = VlJepa::load_as(device, config.clone(), weights, precision).map_err(Error::model(&origin))?;
            Ok((vljepa, logit_scale[0]))
        })?;
        let trained = logit_scale.exp().min(config.temperature.max_scale as f32);
        let scale = config.memory.and_then(|m| m.inv_temperature).map_or(trained, |s| s as f32);
        let preprocess = preprocess(config);
        let hash = folder.hash().to_owned();
        Ok(Self { origin, hash, vljepa, device: device.clone(), target, query, preprocess, scale })
    }

    /// The path of the folder, as given, or the name of the built-in model.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The hash of the folder, as [`ModelFolder::hash`].
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The configuration.
    pub fn config(&self) -> &VlJepaConfig {
        &self.vljepa.config
    }

    /// The device of the model.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How pictures and frames are prepared.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Length of an embedding.
    pub fn dim(&self) -> usize {
        self.config().embedding_dim
    }

    /// 1/τ, the factor of cosines before a softmax.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Whether it writes sentences: [`Self::write`].
    pub fn writes(&self) -> bool {
        self.vljepa.y_decoder().is_some()
    }

    /// Writes a sentence for each of the embeddings `rows`, `[N, dim]` of unit length, with its Y-Decoder.
    ///
    /// # Errors
    /// A model without a Y-Decoder, rows of another width, and errors of the device.
    pub fn write(&self, rows: &[f32], search: &Search) -> Result<Vec<Written>> {
        let (dim, mut written) = (self.dim(), Vec::new());
        if !rows.len().is_multiple_of(dim) {
            let reason = format!("{}: {} numbers are no whole number of embeddings of {dim}", self.origin, rows.len());
            return Err(Error::Invalid(reason));
        }
        for part in rows.chunks(WRITTEN * dim) {
            let states = Tensor::from_f32(&self.device, &[part.len() / dim, dim], part)?;
            let sentences = self.vljepa.write(&states, search).map_err(Error::model(&self.origin))?;
            let sentences = sentences.ok_or_else(|| Error::Invalid(format!("{}: has no Y-Decoder", self.origin)))?;
            for sentence in sentences {
                let text =
                    self.target.decode(&sentence.ids).map_err(Error::model(name_of(&self.target, &self.origin)))?;
                let tokens = sentence.ids.len() + usize::from(sentence.ended);
                let score = (sentence.log_probability / tokens.max(1) as f64).exp();
                written.push(Written { text, score });
            }
        }
        Ok(written)
    }

    /// An embedder of texts and pictures for this model, with a batch size that suits its input size.
    pub fn embedder(&self) -> Embedder<'_> {
        let batch = batch_of(vision_tokens(&self.vljepa, self.config().image_size(), 1));
        Embedder {
            device: &self.device,
            model: &self.vljepa,
            tokenizer: &self.target,
            queries: self.query.as_ref(),
            stored: None,
            batch,
        }
    }

    /// The model with a query, as an encoder of pictures and clips. Without `query` it uses the configuration's default
    /// query, which may be empty.
    ///
    /// # Errors
    /// A query for a model that was trained without queries.
    pub fn with_query(&self, query: Option<&str>) -> Result<WithQuery<'_>> {
        let text = query.unwrap_or(&self.config().predictor.default_query);
        if text.is_empty() {
            return Ok(WithQuery { model: self, query: None, cut: None });
        }
        let Some(tokenizer) = &self.query else {
            let reason = format!("{}: the model has no query tokenizer, it was trained without queries", self.origin);
            return Err(Error::Invalid(reason).hint(Hint::NoQuery));
        };
        let (mut ids, cut) =
            tokenizer.encode_all("", &[text]).map_err(Error::model(name_of(tokenizer, &self.origin)))?;
        Ok(WithQuery { model: self, query: ids.pop(), cut })
    }

    /// Predicted embeddings of picture and video files, in their order. Of a video the model sees a fixed number of
    /// frames, spread evenly from the first to the last. `query` is a question about the pictures.
    ///
    /// # Errors
    /// A file that is neither a picture nor a video, a query for a model that was trained without queries, and errors
    /// of the device.
    pub fn embed_files(&self, files: &[PathBuf], query: Option<&str>) -> Result<Embeddings> {
        Ok(embed_files(&self.with_query(query)?, files, FileOptions::default())?.rows)
    }

    /// Predicted embeddings of pictures and clips in memory, in their order; otherwise as [`Self::embed_files`].
    ///
    /// # Errors
    /// A clip without frames, a query for a model that was trained without queries, and errors of the device.
    pub fn embed_visuals(&self, visuals: &[Visual<'_>], query: Option<&str>) -> Result<Embeddings> {
        embed_visuals(&self.with_query(query)?, visuals)
    }

    /// [`Self::embed_visuals`] of pictures; `progress` receives the number of pictures that are done.
    ///
    /// # Errors
    /// As [`Self::embed_visuals`].
    pub fn embed_pictures_with(
        &self,
        pictures: &[Rgba8Image],
        query: Option<&str>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Embeddings> {
        let visuals: Vec<Visual<'_>> = pictures.iter().map(Visual::Still).collect();
        embed_visuals_with(&self.with_query(query)?, &visuals, progress)
    }

    /// Texts that the model does not tell apart, and words that it does not know.
    ///
    /// # Errors
    /// Texts that cannot be split into tokens.
    pub fn unclear(&self, texts: &[impl AsRef<str>]) -> Result<Unclear> {
        let unclear = self.target.unclear(&self.config().y_encoder.prompt, texts);
        unclear.map_err(Error::model(name_of(&self.target, &self.origin)))
    }

    /// Target embeddings of texts, in their order, and the texts that were cut to the model's longest input.
    ///
    /// # Errors
    /// A text without tokens, and errors of the device.
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
        let embedder = Embedder { batch: TEXT_BATCH, ..self.embedder() };
        embedder.targets(&self.origin, texts, progress)?.into_unit(texts)
    }
}

/// A model with a query, which encodes pictures and clips.
#[derive(Debug)]
pub struct WithQuery<'a> {
    model: &'a Model,
    query: Option<Vec<u32>>,
    cut: Option<CutTexts>,
}

impl<'a> WithQuery<'a> {
    /// The model.
    pub fn model(&self) -> &'a Model {
        self.model
    }

    /// The path of the model's folder, as given, or the name of the built-in model.
    pub fn origin(&self) -> &str {
        self.model.origin()
    }

    /// The query, if it was cut to the model's longest.
    pub fn cut(&self) -> Option<&CutTexts> {
        self.cut.as_ref()
    }
}

impl VisualEncoder for WithQuery<'_> {
    fn preprocess(&self) -> &Preprocess {
        &self.model.preprocess
    }

    fn frames(&self) -> usize {
        self.model.config().frames()
    }

    fn tubelet(&self) -> usize {
        self.model.config().x_encoder.tubelet_size
    }

    fn tokens(&self, frames: usize) -> usize {
        vision_tokens(&self.model.vljepa, self.model.config().image_size(), frames)
    }

    fn shape(&self, _frames: usize) -> Vec<usize> {
        vec![self.model.dim()]
    }

    fn unit(&self) -> bool {
        true
    }

    fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
        let model = self.model;
        let size = model.preprocess.size as usize;
        let frames = Tensor::from_f32(&model.device, &[count, frames, 3, size, size], pixels)?;
        let pad = model.config().predictor.query_pad_id;
        let tokens = self
            .query
            .as_ref()
            .map(|ids| Tokens::new(&model.device, &vec![ids.clone(); count], pad))
            .transpose()
            .map_err(Error::model(&model.origin))?;
        let value = model
            .vljepa
            .predict(&Forward::inference(), &frames, tokens.as_ref())
            .map_err(Error::model(&model.origin))?;
        Ok(value.value().to_f32()?)
    }
}
