//! A model on a device, from pictures and texts to unit vectors.

use std::path::PathBuf;

use rayon::prelude::*;
use vljepa_data::emoji::EmojiVendors;
use vljepa_data::{Preprocess, Rgba8Image};
use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{WeightSource, read_f32};
use vljepa_model::{CutTexts, Forward, Precision, TextTokenizer, Tokens, VlJepa};
use vljepa_tensor::{Device, Tensor};
use vljepa_train::sources::emoji_vendors::{self, EmojiVendorsOptions, EmojiVendorsReport};
use vljepa_train::{Embedder, preprocess};

use crate::embeddings::Embeddings;
use crate::error::{Error, Result};
use crate::folder::{ModelFolder, Weights};
use crate::media::{Broken, PictureEncoder, batch_of, embed_files};
use crate::texts::TextSide;

/// A VL-JEPA with its tokenizers and preprocessing.
#[derive(Debug)]
pub struct Model {
    origin: String,
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
    /// Corrupt weights, weights that do not fit the configuration, NaN, corrupt tokenizers, no memory.
    pub fn load(device: &Device, folder: &ModelFolder) -> Result<Self> {
        Self::load_as(device, folder, Precision::F32)
    }

    /// [`Self::load`] with matrices and tables in `precision` on the device.
    ///
    /// # Errors
    /// As [`Self::load`]; also for a number that the precision cannot hold.
    pub fn load_as(device: &Device, folder: &ModelFolder, precision: Precision) -> Result<Self> {
        let target = TextTokenizer::for_targets(folder.target_tokenizer(), &folder.config().y_encoder)
            .map_err(Error::model(folder.target_tokenizer_name()))?;
        let query = folder
            .query_tokenizer()
            .map(|bytes| TextTokenizer::for_queries(bytes, folder.config()))
            .transpose()
            .map_err(Error::model(folder.query_tokenizer_name()))?;
        match folder.weights()? {
            Weights::One(weights) => Self::assemble(device, folder, &weights, precision, target, query),
            Weights::Shards(weights) => Self::assemble(device, folder, &weights, precision, target, query),
        }
    }

    fn assemble(
        device: &Device,
        folder: &ModelFolder,
        weights: &impl WeightSource,
        precision: Precision,
        target: TextTokenizer,
        query: Option<TextTokenizer>,
    ) -> Result<Self> {
        let config = folder.config().clone();
        let origin = folder.origin().to_owned();
        let logit_scale = read_f32(weights, "logit_scale", &[1]).map_err(Error::model(&origin))?;
        let trained = logit_scale[0].exp().min(config.temperature.max_scale as f32);
        let scale = config.memory.and_then(|m| m.inv_temperature).map_or(trained, |s| s as f32);
        let preprocess = preprocess(&config);
        let vljepa = VlJepa::load_as(device, config, weights, precision).map_err(Error::model(&origin))?;
        Ok(Self { origin, vljepa, device: device.clone(), target, query, preprocess, scale })
    }

    /// The folder as given, or `compact model`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The configuration.
    pub fn config(&self) -> &VlJepaConfig {
        &self.vljepa.config
    }

    /// The device that computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Numbers in an embedding.
    pub fn dim(&self) -> usize {
        self.config().embedding_dim
    }

    /// 1/τ, by which cosines are multiplied before a softmax.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Predicted embeddings of picture and video files, in their order; of a video, as many frames as the model takes, evenly
    /// from the first to the last. `query` is what is asked about them; `done` hears how many are done.
    ///
    /// # Errors
    /// A file that is neither, a query for a model that takes none, and what the device reports.
    pub fn embed_files(&self, files: &[PathBuf], query: Option<&str>, done: impl FnMut(usize)) -> Result<Embeddings> {
        let (rows, _) = embed_files(&self.asked(query)?, files, Broken::Stop, done)?;
        Ok(rows)
    }

    /// This model with one query, or none, as something that takes pictures.
    ///
    /// # Errors
    /// A query for a model that takes none.
    pub fn asked(&self, query: Option<&str>) -> Result<Asked<'_>> {
        let (query, cut) = self.query_ids(query)?;
        Ok(Asked { model: self, query, cut })
    }

    /// Vision tokens of a clip of so many frames.
    fn tokens(&self, frames: usize) -> usize {
        let encoder = &self.config().x_encoder;
        let side = self.config().image_size() / encoder.patch_size.max(1);
        side * side * frames.div_ceil(encoder.tubelet_size.max(1))
    }

    /// Clips of so many frames that go through the model together.
    fn batch(&self, frames: usize) -> usize {
        batch_of(self.tokens(frames))
    }

    /// Predicted embeddings of pictures in memory; otherwise as [`Self::embed_files`].
    ///
    /// # Errors
    /// A query for a model that takes none, and what the device reports.
    pub fn embed_pictures(
        &self,
        pictures: &[Rgba8Image],
        query: Option<&str>,
        mut done: impl FnMut(usize),
    ) -> Result<Embeddings> {
        let asked = self.asked(query)?;
        let mut out = Embeddings::new(self.dim());
        for batch in pictures.chunks(self.batch(1)) {
            let pixels = batch.par_iter().map(|p| Ok(self.preprocess.run(p)?)).collect::<Result<Vec<_>>>()?;
            let rows = asked.encode(&pixels.concat(), batch.len(), 1)?;
            let first = out.rows();
            out.extend(&rows, |i| format!("picture {}", first + i))?;
            done(out.rows());
        }
        Ok(out)
    }

    /// Target embeddings of texts, in their order, and which texts were cut to the model's longest.
    ///
    /// # Errors
    /// What the device reports.
    pub fn embed_texts(&self, texts: &[String], done: impl FnMut(usize)) -> Result<(Embeddings, Option<CutTexts>)> {
        let encoder = &self.config().y_encoder;
        let side = TextSide {
            origin: &self.origin,
            device: &self.device,
            tokenizer: &self.target,
            prompt: &encoder.prompt,
            pad: encoder.config.pad_token_id(),
            dim: self.dim(),
        };
        side.embed(texts, |tokens| self.vljepa.encode_text(&Forward::inference(), tokens), done)
    }

    /// Runs the suite `emoji-vendors`; `progress` hears what is being embedded.
    ///
    /// # Errors
    /// Vendors that the set does not have, and what reading and embedding report.
    pub fn eval_emoji_vendors(
        &self,
        set: &EmojiVendors,
        options: &EmojiVendorsOptions,
        mut progress: impl FnMut(&str),
    ) -> Result<EmojiVendorsReport> {
        let (device, model, tokenizer, batch) = (&self.device, &self.vljepa, &self.target, self.batch(1));
        let embedder = Embedder { device, model, tokenizer, batch };
        Ok(emoji_vendors::evaluate_with(&embedder, &self.preprocess, set, options, &mut progress)?)
    }

    /// The tokens of a query, and whether it was cut; the configuration's default where none is given; none where that
    /// is empty.
    fn query_ids(&self, query: Option<&str>) -> Result<(Option<Vec<u32>>, Option<CutTexts>)> {
        let text = query.unwrap_or(&self.config().predictor.default_query);
        if text.is_empty() {
            return Ok((None, None));
        }
        match &self.query {
            Some(tokenizer) => {
                let (mut ids, cut) = tokenizer.encode_all("", &[text]).map_err(Error::model(&self.origin))?;
                Ok((ids.pop(), cut))
            }
            None => Err(Error::Invalid(format!(
                "{}: the model has no query tokenizer, it was trained without queries; leave --query out",
                self.origin
            ))),
        }
    }
}

/// A model with what is asked about the pictures.
#[derive(Debug)]
pub struct Asked<'a> {
    model: &'a Model,
    query: Option<Vec<u32>>,
    cut: Option<CutTexts>,
}

impl Asked<'_> {
    /// The model's folder as given, or `compact model`.
    pub fn origin(&self) -> &str {
        self.model.origin()
    }

    /// The query, where it was cut to the longest that the model takes.
    pub fn cut(&self) -> Option<&CutTexts> {
        self.cut.as_ref()
    }
}

impl PictureEncoder for Asked<'_> {
    fn preprocess(&self) -> &Preprocess {
        &self.model.preprocess
    }

    fn frames(&self) -> usize {
        self.model.config().frames()
    }

    fn tokens(&self, frames: usize) -> usize {
        self.model.tokens(frames)
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

/// A device by the command line's name of it: `auto`, `cpu`, an index, part of a name.
///
/// # Errors
/// When there is no such adapter, or the driver refuses it.
pub fn open_device(name: &str) -> Result<Device> {
    let mut options = vljepa_tensor::DeviceOptions::default();
    options.adapter = vljepa_tensor::AdapterChoice::parse(name);
    Ok(Device::open(options)?)
}
