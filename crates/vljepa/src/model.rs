//! A model on a device, from pictures and texts to unit vectors.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use vljepa_data::emoji::EmojiVendors;
use vljepa_data::video::{Rounding, VideoReader, is_video, uniform};
use vljepa_data::{Limits, Preprocess, Rgba8Image, decode_file};
use vljepa_model::config::VlJepaConfig;
use vljepa_model::weights::{WeightSource, read_f32};
use vljepa_model::{Forward, Precision, TextTokenizer, Tokens, VlJepa};
use vljepa_tensor::{Device, Tensor};
use vljepa_train::{Embedder, EmojiVendorsOptions, EmojiVendorsReport, preprocess};

use crate::embeddings::Embeddings;
use crate::error::{Error, Result};
use crate::folder::{ModelFolder, Weights};

/// Vision tokens of one batch; enough to fill a GPU with a small model and little enough memory for a large one.
const BATCH_TOKENS: usize = 4096;
const MAX_BATCH: usize = 64;
/// Texts are short.
const TEXT_BATCH: usize = 64;

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

    /// Clips of that many frames that go through the model together.
    fn batch(&self, frames: usize) -> usize {
        let encoder = &self.config().x_encoder;
        let side = self.config().image_size() / encoder.patch_size.max(1);
        let tokens = side * side * frames.div_ceil(encoder.tubelet_size.max(1));
        (BATCH_TOKENS / tokens.max(1)).clamp(1, MAX_BATCH)
    }

    /// Predicted embeddings of picture and video files, in their order; of a video, as many frames as the model takes, evenly
    /// from the first to the last. `query` is what is asked about them; `done` hears how many are done.
    ///
    /// # Errors
    /// A file that is neither, a query for a model that takes none, and what the device reports.
    pub fn embed_files(
        &self,
        files: &[PathBuf],
        query: Option<&str>,
        mut done: impl FnMut(usize),
    ) -> Result<Embeddings> {
        let query = self.query_ids(query)?;
        let mut out = Embeddings::new(self.dim());
        let moving: Vec<bool> = files.iter().map(is_video).collect::<std::result::Result<_, _>>()?;
        let mut rest = files;
        for run in moving.chunk_by(|a, b| a == b) {
            let (files, after) = rest.split_at(run.len());
            rest = after;
            let frames = if run[0] { self.config().frames() } else { 1 };
            for batch in files.chunks(self.batch(frames)) {
                let read = |path: &PathBuf| -> Result<Vec<f32>> {
                    if run[0] { self.clip(path, frames) } else { self.pixels(&decode_file(path, &Limits::default())?) }
                };
                let pixels: Vec<Vec<f32>> = batch.par_iter().map(read).collect::<Result<_>>()?;
                let rows = self.predict(&pixels.concat(), batch.len(), frames, query.as_deref())?;
                out.extend(&rows, |i| batch[i].display().to_string())?;
                done(out.rows());
            }
        }
        Ok(out)
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
        let query = self.query_ids(query)?;
        let mut out = Embeddings::new(self.dim());
        for batch in pictures.chunks(self.batch(1)) {
            let pixels: Vec<Vec<f32>> = batch.par_iter().map(|p| self.pixels(p)).collect::<Result<_>>()?;
            let rows = self.predict(&pixels.concat(), batch.len(), 1, query.as_deref())?;
            let first = out.rows();
            out.extend(&rows, |i| format!("picture {}", first + i))?;
            done(out.rows());
        }
        Ok(out)
    }

    /// Target embeddings of texts, in their order.
    ///
    /// # Errors
    /// What the device reports.
    pub fn embed_texts(&self, texts: &[String], mut done: impl FnMut(usize)) -> Result<Embeddings> {
        let prompt = &self.config().y_encoder.prompt;
        let encode = |t: &String| self.target.encode(&format!("{prompt}{t}")).map_err(Error::model(&self.origin));
        let ids: Vec<Vec<u32>> = texts.iter().map(encode).collect::<Result<_>>()?;
        // Texts of like length go together, so that little is spent on padding.
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&i| ids[i].len());
        let pad = self.config().y_encoder.config.pad_token_id();
        let mut out = Embeddings::new(self.dim());
        for batch in order.chunks(TEXT_BATCH) {
            let rows: Vec<Vec<u32>> = batch.iter().map(|&i| ids[i].clone()).collect();
            if let Some(i) = rows.iter().position(Vec::is_empty) {
                return Err(Error::Invalid(format!("the text {:?} has no tokens", texts[batch[i]])));
            }
            let tokens = Tokens::new(&self.device, &rows, pad).map_err(Error::model(&self.origin))?;
            let value = self.vljepa.encode_text(&Forward::inference(), &tokens).map_err(Error::model(&self.origin))?;
            out.extend(&value.value().to_f32()?, |i| format!("the text {:?}", texts[batch[i]]))?;
            done(out.rows());
        }
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, &i)| place[i] = at);
        Ok(out.select(&place))
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
        Ok(vljepa_train::emoji_vendors(&embedder, &self.preprocess, set, options, &mut progress)?)
    }

    fn pixels(&self, picture: &Rgba8Image) -> Result<Vec<f32>> {
        Ok(self.preprocess.run(picture)?)
    }

    /// `[frames, 3, size, size]` of a video; frames are scaled as they are decoded, so that only one is held at full size.
    fn clip(&self, path: &Path, frames: usize) -> Result<Vec<f32>> {
        let mut reader = VideoReader::open(path)?;
        let total = reader.count()?;
        let mut pixels = Vec::new();
        let mut seen: Option<(usize, Vec<f32>)> = None;
        for index in uniform(total, frames, Rounding::Down) {
            let values = match seen.take() {
                Some((last, values)) if last == index => values,
                _ => {
                    reader.seek(index as u64)?;
                    let frame = reader.next_frame()?;
                    let frame = frame.ok_or_else(|| Error::content(path, format!("frame {index} is missing")))?;
                    self.preprocess.clip(&[frame.rgb])?
                }
            };
            pixels.extend_from_slice(&values);
            seen = Some((index, values));
        }
        if pixels.is_empty() {
            return Err(Error::content(path, "the video has no frames"));
        }
        Ok(pixels)
    }

    /// `pixels`: `[count, frames, 3, size, size]` → `[count, dim]`, not normalised.
    fn predict(&self, pixels: &[f32], count: usize, frames: usize, query: Option<&[u32]>) -> Result<Vec<f32>> {
        let size = self.preprocess.size as usize;
        let frames = Tensor::from_f32(&self.device, &[count, frames, 3, size, size], pixels)?;
        let pad = self.config().predictor.query_pad_id;
        let tokens = query
            .map(|ids| Tokens::new(&self.device, &vec![ids.to_vec(); count], pad))
            .transpose()
            .map_err(Error::model(&self.origin))?;
        let value =
            self.vljepa.predict(&Forward::inference(), &frames, tokens.as_ref()).map_err(Error::model(&self.origin))?;
        Ok(value.value().to_f32()?)
    }

    /// The tokens of a query; the configuration's default where none is given; none where that is empty.
    fn query_ids(&self, query: Option<&str>) -> Result<Option<Vec<u32>>> {
        let text = query.unwrap_or(&self.config().predictor.default_query);
        if text.is_empty() {
            return Ok(None);
        }
        match &self.query {
            Some(tokenizer) => tokenizer.encode(text).map(Some).map_err(Error::model(&self.origin)),
            None => Err(Error::Invalid(format!(
                "{}: the model has no query tokenizer, it was trained without queries; leave --query out",
                self.origin
            ))),
        }
    }
}

/// The picture and video files that inputs name: files as they are, folders searched, in the order given.
///
/// # Errors
/// A path that does not exist, a folder without pictures, nothing at all.
pub fn picture_files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for input in inputs {
        let found = vljepa_data::find_media(input)?;
        if found.is_empty() {
            return Err(Error::content(input, no_pictures()));
        }
        files.extend(found);
    }
    Ok(files)
}

fn no_pictures() -> String {
    let (pictures, videos) = (vljepa_data::PICTURE_EXTENSIONS, vljepa_data::video::VIDEO_EXTENSIONS);
    format!("no pictures in this folder, and no videos ({}, {})", pictures.join(", "), videos.join(", "))
}

/// Whether a picture, or the first frame of a video, can be read.
pub(crate) fn check_file(path: &Path) -> Result<()> {
    if !is_video(path)? {
        decode_file(path, &Limits::default())?;
        return Ok(());
    }
    match VideoReader::open(path)?.next_frame()? {
        Some(_) => Ok(()),
        None => Err(Error::content(path, "the video has no frames")),
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
