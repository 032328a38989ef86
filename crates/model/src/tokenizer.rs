//! Texts to token ids, by `tokenizer.json`.

use std::fmt;

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

/// The token ids of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Ids with the special tokens, no more than the tokenizer's longest text has.
    pub ids: Vec<u32>,
    /// Tokens of the whole text with the special ones: more than `ids` has where it was cut.
    pub tokens: usize,
}

impl Encoded {
    /// Whether the text was longer than the tokenizer takes.
    pub fn is_cut(&self) -> bool {
        self.tokens > self.ids.len()
    }
}

/// Texts that a tokenizer cut: the first of them, and how many more there are. `Display` gives the words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutTexts {
    /// Place of the first among the texts, from 0.
    pub index: usize,
    /// Its beginning.
    pub beginning: String,
    /// Its tokens with those of the prompt and the special ones.
    pub tokens: usize,
    /// As many of them as were kept.
    pub kept: usize,
    /// How many texts behind it were cut.
    pub others: usize,
}

/// Characters of a cut text that a message shows.
const SHOWN: usize = 40;

impl CutTexts {
    fn first(index: usize, text: &str, encoded: &Encoded) -> Self {
        let mut beginning: String = text.chars().take(SHOWN).collect();
        if beginning.len() < text.len() {
            beginning.push('…');
        }
        Self { index, beginning, tokens: encoded.tokens, kept: encoded.ids.len(), others: 0 }
    }
}

impl fmt::Display for CutTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { beginning, tokens, kept, others, .. } = self;
        write!(
            f,
            "\"{beginning}\" has {tokens} tokens, special ones included, and is cut to the {kept} that the model takes: shorten it"
        )?;
        match others {
            0 => Ok(()),
            1 => f.write_str("; 1 other text is cut too"),
            n => write!(f, "; {n} other texts are cut too"),
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
        // With a limit it would not look at the whole text, whose tokens are counted.
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

    /// Ids of a text with its special tokens, and whether that is all of it.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the tokenizer cannot split the text, [`ModelError::Token`] when a token has no row in
    /// the embedding table.
    pub fn encode(&self, text: &str) -> Result<Encoded> {
        let encoding = self.inner.encode(text, self.frame.is_none());
        let encoding = encoding.map_err(|e| bad(format!("cannot encode {text:?}: {e}")))?;
        let encoded = match &self.frame {
            None => {
                // The end of the text goes; the template's tokens, which the mask tells, stay where they are.
                let special = encoding.get_special_tokens_mask();
                let excess = encoding.len().saturating_sub(self.max_tokens);
                let mut room = special.iter().filter(|&&s| s == 0).count().saturating_sub(excess);
                let mut keep = |special: u32| {
                    let kept = special != 0 || room > 0;
                    room = if special == 0 { room.saturating_sub(1) } else { room };
                    kept
                };
                let ids = encoding.get_ids().iter().zip(special).filter(|(_, s)| keep(**s)).map(|(id, _)| *id);
                Encoded { ids: ids.collect(), tokens: encoding.len() }
            }
            Some((before, after)) => {
                let room = self.max_tokens.saturating_sub(before.len() + after.len());
                let text = encoding.get_ids().iter().take(room);
                let ids = before.iter().chain(text).chain(after).copied().collect();
                Encoded { ids, tokens: before.len() + encoding.len() + after.len() }
            }
        };
        let rows = self.rows.unwrap_or(usize::MAX);
        match encoded.ids.iter().find(|&&id| id as usize >= rows) {
            None => Ok(encoded),
            Some(&id) => Err(ModelError::Token { token: self.inner.id_to_token(id).unwrap_or_default(), id, rows }),
        }
    }

    /// Ids of texts, each behind `prompt`, and which of them were cut.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode`].
    pub fn encode_all(&self, prompt: &str, texts: &[impl AsRef<str>]) -> Result<(Vec<Vec<u32>>, Option<CutTexts>)> {
        let mut cut: Option<CutTexts> = None;
        let mut rows = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().map(AsRef::as_ref).enumerate() {
            let encoded = self.encode(&format!("{prompt}{text}"))?;
            match &mut cut {
                Some(cut) if encoded.is_cut() => cut.others += 1,
                None if encoded.is_cut() => cut = Some(CutTexts::first(i, text, &encoded)),
                _ => {}
            }
            rows.push(encoded.ids);
        }
        Ok((rows, cut))
    }

    /// The number of ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}
