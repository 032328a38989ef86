//! Configuration of a whole VL-JEPA: the `config.json` of a model folder.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::llama::LlamaConfig;
use crate::spec::{Check, MAX_ROWS, MAX_WIDTH, Specs, TensorSpec, parameter_count, parse, parse_value, renamed};
use crate::vjepa2::Vjepa2Config;
use crate::y_decoder::YDecoderConfig;
use crate::y_encoder::{YEncoderConfig, default_text_tokens};

/// Most members of an ensemble.
const MAX_MEMBERS: usize = 64;

/// `config.json` of a model folder.
///
/// The paper (arXiv 2512.10942) leaves several choices open; each is a key here, with the default that the field's
/// documentation gives. Keys of ours that are not known are an error, so that a misspelt one does not pass unnoticed;
/// the embedded `x_encoder`, `predictor.config` and `y_encoder.config` are the checkpoints' own files and may carry
/// more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VlJepaConfig {
    /// Version of this format, 1.
    pub format_version: u32,
    /// `vljepa`.
    pub model_type: String,
    /// Dimension in which prediction and target are compared. Paper: 1,536.
    #[serde(default = "default_embedding_dim")]
    pub embedding_dim: usize,
    /// The X-Encoder, V-JEPA 2.
    pub x_encoder: Vjepa2Config,
    /// X-Encoder width → Predictor width. Not stated in the paper: with bias.
    #[serde(default)]
    pub vision_projection: LinearConfig,
    /// The Predictor.
    pub predictor: PredictorConfig,
    /// Predictor width → `embedding_dim`. Not stated: with bias.
    #[serde(default)]
    pub predictor_head: LinearConfig,
    /// The Y-Encoder.
    pub y_encoder: YEncoderConfig,
    /// Y-Encoder's vector → `embedding_dim`. Not stated: with bias.
    #[serde(default)]
    pub y_head: LinearConfig,
    /// Temperature of the InfoNCE loss.
    #[serde(default)]
    pub temperature: TemperatureConfig,
    /// Longest query, in tokens; longer ones are cut. Paper: 512.
    #[serde(default = "default_text_tokens")]
    pub max_query_tokens: usize,
    /// Members of an ensemble: X-Encoders with Predictors of this configuration, each with weights of its own, whose
    /// unit predictions are averaged. Ours; the paper has one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub members: usize,
    /// Texts that predictions are drawn towards. Ours; the paper has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryConfig>,
    /// From embeddings to sentences; absent: the model writes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y_decoder: Option<YDecoderConfig>,
    /// From pictures to pixels.
    #[serde(default)]
    pub preprocessing: Preprocessing,
}

/// A memory of text embeddings M (unit rows, `memory.weight`): outside of training the prediction û, of unit length,
/// becomes (1 − share) û + share · m/‖m‖ with m = softmax(scale · û Mᵀ) M; a target does the same with the numbers of
/// `text`.
///
/// A prediction that was trained only to tell known concepts apart is so placed among their meanings, which helps with
/// unknown ones (ConSE, arXiv 1312.5650; DeCap, arXiv 2303.03032).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryConfig {
    /// Number of texts. A training configuration leaves it out (0): the trained model has one for each training
    /// concept.
    #[serde(default)]
    pub rows: usize,
    /// Factor of the cosines in the softmax.
    pub scale: f64,
    /// Share of the memory in the result, above 0 and at most 1.
    pub share: f64,
    /// The same for targets; absent: they stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Recall>,
    /// 1/τ for predictions with the memory; absent: the trained one, which is overconfident, since a memory brings
    /// predictions nearer to texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inv_temperature: Option<f64>,
}

/// How strongly a memory draws a vector.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recall {
    /// Factor of the cosines in the softmax.
    pub scale: f64,
    /// Share of the memory in the result, above 0 and at most 1.
    pub share: f64,
}

/// A linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearConfig {
    /// Whether it adds a bias.
    pub bias: bool,
}

impl Default for LinearConfig {
    fn default() -> Self {
        Self { bias: true }
    }
}

/// The Predictor: a slice of a Llama's layers over [vision tokens; query tokens].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictorConfig {
    /// The Llama the layers and the token embedding come from.
    pub config: LlamaConfig,
    /// First layer of that Llama. Paper: 8 of 16. In our files the layers are counted from 0.
    #[serde(default = "default_predictor_layers")]
    pub first_layer: usize,
    /// Number of layers. Paper: 8.
    #[serde(default = "default_predictor_layers")]
    pub num_layers: usize,
    /// Whether a token sees only those before it. Paper: no.
    #[serde(default)]
    pub causal: bool,
    /// Whether Llama's final RMSNorm follows the last layer. Not stated: kept.
    #[serde(default = "yes")]
    pub final_norm: bool,
    /// Where the token embedding of queries comes from. Paper: the Llama.
    #[serde(default, skip_serializing_if = "Words::is_own")]
    pub words: Words,
    /// Rotary positions of the concatenation. Not stated: contiguous.
    #[serde(default)]
    pub positions: Positions,
    /// Whether a query starts with the tokenizer's begin-of-text token. Not stated: kept.
    #[serde(default = "yes")]
    pub query_bos: bool,
    /// Token that fills short queries. Not stated (Llama has none): any, since pads are masked and never pooled.
    #[serde(default)]
    pub query_pad_id: u32,
    /// Query where none is given (query-free pretraining, zero-shot classification). Not stated: empty, no tokens at
    /// all.
    #[serde(default)]
    pub default_query: String,
}

/// Where the token embedding of queries comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Words {
    /// A table of the Predictor's own, `predictor.embed_tokens.weight`.
    #[default]
    Own,
    /// The token embedding of the Y-Encoder, through a linear map, `predictor.embed_projection.weight`. Both have the same tokens.
    /// It needs no table, and words that no training query held stand beside those that mean nearly the same.
    YEncoder,
    /// What the Y-Encoder's layers make of the query, one vector a token, through the same linear map. Wordings that no training query
    /// had stand beside those that mean nearly the same.
    YEncoderStates,
}

impl Words {
    fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

/// Rotary positions of vision and query tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Positions {
    /// 0 … N−1 over vision tokens, then query tokens.
    #[default]
    Contiguous,
}

/// Temperature τ of the InfoNCE loss; similarities are multiplied by 1/τ. The paper states none of this.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemperatureConfig {
    /// τ at the start, 0.07.
    pub initial: f64,
    /// Whether ln(1/τ) is trained (CLIP) or fixed.
    pub learned: bool,
    /// Largest 1/τ while training, 100.
    pub max_scale: f64,
}

impl Default for TemperatureConfig {
    fn default() -> Self {
        Self { initial: 0.07, learned: true, max_scale: 100.0 }
    }
}

/// Where the centre cut begins when the margin is an odd number of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropStart {
    /// At the pixel before the half (transformers).
    #[default]
    Down,
    /// At the even one of the two (torchvision, V-JEPA 2's own loaders).
    Even,
}

impl CropStart {
    fn is_down(&self) -> bool {
        *self == Self::Down
    }
}

/// Resize the short side, cut the centre, scale to 0..1, subtract the mean, divide by the deviation (V-JEPA 2's
/// recipe).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocessing {
    /// Side of the square that the model sees; absent: the X-Encoder's `crop_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Length that the short side is resized to before the cut; absent: ⌊size · 256 / 224⌋.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_side: Option<usize>,
    /// Per channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Per channel.
    pub std: [f32; 3],
    /// Whether shrinking averages over the covered pixels (transformers) or samples bilinearly (the authors'
    /// evaluation).
    pub antialias: bool,
    /// Where the cut begins when the margin is an odd number of pixels.
    #[serde(skip_serializing_if = "CropStart::is_down")]
    pub crop_start: CropStart,
    /// Whether the frames of a clip keep fractions of a level when they are resized (torchvision on tensors) or are
    /// rounded to bytes as pictures are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clip_fractions: bool,
    /// Frames drawn uniformly over a clip; absent: the X-Encoder's `frames_per_clip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<usize>,
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self {
            size: None,
            short_side: None,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            antialias: true,
            crop_start: CropStart::Down,
            clip_fractions: false,
            frames: None,
        }
    }
}

fn default_embedding_dim() -> usize {
    1536
}

fn default_predictor_layers() -> usize {
    8
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

impl VlJepaConfig {
    /// A VL-JEPA of the given parts, with every other choice at its default.
    pub fn new(x_encoder: Vjepa2Config, predictor: PredictorConfig, y_encoder: YEncoderConfig) -> Self {
        Self {
            format_version: 1,
            model_type: "vljepa".into(),
            embedding_dim: default_embedding_dim(),
            x_encoder,
            vision_projection: LinearConfig::default(),
            predictor,
            predictor_head: LinearConfig::default(),
            y_encoder,
            y_head: LinearConfig::default(),
            temperature: TemperatureConfig::default(),
            max_query_tokens: default_text_tokens(),
            members: 1,
            memory: None,
            y_decoder: None,
            preprocessing: Preprocessing::default(),
        }
    }

    /// Parses a `config.json` and [`validate`](Self::validate)s it.
    ///
    /// # Errors
    /// [`ModelError::Config`](crate::ModelError::Config), with line and column where the JSON is at fault.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self = parse("vljepa", json)?;
        config.validate()?;
        Ok(config)
    }

    /// [`from_json`](Self::from_json) of JSON that is parsed already.
    ///
    /// # Errors
    /// [`ModelError::Config`](crate::ModelError::Config).
    pub fn from_value(json: &Value) -> Result<Self> {
        let config: Self = parse_value("vljepa", json)?;
        config.validate()?;
        Ok(config)
    }

    /// The text of a `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Config`](crate::ModelError::Config) for a number that JSON cannot hold.
    pub fn to_json(&self) -> Result<String> {
        match serde_json::to_string_pretty(self) {
            Ok(text) => Ok(text + "\n"),
            Err(e) => Check("vljepa").fail(format!("not writable: {e}")),
        }
    }

    /// Side of the square picture that the model sees, pixels.
    pub fn image_size(&self) -> usize {
        self.preprocessing.size.unwrap_or(self.x_encoder.crop_size)
    }

    /// Length that the short side of a picture is resized to, pixels.
    pub fn short_side(&self) -> usize {
        self.preprocessing.short_side.unwrap_or(self.image_size() * 256 / 224)
    }

    /// Frames drawn from a clip.
    pub fn frames(&self) -> usize {
        self.preprocessing.frames.unwrap_or(self.x_encoder.frames_per_clip)
    }

    /// Checks every part, and that the parts fit together.
    ///
    /// # Errors
    /// [`ModelError::Config`](crate::ModelError::Config) with the key at fault.
    pub fn validate(&self) -> Result<()> {
        let c = Check("vljepa");
        if self.format_version != 1 {
            return c.fail(format!("`format_version` is {}, this program reads 1", self.format_version));
        }
        c.model_type(Some(&self.model_type), "vljepa")?;
        self.x_encoder.validate()?;
        self.predictor.config.validate()?;
        self.y_encoder.validate()?;
        c.size("embedding_dim", self.embedding_dim, MAX_WIDTH)?;

        let p = &self.predictor;
        c.size("predictor.num_layers", p.num_layers, p.config.num_hidden_layers)?;
        if p.first_layer > p.config.num_hidden_layers - p.num_layers {
            return c.fail(format!(
                "`predictor`: layers {}..{} asked for, the Llama has {}",
                p.first_layer,
                p.first_layer.saturating_add(p.num_layers),
                p.config.num_hidden_layers
            ));
        }
        if p.query_pad_id as usize >= p.config.vocab_size {
            let (id, n) = (p.query_pad_id, p.config.vocab_size);
            return c.fail(format!("`predictor.query_pad_id` is {id}, outside the vocabulary of {n}"));
        }
        let (own, other) = (p.config.vocab_size, self.y_encoder.config.vocab_size());
        if p.words != Words::Own && own != other {
            return c.fail(format!(
                "`predictor.words` are the Y-Encoder's, which has {other} tokens; `predictor.config.vocab_size` is {own}"
            ));
        }
        c.size("max_query_tokens", self.max_query_tokens, p.config.max_position_embeddings)?;
        if p.words == Words::YEncoderStates {
            c.size("max_query_tokens", self.max_query_tokens, self.y_encoder.config.max_position_embeddings())?;
        }

        let t = &self.temperature;
        c.number("temperature.initial", t.initial, 0.0, 100.0)?;
        c.number("temperature.max_scale", t.max_scale, 0.0, 1e4)?;
        if 1.0 / t.initial > t.max_scale {
            let (initial, max) = (t.initial, t.max_scale);
            return c.fail(format!("`temperature`: 1/{initial} is above `max_scale` ({max})"));
        }

        if let Some(decoder) = &self.y_decoder {
            decoder.check(&c, self.y_encoder.config.vocab_size())?;
        }
        c.size("members", self.members, MAX_MEMBERS)?;
        if let Some(m) = &self.memory {
            c.size("memory.rows", m.rows, MAX_ROWS)?;
            c.number("memory.scale", m.scale, 0.0, 1e4)?;
            c.number("memory.share", m.share, 0.0, 1.0)?;
            if let Some(text) = m.text {
                c.number("memory.text.scale", text.scale, 0.0, 1e4)?;
                c.number("memory.text.share", text.share, 0.0, 1.0)?;
            }
            c.number("memory.inv_temperature", m.inv_temperature.unwrap_or(1.0), 0.0, 1e4)?;
        }

        let size = self.image_size();
        c.size("preprocessing.size", size, 1 << 14)?;
        c.divides("x_encoder.patch_size", self.x_encoder.patch_size, "preprocessing.size", size)?;
        c.size("preprocessing.short_side", self.short_side(), 1 << 15)?;
        if self.short_side() < size {
            let short = self.short_side();
            return c
                .fail(format!("`preprocessing.short_side` ({short}) is below the size that is cut from it ({size})"));
        }
        c.size("preprocessing.frames", self.frames(), 1 << 16)?;
        if self.frames() > 1 {
            c.divides("x_encoder.tubelet_size", self.x_encoder.tubelet_size, "preprocessing.frames", self.frames())?;
        }
        if self.x_encoder.in_chans != 3 {
            return c.fail(format!("`x_encoder.in_chans` is {}, pictures have 3", self.x_encoder.in_chans));
        }
        for (m, s) in self.preprocessing.mean.iter().zip(&self.preprocessing.std) {
            c.number("preprocessing.std", f64::from(*s), 0.0, 1e3)?;
            c.number("preprocessing.mean", f64::from(*m), -1e3, 1e3)?;
        }
        c.parameters(&self.tensors())
    }

    /// What the names of a member's tensors start with: nothing for the first, `members.{i}.` for the others.
    pub fn member_prefix(member: usize) -> String {
        if member == 0 { String::new() } else { format!("members.{member}.") }
    }

    /// Tensors of X-Encoder, Predictor and their projections.
    fn member_tensors(&self) -> Vec<TensorSpec> {
        let mut s = Specs::default();
        let p = &self.predictor.config;
        s.0 = renamed(self.x_encoder.tensors(), "encoder.", "x_encoder.");
        s.linear("vision_projection", self.x_encoder.hidden_size, p.hidden_size, self.vision_projection.bias);
        match self.predictor.words {
            Words::Own => s.add("predictor.embed_tokens.weight", &[p.vocab_size, p.hidden_size]),
            Words::YEncoder | Words::YEncoderStates => {
                s.linear("predictor.embed_projection", self.y_encoder.config.hidden_size(), p.hidden_size, false);
            }
        }
        s.0.extend(renamed(p.layer_tensors(0..self.predictor.num_layers), "model.", "predictor."));
        if self.predictor.final_norm {
            s.add("predictor.norm.weight", &[p.hidden_size]);
        }
        s.linear("predictor_head", p.hidden_size, self.embedding_dim, self.predictor_head.bias);
        s.0
    }

    /// Tensors of a model folder: the checkpoints' names under `x_encoder.`, `predictor.` and `y_encoder.`, the
    /// projections, further members of an ensemble, `logit_scale` = ln(1/τ), and `memory.weight` where there is a
    /// memory.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut s = Specs::default();
        let member = self.member_tensors();
        for i in 0..self.members {
            s.0.extend(renamed(member.clone(), "", &Self::member_prefix(i)));
        }
        s.0.extend(renamed(self.y_encoder.tensors(), "", "y_encoder."));
        s.linear("y_head", self.y_encoder.output_size(), self.embedding_dim, self.y_head.bias);
        s.add("logit_scale", &[1]);
        if let Some(decoder) = &self.y_decoder {
            s.0.extend(decoder.tensors(self.embedding_dim, self.y_encoder.config.hidden_size()));
        }
        if let Some(memory) = &self.memory {
            s.add("memory.weight", &[memory.rows, self.embedding_dim]);
        }
        s.0
    }

    /// All parameters.
    pub fn parameters(&self) -> u64 {
        parameter_count(&self.tensors())
    }

    /// Parameters of the Predictor as the paper counts them ("490M"): layers, final norm, vision projection and head,
    /// without the token embedding.
    pub fn predictor_parameters(&self) -> u64 {
        let counted = ["predictor.layers.", "predictor.norm.", "vision_projection.", "predictor_head."];
        let tensors: Vec<_> =
            self.tensors().into_iter().filter(|t| counted.iter().any(|p| t.name.starts_with(p))).collect();
        parameter_count(&tensors)
    }
}
