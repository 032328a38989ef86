//! Texts to token ids, by `tokenizer.json`.

mod bounds;
mod library;

use std::fmt;

use tokenizers::{Encoding, Model, OffsetType, PostProcessor};

use crate::error::{ModelError, Result};
use crate::json::json_fault;
use bounds::{MAX_TEXT, Steps, Unknown, Watched, check_file, check_words, pre_tokenize};
use library::caught;

/// Which special tokens stand around a text. An architecture knows its own:
/// [`YEncoderKind::special_tokens`](crate::config::YEncoderKind::special_tokens),
/// [`LlamaConfig::SPECIAL_TOKENS`](crate::config::LlamaConfig::SPECIAL_TOKENS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecialTokens {
    /// Those of the file's own template (BERT: `[CLS]`, `[SEP]`).
    #[default]
    Template,
    /// None.
    None,
    /// These, whatever the file says.
    Around {
        /// Before the text.
        before: &'static [&'static str],
        /// After it.
        after: &'static [&'static str],
    },
}

impl SpecialTokens {
    /// The tokens before and after a text; `None` leaves it to the file's template.
    fn frame(self) -> Option<(&'static [&'static str], &'static [&'static str])> {
        match self {
            Self::Template => None,
            Self::None => Some((&[], &[])),
            Self::Around { before, after } => Some((before, after)),
        }
    }
}

/// The token ids of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Ids with the special tokens, no more than the tokenizer's longest text has.
    pub ids: Vec<u32>,
    /// Tokens of the whole text with the special ones; more than `ids` has, where it was cut.
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
    /// How many of them were kept.
    pub kept: usize,
    /// How many of the texts after it were cut too.
    pub others: usize,
}

/// Characters of a cut text that a message shows.
const SHOWN: usize = 40;

/// The first characters of a text, for messages.
fn beginning(text: &str) -> String {
    let mut beginning: String = text.chars().take(SHOWN).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    beginning
}

impl CutTexts {
    fn first(index: usize, text: &str, encoded: &Encoded) -> Self {
        let beginning = beginning(text);
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
    /// The steps of the normaliser.
    steps: Steps,
    /// The name of the file in messages, where it is known.
    file: Option<String>,
    /// The id of the unknown token, if there is one.
    pub(crate) unknown: Option<u32>,
    max_tokens: usize,
    /// Ids before and after a text where the file's template is not used.
    frame: Option<(Vec<u32>, Vec<u32>)>,
    /// Rows of the embedding table that the ids are for.
    rows: Option<usize>,
}

fn bad(what: String) -> ModelError {
    ModelError::Config { config: "tokenizer", what }
}

/// A fault that the library does not explain.
const DAMAGED: &str = "holds something that cannot be used; get the file again";

/// A tokenizer and the id of its unknown token.
type Read = (tokenizers::Tokenizer, Option<u32>);

fn read(json: &[u8]) -> Result<Read> {
    let read = || {
        let unknown = check_file(json)?;
        let inner = tokenizers::Tokenizer::from_bytes(json).map_err(|e| json_fault(&e.to_string()))?;
        let unknown = match unknown {
            Some(Unknown::Id(id)) => Some(id),
            Some(Unknown::Token(token)) => inner.token_to_id(&token),
            None => None,
        };
        Ok((inner, unknown))
    };
    match caught(read) {
        Some(read) => read.map_err(bad),
        None => Err(bad(DAMAGED.into())),
    }
}

impl TextTokenizer {
    /// Reads a `tokenizer.json` and keeps to its template. Texts are cut to `max_tokens`, special tokens included, of
    /// which the closing one stays.
    ///
    /// # Errors
    /// [`ModelError::Config`] when `json` is not a tokenizer, or `max_tokens` leaves no room for a token.
    pub fn from_json(json: &[u8], max_tokens: usize) -> Result<Self> {
        Self::with_special_tokens(json, max_tokens, SpecialTokens::Template)
    }

    /// Reads a `tokenizer.json`; otherwise as [`TextTokenizer::from_json`].
    ///
    /// # Errors
    /// As [`TextTokenizer::from_json`], and when the file lacks tokens of `special`.
    pub fn with_special_tokens(json: &[u8], max_tokens: usize, special: SpecialTokens) -> Result<Self> {
        Self::framed(read(json)?, max_tokens, special)
    }

    /// With the tokens of `special` where the file has them, else by its template.
    ///
    /// # Errors
    /// As [`TextTokenizer::from_json`].
    pub(crate) fn with_known_tokens(json: &[u8], max_tokens: usize, special: SpecialTokens) -> Result<Self> {
        let (inner, unknown) = read(json)?;
        let known = |tokens: &[&str]| tokens.iter().all(|token| inner.token_to_id(token).is_some());
        let special = match special.frame() {
            Some((before, after)) if !(known(before) && known(after)) => SpecialTokens::Template,
            _ => special,
        };
        Self::framed((inner, unknown), max_tokens, special)
    }

    fn framed((mut inner, unknown): Read, max_tokens: usize, special: SpecialTokens) -> Result<Self> {
        let steps = caught(|| Steps::of(inner.get_normalizer())).ok_or_else(|| bad(DAMAGED.into()))?;
        inner.with_padding(None);
        // A limit would keep it from counting the tokens of the whole text.
        inner.with_truncation(None).map_err(|e| bad(e.to_string()))?;
        let id = |token: &&str| {
            let id = inner.token_to_id(token);
            id.ok_or_else(|| bad(format!("no token `{token}`, which stands around every text: another model's file?")))
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
            return Err(bad(format!(
                "at most {max_tokens} tokens, and {added} special ones stand around a text: no room for it"
            )));
        }
        Ok(TextTokenizer { inner, steps, file: None, unknown, max_tokens, frame, rows: None })
    }

    /// Refuses texts with tokens that have no row in an embedding table of `rows`, such as Gemma's
    /// `<image_soft_token>`, 262144.
    pub fn for_table(mut self, rows: usize) -> Self {
        self.rows = Some(rows);
        self
    }

    /// Tells the name of the file, for messages.
    pub fn named(mut self, file: impl fmt::Display) -> Self {
        self.file = Some(file.to_string());
        self
    }

    /// The name of the file, where it is known.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The library's encoding of a text, step by step, so that no step makes it too long.
    pub(crate) fn split(&self, text: &str) -> Result<Encoding> {
        let refused = |what: &str| bad(format!("the text \"{}\" cannot be split: {what}", beginning(text)));
        if text.len() > MAX_TEXT {
            return Err(refused(&format!("it has {} bytes, at most {MAX_TEXT} are taken; shorten it", text.len())));
        }
        let split = || {
            let watched = Watched::new(&self.steps);
            let mut words = self.inner.get_added_vocabulary().extract_and_normalize(Some(&watched), text);
            watched.result()?;
            pre_tokenize(self.inner.get_pre_tokenizer(), &mut words)?;
            check_words(self.inner.get_model(), &words)?;
            let library = |e: tokenizers::Error| e.to_string();
            self.inner.get_model().tokenize_in_pretokenized(&mut words, None).map_err(library)?;
            let encoding = words.into_encoding(None, 0, OffsetType::Byte).map_err(library)?;
            self.inner.post_process(encoding, None, self.frame.is_none()).map_err(library)
        };
        caught(split).unwrap_or_else(|| Err(format!("the tokenizer {DAMAGED}"))).map_err(|what: String| refused(&what))
    }

    /// Ids of a text with its special tokens, and how long the whole of it is.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the tokenizer cannot split the text or makes it too long, and for texts above 1 MiB;
    /// [`ModelError::Token`] when a token has no row in the embedding table.
    pub fn encode(&self, text: &str) -> Result<Encoded> {
        let encoding = self.split(text)?;
        let encoded = match &self.frame {
            None => {
                // The end of the text is cut off. The template's tokens, which the mask marks, stay.
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

    /// Ids of texts, each after `prompt`, and which of them were cut.
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

    /// Ids of a text alone, without special tokens and however long it is.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode`].
    pub fn encode_bare(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.split(text)?;
        let bare =
            encoding.get_ids().iter().zip(encoding.get_special_tokens_mask()).filter(|(_, special)| **special == 0);
        let ids: Vec<u32> = bare.map(|(id, _)| *id).collect();
        let rows = self.rows.unwrap_or(usize::MAX);
        match ids.iter().find(|&&id| id as usize >= rows) {
            None => Ok(ids),
            Some(&id) => Err(ModelError::Token { token: self.inner.id_to_token(id).unwrap_or_default(), id, rows }),
        }
    }

    /// The text of ids, without special tokens.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the tokenizer cannot put them together.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let refused = |what: String| bad(format!("{} tokens cannot be made a text: {what}", ids.len()));
        let library = || self.inner.decode(ids, true).map_err(|e| e.to_string());
        caught(library).unwrap_or_else(|| Err(format!("the tokenizer {DAMAGED}"))).map_err(refused)
    }

    /// The number of ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}
