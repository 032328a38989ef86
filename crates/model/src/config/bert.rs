//! Configuration of BERT encoders (all-MiniLM-L6-v2 and its relatives).

use super::{Check, MAX_LAYERS, MAX_ROWS, MAX_WIDTH, Specs, TensorSpec, parameter_count, parse};
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// `config.json` of `BertModel`. A key that is absent takes the reference's default (BERT base); others are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// `bert`.
    pub model_type: Option<String>,
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Inner width of the MLP.
    pub intermediate_size: usize,
    /// `gelu`, the exact erf form.
    pub hidden_act: String,
    /// Learned positions, the longest input.
    pub max_position_embeddings: usize,
    /// Rows of the segment embedding; row 0 is used.
    pub type_vocab_size: usize,
    /// Epsilon of every LayerNorm.
    pub layer_norm_eps: f64,
    /// Dropout on hidden states, training only.
    pub hidden_dropout_prob: f64,
    /// Dropout on attention probabilities, training only.
    pub attention_probs_dropout_prob: f64,
    /// Standard deviation at initialisation.
    pub initializer_range: f64,
    /// Token that fills short rows.
    pub pad_token_id: Option<u32>,
    /// `absolute`.
    pub position_embedding_type: String,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            model_type: Some("bert".into()),
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            initializer_range: 0.02,
            pad_token_id: Some(0),
            position_embedding_type: "absolute".into(),
        }
    }
}

impl BertConfig {
    /// all-MiniLM-L6-v2.
    pub fn minilm_l6() -> Self {
        Self { hidden_size: 384, num_hidden_layers: 6, intermediate_size: 1536, ..Self::default() }
    }

    /// Parse a `config.json` and [`validate`](Self::validate) it.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self = parse("bert", json)?;
        config.validate()?;
        Ok(config)
    }

    /// Channels of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    /// Check sizes, divisibility and that nothing unsupported is asked for.
    pub fn validate(&self) -> Result<()> {
        let c = Check("bert");
        c.model_type(self.model_type.as_deref(), "bert")?;
        c.size("vocab_size", self.vocab_size, MAX_ROWS)?;
        c.size("hidden_size", self.hidden_size, MAX_WIDTH)?;
        c.size("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS)?;
        c.size("num_attention_heads", self.num_attention_heads, self.hidden_size)?;
        c.size("intermediate_size", self.intermediate_size, MAX_WIDTH)?;
        c.size("max_position_embeddings", self.max_position_embeddings, MAX_ROWS)?;
        c.size("type_vocab_size", self.type_vocab_size, 1 << 10)?;
        c.divides("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)?;
        c.number("layer_norm_eps", self.layer_norm_eps, 0.0, 1.0)?;
        c.number("initializer_range", self.initializer_range, 0.0, 10.0)?;
        for (key, p) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ] {
            if !(0.0..1.0).contains(&p) {
                return c.fail(format!("`{key}` is {p}, must be in 0..1"));
            }
        }
        c.one_of("hidden_act", &self.hidden_act, &["gelu"])?;
        c.one_of("position_embedding_type", &self.position_embedding_type, &["absolute"])?;
        if let Some(pad) = self.pad_token_id
            && pad as usize >= self.vocab_size
        {
            return c.fail(format!("`pad_token_id` is {pad}, outside the vocabulary of {}", self.vocab_size));
        }
        c.parameters(&self.tensors())
    }

    /// Tensors under the names of `BertModel`, without the pooler, which nothing here uses.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut s = Specs::default();
        let d = self.hidden_size;
        s.add("embeddings.word_embeddings.weight", &[self.vocab_size, d]);
        s.add("embeddings.position_embeddings.weight", &[self.max_position_embeddings, d]);
        s.add("embeddings.token_type_embeddings.weight", &[self.type_vocab_size, d]);
        s.layer_norm("embeddings.LayerNorm", d);
        for i in 0..self.num_hidden_layers {
            let name = format!("encoder.layer.{i}");
            for part in ["query", "key", "value"] {
                s.linear(&format!("{name}.attention.self.{part}"), d, d, true);
            }
            s.linear(&format!("{name}.attention.output.dense"), d, d, true);
            s.layer_norm(&format!("{name}.attention.output.LayerNorm"), d);
            s.linear(&format!("{name}.intermediate.dense"), d, self.intermediate_size, true);
            s.linear(&format!("{name}.output.dense"), self.intermediate_size, d, true);
            s.layer_norm(&format!("{name}.output.LayerNorm"), d);
        }
        s.0
    }

    /// Tensors that BERT checkpoints carry and that loading skips.
    pub const IGNORED: &'static [&'static str] = &["pooler.", "embeddings.position_ids", "cls."];

    /// Parameters, without the pooler.
    pub fn parameters(&self) -> u64 {
        parameter_count(&self.tensors())
    }
}
