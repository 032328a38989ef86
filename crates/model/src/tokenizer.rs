//! Texts to token ids, by `tokenizer.json`.

use tokenizers::PostProcessor;

use crate::config::{VlJepaConfig, YEncoderConfig, YEncoderKind};
use crate::error::{ModelError, Result};

/// Which special tokens stand around a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecialTokens {
    /// Those of the file's own template (BERT: `[CLS]`, `[SEP]`).
    #[default]
    Template,
    /// None.
    None,
    /// `<|begin_of_text|>` before it, whatever the file says.
    Llama3,
    /// `<bos>` before and `<eos>` after it, as EmbeddingGemma frames; files of the language models add `<bos>` alone.
    Gemma3,
    /// `<|endoftext|>` after it, as Qwen3-Embedding frames; files of the language models add nothing.
    Qwen3,
}

impl SpecialTokens {
    /// The tokens before and after a text; `None` leaves it to the file's template.
    fn frame(self) -> Option<(&'static [&'static str], &'static [&'static str])> {
        match self {
            Self::Template => None,
            Self::None => Some((&[], &[])),
            Self::Llama3 => Some((&["<|begin_of_text|>"], &[])),
            Self::Gemma3 => Some((&["<bos>"], &["<eos>"])),
            Self::Qwen3 => Some((&[], &["<|endoftext|>"])),
        }
    }
}

/// A tokenizer of the `tokenizer.json` form, with our truncation and padding instead of the file's own.
#[derive(Clone, Debug)]
pub struct TextTokenizer {
    inner: tokenizers::Tokenizer,
    max_tokens: usize,
    /// Ids before and after a text where the file's template is not used.
    frame: Option<(Vec<u32>, Vec<u32>)>,
    /// Rows of the embedding table that the ids are for.
    rows: Option<usize>,
}

fn bad(what: String) -> ModelError {
    ModelError::Config { config: "tokenizer", what }
}

impl TextTokenizer {
    /// Reads a `tokenizer.json` and keeps to its template. Texts are cut to `max_tokens`, special tokens included, of which
    /// the closing one stays.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the text is no tokenizer, or `max_tokens` leaves no room for a token.
    pub fn from_json(json: &[u8], max_tokens: usize) -> Result<Self> {
        Self::with_special_tokens(json, max_tokens, SpecialTokens::Template)
    }

    /// Reads a `tokenizer.json`; otherwise as [`TextTokenizer::from_json`].
    ///
    /// # Errors
    /// As [`TextTokenizer::from_json`], and when the file has not the tokens of `special`.
    pub fn with_special_tokens(json: &[u8], max_tokens: usize, special: SpecialTokens) -> Result<Self> {
        let inner = tokenizers::Tokenizer::from_bytes(json).map_err(|e| bad(e.to_string()))?;
        Self::framed(inner, max_tokens, special)
    }

    fn framed(mut inner: tokenizers::Tokenizer, max_tokens: usize, special: SpecialTokens) -> Result<Self> {
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| bad(e.to_string()))?;
        let id = |token: &&str| {
            let id = inner.token_to_id(token);
            id.ok_or_else(|| bad(format!("no token `{token}`, which {special:?} texts need: another model's file?")))
        };
        let ids = |tokens: &[&str]| tokens.iter().map(id).collect::<Result<Vec<u32>>>();
        let frame = match special.frame() {
            None => None,
            Some((before, after)) => Some((ids(before)?, ids(after)?)),
        };
        let added = match &frame {
            Some((before, after)) => before.len() + after.len(),
            None => inner.get_post_processor().map_or(0, |p| p.added_tokens(false)),
        };
        if max_tokens <= added {
            return Err(bad(format!("{max_tokens} tokens at most, and {added} special ones: no room for a text")));
        }
        if frame.is_none() {
            let truncation = tokenizers::TruncationParams { max_length: max_tokens, ..Default::default() };
            inner.with_truncation(Some(truncation)).map_err(|e| bad(e.to_string()))?;
        }
        Ok(TextTokenizer { inner, max_tokens, frame, rows: None })
    }

    /// The tokenizer of the Y-Encoder: its special tokens, its longest text, ids within its embedding table.
    ///
    /// # Errors
    /// As [`TextTokenizer::with_special_tokens`].
    pub fn for_targets(json: &[u8], config: &YEncoderConfig) -> Result<Self> {
        let special = match config.config.kind() {
            YEncoderKind::Bert => SpecialTokens::Template,
            YEncoderKind::Gemma3 => SpecialTokens::Gemma3,
            YEncoderKind::Qwen3 => SpecialTokens::Qwen3,
        };
        let tokenizer = Self::with_special_tokens(json, config.max_target_tokens, special)?;
        Ok(tokenizer.for_table(config.config.vocab_size()))
    }

    /// The tokenizer of the Predictor's queries, with or without the begin-of-text token as the configuration says; files
    /// without that token keep to their template.
    ///
    /// # Errors
    /// As [`TextTokenizer::with_special_tokens`].
    pub fn for_queries(json: &[u8], config: &VlJepaConfig) -> Result<Self> {
        let inner = tokenizers::Tokenizer::from_bytes(json).map_err(|e| bad(e.to_string()))?;
        let special = match config.predictor.query_bos {
            false => SpecialTokens::None,
            true if inner.token_to_id("<|begin_of_text|>").is_some() => SpecialTokens::Llama3,
            true => SpecialTokens::Template,
        };
        let tokenizer = Self::framed(inner, config.max_query_tokens, special)?;
        Ok(tokenizer.for_table(config.predictor.config.vocab_size))
    }

    /// Refuses texts with tokens that have no row in an embedding table of `rows`: Gemma's `<image_soft_token>`, 262144.
    pub fn for_table(mut self, rows: usize) -> Self {
        self.rows = Some(rows);
        self
    }

    /// Ids of a text with its special tokens.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the tokenizer cannot split the text, [`ModelError::Token`] when a token has no row in
    /// the embedding table.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, self.frame.is_none());
        let encoding = encoding.map_err(|e| bad(format!("cannot encode {text:?}: {e}")))?;
        let ids = match &self.frame {
            None => encoding.get_ids().to_vec(),
            Some((before, after)) => {
                let room = self.max_tokens.saturating_sub(before.len() + after.len());
                let text = encoding.get_ids().iter().take(room);
                before.iter().chain(text).chain(after).copied().collect()
            }
        };
        let rows = self.rows.unwrap_or(usize::MAX);
        match ids.iter().find(|&&id| id as usize >= rows) {
            None => Ok(ids),
            Some(&id) => Err(ModelError::Token { token: self.inner.id_to_token(id).unwrap_or_default(), id, rows }),
        }
    }

    /// The number of ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}
