//! Embedding in batches with a VL-JEPA and its tokenizer, shared by loaded models and models in training.

use vljepa_data::manifest::Row;
use vljepa_data::video::VideoOptions;
use vljepa_data::{Preprocess, Rgba8Image};
use vljepa_model::{CutTexts, Forward, TextTokenizer, Tokens, VlJepa};
use vljepa_tensor::autograd::Var;
use vljepa_tensor::{Device, Tensor, ops};

use crate::error::{Error, Result};
use crate::features::{Features, RowFeatures};
use crate::rows::normalize_rows;
use crate::texts::{TextBatcher, TextRows, name_of};
use crate::visuals::{Visual, VisualEncoder, batch_of, embed_rows, embed_visuals};

/// The model's name in messages: a model in training has no folder.
const ORIGIN: &str = "model";

/// Embeds texts and pictures in batches with a VL-JEPA and its tokenizer.
#[derive(Clone, Copy, Debug)]
pub struct Embedder<'a> {
    /// The device of the model.
    pub device: &'a Device,
    /// The model.
    pub model: &'a VlJepa,
    /// Tokenizer of the Y-Encoder.
    pub tokenizer: &'a TextTokenizer,
    /// Tokenizer of queries, for a model that takes some.
    pub queries: Option<&'a TextTokenizer>,
    /// What the X-Encoder made of rows of a manifest, where that was kept: rows are then not decoded.
    pub stored: Option<&'a RowFeatures>,
    /// Largest number of texts or pictures in a batch.
    pub batch: usize,
}

impl Embedder<'_> {
    /// Pooled vectors of the Y-Encoder before its head, `[texts, output size of the Y-Encoder]` row-major.
    ///
    /// # Errors
    /// Texts that cannot be split into tokens, and errors of the model.
    pub fn text_features(&self, texts: &[impl AsRef<str>]) -> Result<Vec<f32>> {
        let (f, width) = (Forward::inference(), self.model.config.y_encoder.output_size());
        Ok(self.batcher().run(texts, width, |tokens| self.model.pool_text(&f, tokens))?.values)
    }

    /// Target embeddings, `[texts, embedding_dim]` row-major, L2-normalised; rows of zeros stay zeros.
    ///
    /// # Errors
    /// As [`Embedder::text_features`].
    pub fn texts(&self, texts: &[impl AsRef<str>]) -> Result<Vec<f32>> {
        let mut rows = self.targets(ORIGIN, texts, &mut |_| ())?;
        normalize_rows(&mut rows.values, rows.width);
        Ok(rows.values)
    }

    /// Target embeddings, not normalised. `origin` is the model's name in messages; `progress` receives the number of
    /// texts that are done.
    pub(super) fn targets(
        &self,
        origin: &str,
        texts: &[impl AsRef<str>],
        progress: &mut dyn FnMut(usize),
    ) -> Result<TextRows> {
        let (f, width) = (Forward::inference(), self.model.config.embedding_dim);
        let batcher = TextBatcher { origin, ..self.batcher() };
        batcher.run_with(texts, width, |tokens| self.model.encode_text(&f, tokens), progress)
    }

    /// The texts that are longer than the Y-Encoder takes; they are embedded without their ends.
    ///
    /// # Errors
    /// Texts that cannot be split into tokens.
    pub fn cut(&self, texts: &[impl AsRef<str>]) -> Result<Option<CutTexts>> {
        self.batcher().cut(texts)
    }

    fn batcher(&self) -> TextBatcher<'_> {
        let y = &self.model.config.y_encoder;
        TextBatcher {
            origin: ORIGIN,
            device: self.device,
            tokenizer: self.tokenizer,
            prompt: &y.prompt,
            pad: y.config.pad_token_id(),
            batch: self.batch,
        }
    }

    /// Predicted embeddings of pictures without a query, `[pictures, embedding_dim]` row-major, L2-normalised; rows of
    /// zeros stay zeros.
    ///
    /// # Errors
    /// Pictures that cannot be resized, and errors of the model.
    pub fn pictures(&self, pictures: &[Rgba8Image], preprocess: &Preprocess) -> Result<Vec<f32>> {
        let width = self.model.config.embedding_dim;
        let mut rows = self.stills(pictures, Seeing { embedder: self, preprocess, width, head: true, query: None })?;
        normalize_rows(&mut rows, width);
        Ok(rows)
    }

    /// Predicted embeddings of pictures and clips that a manifest names, `[rows, embedding_dim]` row-major, L2-normalised; rows
    /// of zeros stay zeros. A clip has the frames of the model. Without `query` the model's default query is asked, if it has one.
    /// `progress` receives the number of rows that are done.
    ///
    /// # Errors
    /// The first row whose file cannot be read, with its place; a query for a model that takes none, a query that cannot be
    /// split into tokens, and errors of the model.
    pub fn rows(
        &self,
        rows: &[&Row],
        query: Option<&str>,
        preprocess: &Preprocess,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<f32>> {
        let width = self.model.config.embedding_dim;
        let query = self.query_ids(query.unwrap_or(&self.model.config.predictor.default_query))?;
        if let Some(stored) = self.stored {
            return self.stored_rows(stored, rows, query.as_deref(), progress);
        }
        let encoder = Seeing { embedder: self, preprocess, width, head: true, query };
        let mut rows = embed_rows(&encoder, rows, &VideoOptions::default(), progress)?.into_values();
        normalize_rows(&mut rows, width);
        Ok(rows)
    }

    /// [`Embedder::rows`] from the tokens of the X-Encoder. A row of several views is the mean of their unit predictions.
    fn stored_rows(
        &self,
        stored: &RowFeatures,
        rows: &[&Row],
        query: Option<&[u32]>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<f32>> {
        let (f, width, pad) =
            (Forward::inference(), self.model.config.embedding_dim, self.model.config.predictor.query_pad_id);
        let mut out = Vec::with_capacity(rows.len() * width);
        for (i, row) in rows.iter().enumerate() {
            let Features { views, tokens, width: seen, values } = stored.get(row)?;
            // A row's embedding depends on the row alone: rows are not put together.
            let vision = Tensor::from_f32(self.device, &[views, tokens, seen], &values)?;
            let query = query.map(|ids| Tokens::new(self.device, &vec![ids.to_vec(); views], pad)).transpose();
            let query = query.map_err(Error::model(ORIGIN))?;
            let value = self.model.predict_tokens(&f, &Var::constant(vision), query.as_ref());
            let mut predicted = value.map_err(Error::model(ORIGIN))?.value().to_f32()?;
            normalize_rows(&mut predicted, width);
            let mut mean: Vec<f32> = (0..width).map(|i| predicted.iter().skip(i).step_by(width).sum()).collect();
            normalize_rows(&mut mean, width);
            out.extend(mean);
            progress(i + 1);
        }
        Ok(out)
    }

    /// Predicted embeddings of clips that are asked about, `[asked, embedding_dim]` row-major, L2-normalised; rows of zeros stay
    /// zeros. `pixels` are the clips, `[clips, frames, 3, size, size]`, normalised; each of `asked` is the number of a clip and a
    /// query, where an empty one asks nothing. The X-Encoder sees each clip once, however much it is asked.
    ///
    /// # Errors
    /// Numbers of clips that are not there, a query for a model that takes none, a query that cannot be split into tokens, and
    /// errors of the model.
    pub fn asked(
        &self,
        pixels: &[f32],
        [clips, frames, size]: [usize; 3],
        asked: &[(usize, &str)],
    ) -> Result<Vec<f32>> {
        let (f, model, fault) = (Forward::inference(), self.model, Error::model);
        let seen = Tensor::from_f32(self.device, &[clips, frames, 3, size, size], pixels)?;
        let one_encoder = model.config.members <= 1;
        let tokens = vision_tokens(model, size, frames);
        let vision = if one_encoder {
            let (mut parts, most) = (Vec::new(), batch_of(tokens));
            for first in (0..clips).step_by(most) {
                let part = ops::slice(&seen, 0, first, most.min(clips - first))?;
                parts.push(model.encode_frames(&f, &part).map_err(fault(ORIGIN))?.value().clone());
            }
            ops::concat(&parts.iter().collect::<Vec<_>>(), 0)?
        } else {
            seen
        };
        let shape = vision.shape().to_vec();
        let flat = vision.reshape(&[clips, shape.iter().skip(1).product()])?;
        let mut out = Vec::with_capacity(asked.len() * model.config.embedding_dim);
        for part in asked.chunks(batch_of(tokens + model.config.max_query_tokens)) {
            let numbers: Vec<u32> = part.iter().map(|(clip, _)| *clip as u32).collect();
            let numbers = ops::upload_ids(self.device, &[part.len()], &numbers, clips)?;
            let own = [&[part.len()], shape.get(1..).unwrap_or_default()].concat();
            let own = ops::gather_rows(&flat, &numbers)?.reshape(&own)?;
            let ids = |(_, query): &(usize, &str)| Ok(self.query_ids(query)?.unwrap_or_default());
            let ids = part.iter().map(ids).collect::<Result<Vec<_>>>()?;
            let query = match ids.iter().all(Vec::is_empty) {
                true => None,
                false => Some(Tokens::new(self.device, &ids, model.config.predictor.query_pad_id)),
            };
            let query = query.transpose().map_err(fault(ORIGIN))?;
            let predicted = match one_encoder {
                true => model.predict_tokens(&f, &Var::constant(own), query.as_ref()),
                false => model.predict(&f, &own, query.as_ref()),
            };
            out.extend(predicted.map_err(fault(ORIGIN))?.value().to_f32()?);
        }
        normalize_rows(&mut out, model.config.embedding_dim);
        Ok(out)
    }

    fn query_ids(&self, query: &str) -> Result<Option<Vec<u32>>> {
        if query.is_empty() {
            return Ok(None);
        }
        let Some(tokenizer) = self.queries else {
            return Err(Error::Invalid(format!("{ORIGIN}: it has no query tokenizer, it was trained without queries")));
        };
        let encoded = tokenizer.encode(query).map_err(Error::model(name_of(tokenizer, ORIGIN)))?;
        Ok(Some(encoded.ids))
    }

    /// The input of the Predictor's head for pictures without a query, `[pictures, width of the Predictor]` row-major.
    ///
    /// # Errors
    /// As [`Embedder::pictures`].
    pub fn picture_features(&self, pictures: &[Rgba8Image], preprocess: &Preprocess) -> Result<Vec<f32>> {
        let width = self.model.config.predictor.config.hidden_size;
        self.stills(pictures, Seeing { embedder: self, preprocess, width, head: false, query: None })
    }

    fn stills(&self, pictures: &[Rgba8Image], encoder: Seeing<'_>) -> Result<Vec<f32>> {
        let visuals: Vec<Visual<'_>> = pictures.iter().map(Visual::Still).collect();
        Ok(embed_visuals(&encoder, &visuals)?.into_values())
    }
}

/// Encodes pictures and clips at the input size of `preprocess`.
struct Seeing<'a> {
    embedder: &'a Embedder<'a>,
    preprocess: &'a Preprocess,
    width: usize,
    /// Whether the Predictor's head is applied.
    head: bool,
    /// Token ids of what is asked.
    query: Option<Vec<u32>>,
}

impl VisualEncoder for Seeing<'_> {
    fn preprocess(&self) -> &Preprocess {
        self.preprocess
    }

    fn frames(&self) -> usize {
        self.embedder.model.config.frames()
    }

    fn tubelet(&self) -> usize {
        self.embedder.model.config.x_encoder.tubelet_size
    }

    fn tokens(&self, frames: usize) -> usize {
        vision_tokens(self.embedder.model, self.preprocess.size as usize, frames)
    }

    fn shape(&self, _frames: usize) -> Vec<usize> {
        vec![self.width]
    }

    fn unit(&self) -> bool {
        false
    }

    fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
        let (model, size) = (self.embedder.model, self.preprocess.size as usize);
        let frames = Tensor::from_f32(self.embedder.device, &[count, frames, 3, size, size], pixels)?;
        let f = Forward::inference();
        let pad = model.config.predictor.query_pad_id;
        let ids = self.query.as_ref().map(|ids| vec![ids.clone(); count]);
        let query = ids.map(|ids| Tokens::new(self.embedder.device, &ids, pad)).transpose();
        let query = query.map_err(Error::model(ORIGIN))?;
        let value = match self.head {
            true => model.predict(&f, &frames, query.as_ref()),
            false => model.encode_frames(&f, &frames).and_then(|vision| model.pool_tokens(&f, &vision, query.as_ref())),
        };
        Ok(value.map_err(Error::model(ORIGIN))?.value().to_f32()?)
    }

    fn batch(&self, frames: usize) -> usize {
        (self.embedder.batch * self.tokens(1) / self.tokens(frames).max(1)).max(1)
    }
}

/// Number of vision tokens of a clip with `frames` frames of `size` pixels a side.
pub(super) fn vision_tokens(model: &VlJepa, size: usize, frames: usize) -> usize {
    let encoder = &model.config.x_encoder;
    let side = size / encoder.patch_size.max(1);
    side * side * frames.div_ceil(encoder.tubelet_size.max(1))
}
