//! Stand-ins for what other crates are about to offer, under their names. To switch over: `use crate::shim::tensor::…` →
//! `use vljepa_tensor::autograd::…`, `use crate::shim::model::…` → `use vljepa_model::Part` (the extension traits go),
//! `use crate::shim::embed::…` → `use vljepa_embed::…`; then delete this file.

/// To be `vljepa_tensor::autograd`.
pub mod tensor {
    use vljepa_tensor::autograd::{self, Var};
    use vljepa_tensor::ops::{Contrast, Duplicates, Layout};
    use vljepa_tensor::{Result, Tensor};

    /// Options of [`info_nce`].
    #[derive(Clone, Copy, Debug)]
    pub struct InfoNce<'a> {
        eps: f32,
        targets_normalised: bool,
        weights: Option<&'a Tensor>,
        contrast: Contrast<'a>,
    }

    impl<'a> InfoNce<'a> {
        /// Predictions against the targets of their own batch, both directions.
        pub fn bidirectional() -> Self {
            Self { eps: 1e-12, targets_normalised: false, weights: None, contrast: Contrast::bidirectional() }
        }

        /// Predictions against a bank of texts; row `i` belongs to text `targets[i]`.
        pub fn to_bank(targets: &'a Tensor) -> Self {
            Self { contrast: Contrast::to_bank(targets), ..Self::bidirectional() }
        }

        /// Says what columns of equal keys are to each other.
        pub fn duplicates(mut self, duplicates: Duplicates, keys: &'a Tensor) -> Self {
            self.contrast = self.contrast.duplicates(duplicates, keys);
            self
        }

        /// Caps the scale 1/τ.
        pub fn max_scale(mut self, max_scale: f32) -> Self {
            self.contrast = self.contrast.max_scale(max_scale);
            self
        }

        /// Takes targets whose rows are normalised already.
        pub fn targets_normalised(mut self) -> Self {
            self.targets_normalised = true;
            self
        }

        /// Weight of each row's loss, f32 `[rows]`.
        pub fn weights(mut self, weights: &'a Tensor) -> Self {
            self.weights = Some(weights);
            self
        }
    }

    /// Result of [`info_nce`].
    #[derive(Clone, Debug)]
    pub struct InfoNceLoss {
        /// The loss, `[1]`.
        pub loss: Var,
        /// The normalised predictions.
        pub prediction: Var,
        /// The normalised targets.
        pub target: Var,
    }

    /// InfoNCE; see `vljepa_tensor::autograd::info_nce`.
    ///
    /// # Errors
    /// What the operators report.
    pub fn info_nce(p: &Var, y: &Var, log_scale: &Var, options: &InfoNce<'_>) -> Result<InfoNceLoss> {
        let prediction = autograd::l2_normalize(p, options.eps)?;
        let target = if options.targets_normalised { y.clone() } else { autograd::l2_normalize(y, options.eps)? };
        let cosine = autograd::matmul(&prediction, &target, Layout::Nt)?;
        let loss = match options.weights {
            None => autograd::contrast(&cosine, log_scale, &options.contrast)?,
            Some(weights) => weighted(&cosine, log_scale, weights, &options.contrast)?,
        };
        Ok(InfoNceLoss { loss, prediction, target })
    }

    /// Row by row; slow.
    fn weighted(cosine: &Var, log_scale: &Var, weights: &Tensor, options: &Contrast<'_>) -> Result<Var> {
        let weights = weights.to_f32()?;
        let total: f32 = weights.iter().sum();
        let own = match options.targets {
            Some(targets) => targets.to_u32()?,
            None => (0..weights.len() as u32).collect(),
        };
        let mut matrices = vec![cosine.clone()];
        if options.bidirectional {
            matrices.push(autograd::transpose(cosine)?);
        }
        let mut sum: Option<Var> = None;
        for matrix in &matrices {
            for (i, (weight, own)) in weights.iter().zip(&own).enumerate() {
                let own = Tensor::from_u32(cosine.value().device(), &[1], &[*own])?;
                let one = Contrast::to_bank(&own).max_scale(options.max_scale);
                let one = match options.keys {
                    Some(keys) => one.duplicates(options.duplicates, keys),
                    None => one,
                };
                let row = autograd::contrast(&autograd::slice(matrix, 0, i, 1)?, log_scale, &one)?;
                let row = autograd::scale(&row, weight / total / matrices.len() as f32)?;
                sum = Some(match sum {
                    Some(sum) => autograd::add(&sum, &row)?,
                    None => row,
                });
            }
        }
        sum.ok_or_else(|| vljepa_tensor::Error::Invalid("no rows".into()))
    }
}

/// To be `vljepa_model`.
pub mod model {
    use vljepa_model::config::YEncoderKind;
    use vljepa_model::{Param, VlJepa};

    /// Which part of a VL-JEPA a parameter belongs to.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[allow(missing_docs)] // the names say it
    pub enum Part {
        XEncoder,
        VisionProjection,
        EmbedTokens,
        Predictor,
        PredictorHead,
        YEncoder,
        YHead,
        LogitScale,
        Memory,
    }

    /// A linear layer.
    #[derive(Clone, Copy, Debug)]
    pub struct Linear<'a>(&'a Param, Option<&'a Param>);

    impl<'a> Linear<'a> {
        /// `[out, in]`.
        pub fn weight(&self) -> &'a Param {
            self.0
        }

        /// `[out]`.
        pub fn bias(&self) -> Option<&'a Param> {
            self.1
        }
    }

    /// Accessors of a model.
    pub trait VlJepaParts {
        /// Every parameter with its part.
        fn params_by_part(&self) -> Vec<(Part, &Param)>;
        /// The Predictor's head of the first member.
        fn predictor_head(&self) -> Linear<'_>;
        /// The Y-Encoder's head.
        fn y_head(&self) -> Linear<'_>;
    }

    fn part(name: &str) -> Part {
        let name = match name.strip_prefix("members.") {
            Some(rest) => rest.split_once('.').map_or(rest, |(_, name)| name),
            None => name,
        };
        match name.split('.').next().unwrap_or_default() {
            "x_encoder" => Part::XEncoder,
            "vision_projection" => Part::VisionProjection,
            "predictor" if name.starts_with("predictor.embed_tokens.") => Part::EmbedTokens,
            "predictor" => Part::Predictor,
            "predictor_head" => Part::PredictorHead,
            "y_encoder" => Part::YEncoder,
            "y_head" => Part::YHead,
            "logit_scale" => Part::LogitScale,
            _ => Part::Memory,
        }
    }

    fn linear<'a>(model: &'a VlJepa, name: &str) -> Linear<'a> {
        let params = model.params();
        let find = |end: &str| params.iter().find(|p| p.name() == format!("{name}.{end}")).copied();
        Linear(find("weight").unwrap_or(params[0]), find("bias"))
    }

    impl VlJepaParts for VlJepa {
        fn params_by_part(&self) -> Vec<(Part, &Param)> {
            self.params().into_iter().map(|param| (part(param.name()), param)).collect()
        }

        fn predictor_head(&self) -> Linear<'_> {
            linear(self, "predictor_head")
        }

        fn y_head(&self) -> Linear<'_> {
            linear(self, "y_head")
        }
    }

    /// Accessors of a parameter.
    pub trait ParamParts {
        /// Whether it is a table that is looked up in by id and maps no activations.
        fn is_table(&self) -> bool;
    }

    impl ParamParts for Param {
        fn is_table(&self) -> bool {
            self.name() == "y_encoder.embed_tokens.weight"
        }
    }

    /// Names of architectures.
    pub trait Title {
        /// The name that people know it by.
        fn title(self) -> &'static str;
    }

    impl Title for YEncoderKind {
        fn title(self) -> &'static str {
            match self {
                YEncoderKind::Bert => "BERT",
                YEncoderKind::Gemma3 => "Gemma 3",
                YEncoderKind::Qwen3 => "Qwen 3",
                _ => "text encoder",
            }
        }
    }
}

/// To be `vljepa_embed`.
pub mod embed {
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
            let mut rows = self
                .in_token_batches(texts, dim, |f, tokens| Ok(self.model.encode_text(f, tokens)?.value().to_f32()?))?;
            normalize_rows(&mut rows, dim);
            Ok(rows)
        }

        /// Which texts are longer than the Y-Encoder takes, and so are embedded without their ends.
        ///
        /// # Errors
        /// Texts that cannot be split into tokens.
        pub fn cut(&self, texts: &[impl AsRef<str>]) -> Result<Option<CutTexts>> {
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
            let mut rows =
                self.in_picture_batches(pictures, preprocess, |frames| self.model.predict(&f, frames, None))?;
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
}
