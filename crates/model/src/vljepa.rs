//! VL-JEPA assembled from its parts (arXiv 2512.10942, §2 and §3.1).

mod config;
#[cfg(not(target_arch = "wasm32"))]
mod save;

pub use config::{
    CropStart, LinearConfig, MemoryConfig, Positions, PredictorConfig, Preprocessing, Recall, TemperatureConfig,
    VlJepaConfig, Words,
};

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::ops::{self, Matmul};
use vljepa_tensor::{Device, Error, Tensor};

use crate::error::{ModelError, Result};
use crate::formats::{WeightSource, check, read_f32};
use crate::layers::{EmbeddingTable, Linear};
use crate::llama::{LlamaConfig, LlamaLayers};
use crate::param::{Builder, Forward, Param, ParamSource, Precision, RandomInit};
use crate::text::Tokens;
use crate::tokenizer::{SpecialTokens, TextTokenizer};
use crate::vjepa2::Vjepa2Encoder;
use crate::y_decoder::{Search, Sentence, YDecoder, YDecoderConfig};
use crate::y_encoder::YEncoder;

/// Epsilon of the L2 normalisation before a memory.
const NORM_EPS: f32 = 1e-12;

/// Between X-Encoder and Predictor free buffers are given back to the driver where more bytes than this are in use and
/// more than [`MUCH_IDLE`] are free. Smaller models would only allocate them again each time.
const LARGE: u64 = 1 << 30;
/// See [`LARGE`].
const MUCH_IDLE: u64 = 64 << 20;

/// X-Encoder, Predictor and Y-Encoder with their projections.
#[derive(Clone, Debug)]
pub struct VlJepa {
    /// The configuration that it was built from.
    pub config: VlJepaConfig,
    member: Member,
    /// Further members of an ensemble.
    others: Vec<Member>,
    /// Texts to vectors, before the head.
    pub y_encoder: YEncoder,
    y_head: Linear,
    logit_scale: Param,
    memory: Option<Param>,
    y_decoder: Option<YDecoder>,
}

/// The parts that parameters belong to. Of an ensemble a part is that of all its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Part {
    /// `x_encoder`: V-JEPA 2.
    XEncoder,
    /// `vision_projection`: from the X-Encoder's width to the Predictor's.
    VisionProjection,
    /// `predictor.embed_tokens`, or `predictor.embed_projection`: the embedding of queries. Without parameters where the table lies on the device in
    /// parts.
    EmbedTokens,
    /// `predictor`: its layers and the norm behind them.
    Predictor,
    /// `predictor_head`: from the Predictor's width to the embedding dimension.
    PredictorHead,
    /// `y_encoder`, with the Dense heads of its own.
    YEncoder,
    /// `y_head`: from the Y-Encoder's vector to the embedding dimension.
    YHead,
    /// `logit_scale`.
    LogitScale,
    /// `y_decoder`, where there is one.
    YDecoder,
    /// `memory`, where there is one.
    Memory,
}

fn of_part<'a>(out: &mut Vec<(Part, &'a Param)>, part: Part, collect: impl FnOnce(&mut Vec<&'a Param>)) {
    let mut params = Vec::new();
    collect(&mut params);
    out.extend(params.into_iter().map(|param| (part, param)));
}

/// What predicts: an X-Encoder and a Predictor.
#[derive(Clone, Debug)]
struct Member {
    x_encoder: Vjepa2Encoder,
    vision_projection: Linear,
    words: QueryWords,
    predictor: LlamaLayers,
    predictor_head: Linear,
}

/// From the ids of a query to the Predictor's tokens.
#[derive(Clone, Debug)]
enum QueryWords {
    Own(EmbeddingTable),
    /// A map of the Y-Encoder's token embedding.
    YEncoder(Linear),
    /// A map of what the Y-Encoder makes of the whole query.
    YEncoderStates(Linear),
}

impl QueryWords {
    fn new(b: &mut Builder<'_>, predictor: &str, c: &VlJepaConfig) -> Result<Self> {
        let p = &c.predictor;
        let width = p.config.hidden_size;
        Ok(match p.words {
            Words::Own => {
                let name = format!("{predictor}.embed_tokens.weight");
                QueryWords::Own(EmbeddingTable::new(b, name, p.config.vocab_size, width)?)
            }
            words @ (Words::YEncoder | Words::YEncoderStates) => {
                let name = format!("{predictor}.embed_projection");
                let map = Linear::new(b, &name, c.y_encoder.config.hidden_size(), width, false)?;
                if words == Words::YEncoder { QueryWords::YEncoder(map) } else { QueryWords::YEncoderStates(map) }
            }
        })
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        match self {
            QueryWords::Own(table) => table.collect(out),
            QueryWords::YEncoder(map) | QueryWords::YEncoderStates(map) => map.collect(out),
        }
    }

    /// The name of a table that lies in parts.
    #[cfg(not(target_arch = "wasm32"))]
    fn in_parts(&self) -> Option<&str> {
        match self {
            QueryWords::Own(table) => table.in_parts(),
            QueryWords::YEncoder(_) | QueryWords::YEncoderStates(_) => None,
        }
    }

    /// `[B, N]` ids → `[B, N, width of the Predictor]`.
    fn forward(&self, f: &Forward, query: &Tokens, model: &VlJepa) -> Result<Var> {
        let (batch, len) = query.shape();
        let words = match self {
            QueryWords::Own(table) => table.forward(f, query.ids())?,
            QueryWords::YEncoder(map) => map.forward(f, &model.y_encoder.text_encoder().words(f, query)?)?,
            QueryWords::YEncoderStates(map) => map.forward(f, &model.y_encoder.text_encoder().forward(f, query)?)?,
        };
        Ok(words.reshape(&[batch, len, model.config.predictor.config.hidden_size])?)
    }
}

impl Member {
    fn new(b: &mut Builder<'_>, c: &VlJepaConfig, prefix: &str) -> Result<Self> {
        let (name, p) = (|part: &str| format!("{prefix}{part}"), &c.predictor);
        let (seen, width) = (c.x_encoder.hidden_size, p.config.hidden_size);
        let (projection, head) = (c.vision_projection.bias, c.predictor_head.bias);
        let predictor = name("predictor");
        Ok(Member {
            x_encoder: Vjepa2Encoder::new(b, &name("x_encoder"), &c.x_encoder)?,
            vision_projection: Linear::new(b, &name("vision_projection"), seen, width, projection)?,
            words: QueryWords::new(b, &predictor, c)?,
            predictor: LlamaLayers::new(b, &predictor, &p.config, 0..p.num_layers, p.causal, p.final_norm)?,
            predictor_head: Linear::new(b, &name("predictor_head"), width, c.embedding_dim, head)?,
        })
    }

    fn collect<'a>(&'a self, out: &mut Vec<(Part, &'a Param)>) {
        of_part(out, Part::XEncoder, |params| self.x_encoder.collect(params));
        of_part(out, Part::VisionProjection, |params| self.vision_projection.collect(params));
        of_part(out, Part::EmbedTokens, |params| self.words.collect(params));
        of_part(out, Part::Predictor, |params| self.predictor.collect(params));
        of_part(out, Part::PredictorHead, |params| self.predictor_head.collect(params));
    }

    /// The Predictor's pooled output for patch tokens `[B, N, D]` and a query, before its head: `[B, its width]`.
    fn pool(&self, f: &Forward, vision: &Var, query: Option<&Tokens>, model: &VlJepa) -> Result<Var> {
        let config = &model.config;
        let vision = self.vision_projection.forward(f, vision)?;
        let (batch, seen) = (vision.shape()[0], vision.shape()[1]);
        let query = query.filter(|q| q.shape().1 > 0);
        let (tokens, mask) = match query {
            None => (vision, None),
            Some(query) => {
                let vocab = config.predictor.config.vocab_size;
                let (count, len) = query.shape();
                if count != batch || query.largest_id() as usize >= vocab || len > config.max_query_tokens {
                    return Err(ModelError::Tensor(Error::Shape {
                        op: "predictor",
                        what: format!(
                            "{count} queries of {len} tokens (largest id {}) for {batch} clips, a vocabulary of {vocab} and at most {} tokens",
                            query.largest_id(),
                            config.max_query_tokens
                        ),
                    }));
                }
                let words = self.words.forward(f, query, model)?;
                let ones = Tensor::from_u32(query.ids().device(), &[batch, seen], &vec![1; batch * seen])?;
                let mask = ops::concat(&[&ones, query.mask()], 1)?;
                (autograd::concat(&[&vision, &words], 1)?, Some(mask))
            }
        };
        let x = self.predictor.forward(f, &tokens, mask.as_ref())?;
        Ok(autograd::masked_mean(&x, mask.as_ref())?)
    }
}

impl VlJepa {
    /// A model with random weights.
    ///
    /// # Errors
    /// When the configuration is not valid, or memory runs out.
    pub fn init(device: &Device, config: VlJepaConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let mut source = RandomInit {
            seed,
            range: config.x_encoder.initializer_range,
            logit_scale: (1.0 / config.temperature.initial).ln() as f32,
        };
        Self::build(device, config, &mut source)
    }

    /// A model with random weights but for the X-Encoder, whose weights are those of `encoder` under V-JEPA 2's names
    /// (`encoder.…`, as [`bare_vjepa2`](crate::weights::bare_vjepa2) gives them).
    ///
    /// # Errors
    /// As [`VlJepa::init`], a model of several members, and tensors that are missing, of another shape or not finite.
    pub fn init_around(
        device: &Device,
        config: VlJepaConfig,
        seed: u64,
        encoder: &(impl WeightSource + ?Sized),
    ) -> Result<Self> {
        config.validate()?;
        if config.members != 1 {
            let what = format!("one X-Encoder for a model of {} members", config.members);
            return Err(ModelError::Tensor(Error::Invalid(what)));
        }
        let model = Self::init(device, config, seed)?;
        let mut params = Vec::new();
        model.member.x_encoder.collect(&mut params);
        for param in params {
            let name = param.name().replacen("x_encoder.", "encoder.", 1);
            let values = read_f32(encoder, &name, param.tensor().shape())?;
            param.tensor().write_f32(&values)?;
        }
        Ok(model)
    }

    /// Gives the model a Y-Decoder with random weights, in place of the one that it has.
    ///
    /// # Errors
    /// When configuration and model do not fit, or memory runs out.
    pub fn with_y_decoder(self, device: &Device, decoder: YDecoderConfig, seed: u64) -> Result<Self> {
        let config = VlJepaConfig { y_decoder: Some(decoder.clone()), ..self.config };
        config.validate()?;
        let mut source = RandomInit { seed, range: decoder.config.initializer_range, logit_scale: 0.0 };
        let b = &mut Builder::new(device, &mut source);
        let width = config.y_encoder.config.hidden_size();
        let y_decoder = Some(YDecoder::new(b, &decoder, config.embedding_dim, width)?);
        Ok(Self { config, y_decoder, ..self })
    }

    /// A model with the weights of a file, which must hold exactly the configured tensors.
    ///
    /// # Errors
    /// When tensors are missing, unexpected, of another shape or not finite.
    pub fn load(device: &Device, config: VlJepaConfig, weights: &(impl WeightSource + ?Sized)) -> Result<Self> {
        Self::load_as(device, config, weights, Precision::F32)
    }

    /// [`VlJepa::load`] with matrices and tables in `precision`.
    ///
    /// # Errors
    /// As [`VlJepa::load`]; also for a number that the precision cannot hold.
    pub fn load_as(
        device: &Device,
        config: VlJepaConfig,
        weights: &(impl WeightSource + ?Sized),
        precision: Precision,
    ) -> Result<Self> {
        config.validate()?;
        check(weights, &config.tensors(), &[])?;
        let mut source = weights;
        Self::build_as(device, config, &mut source, precision)
    }

    /// A model whose parameters come from `source` one by one.
    ///
    /// # Errors
    /// What the source reports.
    pub fn build(device: &Device, config: VlJepaConfig, source: &mut dyn ParamSource) -> Result<Self> {
        Self::build_as(device, config, source, Precision::F32)
    }

    /// [`VlJepa::build`] with matrices and tables in `precision`.
    ///
    /// # Errors
    /// What the source reports, and a number that the precision cannot hold.
    pub fn build_as(
        device: &Device,
        config: VlJepaConfig,
        source: &mut dyn ParamSource,
        precision: Precision,
    ) -> Result<Self> {
        let b = &mut Builder { device, source, precision };
        let c = &config;
        let mut member = |i: usize| Member::new(b, c, &VlJepaConfig::member_prefix(i));
        Ok(VlJepa {
            member: member(0)?,
            others: (1..c.members).map(member).collect::<Result<_>>()?,
            y_encoder: YEncoder::new(b, "y_encoder.", &c.y_encoder)?,
            y_head: Linear::new(b, "y_head", c.y_encoder.output_size(), c.embedding_dim, c.y_head.bias)?,
            logit_scale: b.param("logit_scale", &[1])?,
            memory: match &c.memory {
                Some(memory) => Some(b.param("memory.weight", &[memory.rows, c.embedding_dim])?),
                None => None,
            },
            y_decoder: match &c.y_decoder {
                Some(decoder) => Some(YDecoder::new(b, decoder, c.embedding_dim, c.y_encoder.config.hidden_size())?),
                None => None,
            },
            config,
        })
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.member).chain(&self.others)
    }

    /// Every parameter: member by member, then what the members share.
    pub fn params(&self) -> Vec<&Param> {
        self.params_by_part().into_iter().map(|(_, param)| param).collect()
    }

    /// Every parameter with the part that it belongs to, in the order of [`params`](Self::params).
    pub fn params_by_part(&self) -> Vec<(Part, &Param)> {
        let mut out = Vec::new();
        self.members().for_each(|member| member.collect(&mut out));
        of_part(&mut out, Part::YEncoder, |params| self.y_encoder.collect(params));
        of_part(&mut out, Part::YHead, |params| self.y_head.collect(params));
        out.push((Part::LogitScale, &self.logit_scale));
        if let Some(decoder) = &self.y_decoder {
            of_part(&mut out, Part::YDecoder, |params| decoder.collect(params));
        }
        out.extend(self.memory().map(|memory| (Part::Memory, memory)));
        out
    }

    /// From the Predictor's width to `embedding_dim`; of an ensemble that of the first member.
    pub fn predictor_head(&self) -> &Linear {
        &self.member.predictor_head
    }

    /// From the Y-Encoder's vector to `embedding_dim`.
    pub fn y_head(&self) -> &Linear {
        &self.y_head
    }

    /// From embeddings to sentences, where the model has it.
    pub fn y_decoder(&self) -> Option<&YDecoder> {
        self.y_decoder.as_ref()
    }

    /// Writes a sentence for each of the embeddings `[B, embedding_dim]`, of unit length; `None` without a Y-Decoder. Waits for the
    /// device at each token.
    ///
    /// # Errors
    /// As [`YDecoder::write`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn write(&self, embeddings: &Tensor, search: &Search) -> Result<Option<Vec<Sentence>>> {
        let Some(decoder) = &self.y_decoder else { return Ok(None) };
        decoder.write(embeddings, self.y_encoder.text_encoder(), search).map(Some)
    }

    /// The memory's texts, `[rows, embedding_dim]` ([`MemoryConfig`]).
    pub fn memory(&self) -> Option<&Param> {
        self.memory.as_ref()
    }

    /// ln(1/τ), `[1]`; [`logit_scale`](Self::logit_scale) is its variable in a pass.
    pub fn logit_scale_param(&self) -> &Param {
        &self.logit_scale
    }

    /// The predicted embedding Ŝ_Y, `[B, T, C, H, W]` → `[B, embedding_dim]`, not normalised. One frame is a still.
    ///
    /// Query tokens follow the vision tokens; without a query everything is predicted from vision. The Predictor's
    /// output is averaged over vision tokens and real query tokens. Several members give the mean of their unit
    /// predictions. Outside of training a memory draws the result towards its texts ([`MemoryConfig`]).
    ///
    /// # Errors
    /// When frames and query do not fit the configuration or each other.
    pub fn predict(&self, f: &Forward, frames: &Tensor, query: Option<&Tokens>) -> Result<Var> {
        let predict = |m: &Member| -> Result<Var> {
            let vision = m.x_encoder.forward(f, frames)?;
            // The Predictor needs buffers of other sizes: those that a large encoder leaves would lie idle.
            let memory = frames.device().memory();
            if !f.is_training() && memory.in_use > LARGE && memory.free > MUCH_IDLE {
                frames.device().trim()?;
            }
            m.predictor_head.forward(f, &m.pool(f, &vision, query, self)?)
        };
        let mut prediction = predict(&self.member)?;
        if !self.others.is_empty() {
            prediction = autograd::l2_normalize(&prediction, NORM_EPS)?;
            for other in &self.others {
                prediction = autograd::add(&prediction, &autograd::l2_normalize(&predict(other)?, NORM_EPS)?)?;
            }
            prediction = autograd::scale(&prediction, 1.0 / (1 + self.others.len()) as f32)?;
        }
        self.recalled(f, prediction)
    }

    /// [`VlJepa::predict`] from what the X-Encoder made of the frames ([`VlJepa::encode_frames`]), `[B, N, D]`.
    ///
    /// # Errors
    /// As [`VlJepa::predict`]; also for a model of several members, whose X-Encoders make tokens of their own.
    pub fn predict_tokens(&self, f: &Forward, vision: &Var, query: Option<&Tokens>) -> Result<Var> {
        if !self.others.is_empty() {
            let what = format!("tokens of one X-Encoder for a model of {} members", 1 + self.others.len());
            return Err(ModelError::Tensor(Error::Invalid(what)));
        }
        let member = &self.member;
        let prediction = member.predictor_head.forward(f, &member.pool(f, vision, query, self)?)?;
        self.recalled(f, prediction)
    }

    /// A prediction, drawn towards the texts of a memory outside of training.
    fn recalled(&self, f: &Forward, prediction: Var) -> Result<Var> {
        match (&self.memory, &self.config.memory) {
            (Some(memory), Some(MemoryConfig { scale, share, .. })) if !f.is_training() => {
                recall(prediction.value(), memory.tensor(), Recall { scale: *scale, share: *share })
            }
            _ => Ok(prediction),
        }
    }

    /// Patch tokens of frames by the first member's X-Encoder, `[B, T, C, H, W]` → `[B, N, D]`.
    ///
    /// # Errors
    /// When frames do not fit the configuration.
    pub fn encode_frames(&self, f: &Forward, frames: &Tensor) -> Result<Var> {
        self.member.x_encoder.forward(f, frames)
    }

    /// The pooled output of the first member's Predictor for patch tokens `[B, N, D]` and a query, before its head:
    /// `[B, its width]`.
    ///
    /// # Errors
    /// When tokens and query do not fit.
    pub fn pool_tokens(&self, f: &Forward, vision: &Var, query: Option<&Tokens>) -> Result<Var> {
        self.member.pool(f, vision, query, self)
    }

    /// Gives the model a memory of `config.rows` text embeddings `rows`, row-major and of unit length, in place of the
    /// one that it has.
    ///
    /// # Errors
    /// When rows and configuration do not fit.
    pub fn remember(&mut self, device: &Device, rows: &[f32], config: MemoryConfig) -> Result<()> {
        let next = VlJepaConfig { memory: Some(config), ..self.config.clone() };
        next.validate()?;
        let weight = Tensor::from_f32(device, &[config.rows, next.embedding_dim], rows)?;
        (self.memory, self.config) = (Some(Param::new("memory.weight", weight)), next);
        Ok(())
    }

    /// Takes the memory away.
    pub fn forget(&mut self) {
        (self.memory, self.config.memory) = (None, None);
    }

    /// One vector per text before the head, `[B, N]` ids → `[B, output size of the Y-Encoder]`.
    ///
    /// # Errors
    /// When a text is too long or an id lies outside the vocabulary.
    pub fn pool_text(&self, f: &Forward, tokens: &Tokens) -> Result<Var> {
        self.y_encoder.forward(f, tokens)
    }

    /// The head of the Y-Encoder, `[B, its output size]` → `[B, embedding_dim]`, not normalised.
    ///
    /// # Errors
    /// When the width differs.
    pub fn project_text(&self, f: &Forward, pooled: &Var) -> Result<Var> {
        self.y_head.forward(f, pooled)
    }

    /// The target embedding S_Y, `[B, N]` ids → `[B, embedding_dim]`, not normalised. Outside of training a memory
    /// whose configuration has `text` draws it towards its texts ([`MemoryConfig`]).
    ///
    /// # Errors
    /// As [`VlJepa::pool_text`].
    pub fn encode_text(&self, f: &Forward, tokens: &Tokens) -> Result<Var> {
        let pooled = self.pool_text(f, tokens)?;
        let target = self.project_text(f, &pooled)?;
        match (&self.memory, self.config.memory.and_then(|memory| memory.text)) {
            (Some(memory), Some(how)) if !f.is_training() => recall(target.value(), memory.tensor(), how),
            _ => Ok(target),
        }
    }

    /// ln(1/τ), `[1]`.
    pub fn logit_scale(&self, f: &Forward) -> Var {
        f.var(&self.logit_scale)
    }
}

/// [`MemoryConfig`]: `[B, D]` vectors and `[rows, D]` texts → `[B, D]`.
fn recall(vectors: &Tensor, memory: &Tensor, how: Recall) -> Result<Var> {
    let unit = ops::l2_normalize(vectors, NORM_EPS)?.value;
    let cosines = ops::matmul(&unit, memory, &Matmul::nt().alpha(how.scale as f32))?;
    let recalled = ops::matmul(&ops::softmax(&cosines)?, memory, &Matmul::nn())?;
    let recalled = ops::l2_normalize(&recalled, NORM_EPS)?.value;
    let share = how.share as f32;
    Ok(Var::constant(ops::add(&ops::scale(&unit, 1.0 - share)?, &ops::scale(&recalled, share)?)?))
}

impl TextTokenizer {
    /// The tokenizer of the Predictor's queries, with or without the begin-of-text token as the configuration says;
    /// files without that token keep to their template.
    ///
    /// # Errors
    /// As [`TextTokenizer::with_special_tokens`].
    pub fn for_queries(json: &[u8], config: &VlJepaConfig) -> Result<Self> {
        let special = if config.predictor.query_bos { LlamaConfig::SPECIAL_TOKENS } else { SpecialTokens::None };
        let tokenizer = Self::with_known_tokens(json, config.max_query_tokens, special)?;
        Ok(tokenizer.for_table(config.predictor.config.vocab_size))
    }
}
