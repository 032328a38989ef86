//! What a text encoder is, and what an architecture of text encoders says of itself.
//!
//! An architecture is one file, in which its configuration implements [`Architecture`], and one line in the table of
//! `architectures.rs`.

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vljepa_tensor::Error;
use vljepa_tensor::autograd::Var;

use crate::error::{ModelError, Result};
#[cfg(doc)]
use crate::layers::EmbeddingTable;
use crate::param::{Builder, Forward, Param};
use crate::spec::TensorSpec;
use crate::text::Tokens;
use crate::tokenizer::SpecialTokens;

/// Token ids to token vectors.
pub trait TextEncoder: Debug + Send + Sync {
    /// Width of a token vector.
    fn hidden_size(&self) -> usize;

    /// Rows of the token embedding.
    fn vocab_size(&self) -> usize;

    /// Longest text, in tokens.
    fn max_tokens(&self) -> usize;

    /// Token vectors, `[B, N]` ids → `[B, N, D]`. Padding is not attended to; its own vectors mean nothing.
    ///
    /// # Errors
    /// When a text is too long, or an id lies outside the vocabulary.
    fn forward(&self, f: &Forward, tokens: &Tokens) -> Result<Var>;

    /// Rows of the token embedding, `[B, N]` ids → `[B, N, D]`.
    ///
    /// # Errors
    /// When an id lies outside the vocabulary.
    fn words(&self, f: &Forward, tokens: &Tokens) -> Result<Var>;

    /// The token embedding `[vocabulary, width]`, by which a Y-Decoder tells words apart; `None` where it lies on the device in parts.
    fn word_table(&self) -> Option<&Param>;

    /// Every parameter, appended to `out`.
    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>);

    /// Every parameter.
    fn params(&self) -> Vec<&Param> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    /// The name of a token embedding that lies on the device in parts, and so is no parameter ([`EmbeddingTable`]).
    fn table_in_parts(&self) -> Option<&str> {
        None
    }

    /// Names and shapes of the parameters.
    fn tensors(&self) -> Vec<TensorSpec> {
        let spec = |p: &Param| TensorSpec { name: p.name().to_owned(), shape: p.tensor().shape().to_vec() };
        self.params().into_iter().map(spec).collect()
    }

    /// Checks that ids and length are within what the encoder takes.
    ///
    /// # Errors
    /// As [`TextEncoder::forward`].
    fn check(&self, tokens: &Tokens) -> Result<()> {
        let bad = |what| ModelError::Tensor(Error::Shape { op: "text encoder", what });
        let (_, len) = tokens.shape();
        if len > self.max_tokens() {
            return Err(bad(format!("{len} tokens, the model has {} positions", self.max_tokens())));
        }
        self.check_ids(tokens)
    }

    /// Checks that ids are within the vocabulary.
    ///
    /// # Errors
    /// As [`TextEncoder::words`].
    fn check_ids(&self, tokens: &Tokens) -> Result<()> {
        let (id, rows) = (tokens.largest_id(), self.vocab_size());
        if id as usize >= rows {
            let what = format!("token id {id} outside the vocabulary of {rows}");
            return Err(ModelError::Tensor(Error::Shape { op: "text encoder", what }));
        }
        Ok(())
    }
}

/// From token vectors to one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pooling {
    /// Mean over the real tokens.
    #[default]
    Mean,
    /// The last real token.
    Last,
    /// The first token, `[CLS]` of a BERT.
    Cls,
}

/// What holds for every model of an architecture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// The name that people know it by.
    pub(crate) title: &'static str,
    /// `model_type` in its `config.json` on the model hub.
    pub(crate) model_type: &'static str,
    /// How the published encoders pool.
    pub(crate) pooling: Pooling,
    /// What stands around a text.
    pub(crate) special_tokens: SpecialTokens,
    /// Bare name of the token embedding.
    pub(crate) token_embedding: &'static str,
    /// What stands before the bare names in checkpoints of larger models, of which the encoder is a part.
    pub(crate) prefix: &'static str,
    /// Starts of the bare names of tensors that checkpoints carry and the encoder does not have.
    pub(crate) ignored: &'static [&'static str],
}

/// An architecture of text encoders, by the configuration of one. Bare names are those of the checkpoint without a
/// prefix.
pub(crate) trait Architecture: Debug {
    /// What holds for every model of it.
    fn facts() -> &'static Facts
    where
        Self: Sized;

    /// Width of a token vector.
    fn hidden_size(&self) -> usize;

    /// Depth.
    fn num_hidden_layers(&self) -> usize;

    /// Rows of the token embedding.
    fn vocab_size(&self) -> usize;

    /// Longest text, in tokens.
    fn max_position_embeddings(&self) -> usize;

    /// Channels of all query heads together.
    fn attention_width(&self) -> usize;

    /// Token that fills short rows.
    fn pad_token_id(&self) -> u32;

    /// The tensors by their bare names.
    fn tensors(&self) -> Vec<TensorSpec>;

    /// Checks sizes, divisibility and that nothing unsupported is asked for.
    fn validate(&self) -> Result<()>;

    /// The encoder, from parameters with the bare names behind `prefix`. The configuration is valid.
    fn build(&self, b: &mut Builder<'_>, prefix: &str) -> Result<Arc<dyn TextEncoder>>;
}
