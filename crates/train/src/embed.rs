//! Embeddings of many texts and pictures, in batches, on the host.

use vljepa_data::{Filter, Preprocess, ResizeRule, Rgba8Image};
use vljepa_model::config::{CropStart, VlJepaConfig};
use vljepa_model::{CutTexts, Forward, TextTokenizer, Tokens, VlJepa};
use vljepa_tensor::autograd::Var;
use vljepa_tensor::{Device, Tensor};

use crate::error::Result;
use crate::metrics::normalize_rows;

/// How pictures become what the model sees.
pub fn preprocess(config: &VlJepaConfig) -> Preprocess {
    let p = &config.preprocessing;
    Preprocess {
        resize: ResizeRule::ShortestSide(config.short_side() as u32),
        filter: Filter::Bilinear,
        mean: p.mean,
        std: p.std,
        crop_start: match p.crop_start {
            CropStart::Down => vljepa_data::CropStart::Down,
            CropStart::Even => vljepa_data::CropStart::Even,
        },
        fractions: p.clip_fractions,
        ..Preprocess::square(config.image_size() as u32)
    }
}

/// A model with its tokenizer, for embedding in batches.
#[derive(Clone, Copy, Debug)]
pub struct Embedder<'a> {
    /// Where the model is.
    pub device: &'a Device,
    /// The model.
    pub model: &'a VlJepa,
    /// Tokenizer of the Y-Encoder.
    pub tokenizer: &'a TextTokenizer,
    /// Texts or pictures in a batch.
    pub batch: usize,
}

impl Embedder<'_> {
    /// Pooled vectors of the Y-Encoder before its head, `[N, its output size]` row-major.
    ///
    /// # Errors
    /// Texts that cannot be split into tokens, and what the model reports.
    pub fn text_features(&self, texts: &[impl AsRef<str>]) -> Result<Vec<f32>> {
        self.in_token_batches(texts, self.model.config.y_encoder.output_size(), |f, tokens| {
            Ok(self.model.pool_text(f, tokens)?.value().to_f32()?)
        })
    }

    /// Target embeddings, `[N, embedding_dim]` row-major, L2-normalised.
    ///
    /// # Errors
    /// As [`Embedder::text_features`].
    pub fn texts(&self, texts: &[impl AsRef<str>]) -> Result<Vec<f32>> {
        let dim = self.model.config.embedding_dim;
        let mut rows =
            self.in_token_batches(texts, dim, |f, tokens| Ok(self.model.encode_text(f, tokens)?.value().to_f32()?))?;
        normalize_rows(&mut rows, dim);
        Ok(rows)
    }

    /// Which texts are longer than the Y-Encoder takes, and so are embedded without their ends.
    ///
    /// # Errors
    /// Texts that cannot be split into tokens.
    pub(crate) fn cut(&self, texts: &[impl AsRef<str>]) -> Result<Option<CutTexts>> {
        Ok(self.tokenizer.encode_all(&self.model.config.y_encoder.prompt, texts)?.1)
    }

    /// Batches of texts of like length, so that little is padded; the result is in the order of `texts`.
    fn in_token_batches(
        &self,
        texts: &[impl AsRef<str>],
        width: usize,
        run: impl Fn(&Forward, &Tokens) -> Result<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        let y = &self.model.config.y_encoder;
        let (ids, _) = self.tokenizer.encode_all(&y.prompt, texts)?;
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&i| (ids[i].len(), i));
        let mut rows = vec![0.0; texts.len() * width];
        for part in order.chunks(self.batch.max(1)) {
            let batch: Vec<Vec<u32>> = part.iter().map(|&i| ids[i].clone()).collect();
            let tokens = Tokens::new(self.device, &batch, y.config.pad_token_id())?;
            let values = run(&Forward::inference(), &tokens)?;
            for (&i, row) in part.iter().zip(values.chunks_exact(width)) {
                rows[i * width..(i + 1) * width].copy_from_slice(row);
            }
        }
        Ok(rows)
    }

    /// Predicted embeddings of stills without a query, `[N, embedding_dim]` row-major, L2-normalised.
    ///
    /// # Errors
    /// Pictures that cannot be resized, and what the model reports.
    pub fn pictures(&self, pictures: &[Rgba8Image], preprocess: &Preprocess) -> Result<Vec<f32>> {
        let f = Forward::inference();
        let mut rows = self.in_picture_batches(pictures, preprocess, |frames| self.model.predict(&f, frames, None))?;
        normalize_rows(&mut rows, self.model.config.embedding_dim);
        Ok(rows)
    }

    /// What the Predictor's head sees of stills without a query, `[N, the Predictor's width]` row-major.
    ///
    /// # Errors
    /// As [`Embedder::pictures`].
    pub fn picture_features(&self, pictures: &[Rgba8Image], preprocess: &Preprocess) -> Result<Vec<f32>> {
        let f = Forward::inference();
        self.in_picture_batches(pictures, preprocess, |frames| {
            self.model.pool_tokens(&f, &self.model.encode_frames(&f, frames)?, None)
        })
    }

    fn in_picture_batches(
        &self,
        pictures: &[Rgba8Image],
        preprocess: &Preprocess,
        run: impl Fn(&Tensor) -> vljepa_model::Result<Var>,
    ) -> Result<Vec<f32>> {
        let size = preprocess.size as usize;
        let mut rows = Vec::new();
        for part in pictures.chunks(self.batch.max(1)) {
            let pixels = preprocess.batch(&part.iter().collect::<Vec<_>>())?;
            let frames = Tensor::from_f32(self.device, &[part.len(), 1, 3, size, size], &pixels)?;
            rows.extend(run(&frames)?.value().to_f32()?);
        }
        Ok(rows)
    }
}

/// The same preprocessing at another size: the short side keeps its proportion to the cut.
pub fn at_size(preprocess: &Preprocess, size: u32) -> Preprocess {
    let resize = match preprocess.resize {
        ResizeRule::ShortestSide(side) => {
            let scaled = u64::from(side) * u64::from(size) / u64::from(preprocess.size.max(1));
            ResizeRule::ShortestSide((scaled as u32).max(size))
        }
        other => other,
    };
    Preprocess { size, resize, ..preprocess.clone() }
}
