//! What a `tokenizer.json` and a text may be at most, so that no file makes memory or time grow without end.
//!
//! The library runs whatever a file asks for: a normaliser that replaces each letter by a megabyte, forty steps that
//! each double the text, a template that repeats it. So the file is looked at before the library reads it, and the text
//! before and after every step.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{
    ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer,
};

use crate::json::{self, json_fault};

/// Most bytes of a file; the largest in use have 35 million.
pub(super) const MAX_FILE: usize = 128 << 20;
/// Most values in a file: the library takes a few hundred bytes for each. Gemma's has 1.3 million.
const MAX_VALUES: usize = 3_000_000;
/// Most bytes of a text in a file, tables of characters aside. The library keeps a vocabulary in a tree as deep as its
/// longest token, and walks it recursively.
const MAX_STRING: usize = 2048;
/// Most steps of a normaliser, a pre-tokenizer or a post-processor.
const MAX_STEPS: usize = 64;
/// Most pieces of a template around a text.
const MAX_PIECES: usize = 256;
/// Most bytes of a precompiled table of characters; those in use have 300,000.
const MAX_CHARSMAP: usize = 4 << 20;
/// Most bytes of a text.
pub(super) const MAX_TEXT: usize = 1 << 20;
/// Most bytes of a text after any step.
const MAX_GROWN: usize = 4 << 20;
/// Most words of a text.
const MAX_WORDS: usize = 1 << 20;
/// Most characters of a word that WordPiece takes apart, which takes time with the square of them.
const MAX_WORD: usize = 256;

/// The parts of a file that run on texts.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    model: Model,
}

/// What a model calls the token that stands for unknown words.
#[derive(Default, Deserialize)]
struct Model {
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    unk_id: Option<u32>,
}

/// The token that stands for unknown words.
pub(super) enum Unknown {
    Id(u32),
    Token(String),
}

#[derive(Deserialize)]
struct Added {
    #[serde(default)]
    content: String,
    #[serde(default)]
    normalized: bool,
}

/// Checks a file before the library reads it, and tells the token of unknown words.
pub(super) fn check_file(file: &[u8]) -> Result<Option<Unknown>, String> {
    if file.len() > MAX_FILE {
        return Err(format!("{} bytes, at most {MAX_FILE} are read", file.len()));
    }
    let counts = Counts::of(file);
    if counts.values > MAX_VALUES {
        return Err(format!("more than {MAX_VALUES} values, which no tokenizer needs"));
    }
    let parts: Parts = serde_json::from_slice(file)
        .map_err(|e| format!("is not readable: {}; get the file again", json_fault(&e.to_string())))?;
    let mut tables = 0;
    for (part, name, key) in [
        (&parts.normalizer, "normalizer", "normalizers"),
        (&parts.pre_tokenizer, "pre_tokenizer", "pretokenizers"),
        (&parts.post_processor, "post_processor", "processors"),
    ] {
        let mut steps = Vec::new();
        leaves(part, key, &mut steps);
        if steps.len() > MAX_STEPS {
            return Err(format!("`{name}` has {} steps, at most {MAX_STEPS} are run", steps.len()));
        }
        steps.iter().try_for_each(|step| check_step(step))?;
        let long = |step: &&&Value| step[CHARSMAP].as_str().is_some_and(|table| table.len() > MAX_STRING);
        tables += steps.iter().filter(long).count();
    }
    // Of the long texts all but the tables of characters are too long.
    if counts.long > tables {
        return Err(format!("a text in it has more than {MAX_STRING} bytes, which no token needs"));
    }
    // The library normalises the tokens of the file when it reads it.
    let normalised = || parts.added_tokens.iter().filter(|token| token.normalized);
    if !parts.normalizer.is_null() && normalised().next().is_some() {
        let normalizer: NormalizerWrapper = json::from_value(&parts.normalizer)?;
        let steps = Steps::of(Some(&normalizer));
        let watched = Watched::new(&steps);
        for token in normalised() {
            // Errors of a step are those of the library, which reports them itself.
            let _ = watched.normalize(&mut token.content.as_str().into());
        }
        watched.result()?;
    }
    let Model { unk_token, unk_id } = parts.model;
    Ok(unk_id.map(Unknown::Id).or(unk_token.map(Unknown::Token)))
}

/// What JSON holds, counted without reading it into memory.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    /// Commas outside of texts: behind the first value of each list and object comes one for each other.
    values: usize,
    /// Texts above [`MAX_STRING`].
    long: usize,
}

impl Counts {
    fn of(file: &[u8]) -> Self {
        let mut counts = Self::default();
        let (mut inside, mut escaped, mut length) = (false, false, 0usize);
        for byte in file {
            match byte {
                // With the four digits behind it, an escape makes three bytes at most.
                b'u' if escaped => (escaped, length) = (false, length.saturating_sub(1)),
                _ if escaped => (escaped, length) = (false, length + 1),
                b'\\' if inside => escaped = true,
                b'"' => {
                    counts.long += usize::from(inside && length > MAX_STRING);
                    (inside, length) = (!inside, 0);
                }
                b',' if !inside => counts.values += 1,
                _ => length += 1,
            }
        }
        counts
    }
}

/// The steps of a sequence, sequences in it included.
fn leaves<'a>(step: &'a Value, key: &str, out: &mut Vec<&'a Value>) {
    match step.get(key).and_then(Value::as_array) {
        Some(steps) => steps.iter().for_each(|step| leaves(step, key, out)),
        None if step.is_null() => {}
        None => out.push(step),
    }
}

/// The key of a table of characters.
const CHARSMAP: &str = "precompiled_charsmap";

fn check_step(step: &Value) -> Result<(), String> {
    if let Some(table) = step.get(CHARSMAP).and_then(Value::as_str) {
        let bytes = table.len() / 4 * 3;
        if bytes > MAX_CHARSMAP {
            return Err(format!("`precompiled_charsmap` has {bytes} bytes, at most {MAX_CHARSMAP} are read"));
        }
        // It begins with the size of its first part, for which the library reserves memory unseen.
        if first_number(table).is_none_or(|size| size as usize > bytes) {
            return Err("`precompiled_charsmap` is damaged: it is shorter than it says".into());
        }
    }
    if let Some(pieces) = step.get("single").and_then(Value::as_array) {
        if pieces.len() > MAX_PIECES {
            return Err(format!(
                "the template has {} pieces, at most {MAX_PIECES} are put around a text",
                pieces.len()
            ));
        }
        if pieces.iter().filter(|piece| piece.get("Sequence").is_some()).count() > 1 {
            return Err("the template repeats the text".into());
        }
    }
    Ok(())
}

/// The first four bytes of base64, a little-endian number.
fn first_number(base64: &str) -> Option<u32> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let first = base64.as_bytes().get(..6)?;
    let bits = first.iter().try_fold(0u64, |bits, byte| Some(bits << 6 | u64::from(digit(*byte)?)))?;
    Some(((bits >> 4) as u32).swap_bytes())
}

/// The steps of a normaliser, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Steps(Vec<Step>);

#[derive(Clone, Debug)]
struct Step {
    normalizer: NormalizerWrapper,
    /// What `Replace` looks for, where that is no regular expression.
    literal: Option<String>,
}

impl Steps {
    pub(super) fn of(normalizer: Option<&NormalizerWrapper>) -> Self {
        let mut steps = Vec::new();
        if let Some(normalizer) = normalizer {
            flatten(normalizer, &mut steps);
        }
        Self(steps)
    }
}

fn flatten(normalizer: &NormalizerWrapper, out: &mut Vec<Step>) {
    let literal = match normalizer {
        NormalizerWrapper::Sequence(sequence) => {
            return sequence.as_ref().iter().for_each(|step| flatten(step, out));
        }
        NormalizerWrapper::Replace(replace) => serde_json::to_value(replace)
            .ok()
            .and_then(|json| Some(json.get("pattern")?.get("String")?.as_str()?.to_owned()))
            .filter(|text| !text.is_empty()),
        _ => None,
    };
    out.push(Step { normalizer: normalizer.clone(), literal });
}

impl Step {
    /// The bytes that `text` may have after this step. Steps that are not named here make no more than eleven bytes of
    /// one (NFKC of U+FDFA), so that it is enough to look at the text before and after them.
    fn most(&self, text: &str) -> usize {
        match &self.normalizer {
            NormalizerWrapper::Replace(replace) => {
                let found = match &self.literal {
                    Some(literal) => text.matches(literal.as_str()).count(),
                    None => text.chars().count() + 1,
                };
                text.len().saturating_add(found.saturating_mul(replace.content.len()))
            }
            NormalizerWrapper::Prepend(prepend) => text.len().saturating_add(prepend.prepend.len()),
            NormalizerWrapper::ByteLevel(_) => 2 * text.len(),
            // What a character becomes is decided by its first bytes and at most four after it.
            NormalizerWrapper::Precompiled(table) => {
                let mut most = 0usize;
                for (at, c) in text.char_indices() {
                    let end = (at + 4.max(c.len_utf8())..text.len()).find(|end| text.is_char_boundary(*end));
                    let part = &text[at..end.unwrap_or(text.len())];
                    most = most.saturating_add(table.transform(part).map_or(0, str::len).max(c.len_utf8()));
                    if most > MAX_GROWN {
                        break;
                    }
                }
                most
            }
            _ => text.len(),
        }
    }
}

/// A normaliser that stops before a text becomes too long.
pub(super) struct Watched<'a> {
    steps: &'a Steps,
    /// Bytes of the pieces that are done, and why it stopped: the library passes over a normaliser's errors.
    seen: Mutex<(usize, Option<String>)>,
}

impl<'a> Watched<'a> {
    pub(super) fn new(steps: &'a Steps) -> Self {
        Self { steps, seen: Mutex::default() }
    }

    /// Why it stopped, if it did.
    pub(super) fn result(self) -> Result<(), String> {
        match self.seen.into_inner().unwrap_or_else(PoisonError::into_inner) {
            (_, Some(fault)) => Err(fault),
            _ => Ok(()),
        }
    }
}

fn too_long(part: &str) -> String {
    format!("its {part} makes more than {MAX_GROWN} bytes of the text")
}

impl Normalizer for Watched<'_> {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.1.is_some() {
            return Ok(());
        }
        let room = MAX_GROWN.saturating_sub(seen.0);
        for step in &self.steps.0 {
            if step.most(text.get()) > room {
                seen.1 = Some(too_long("normaliser"));
                return Ok(());
            }
            if let Err(error) = step.normalizer.normalize(text) {
                seen.1 = Some(format!("its normaliser fails: {error}"));
                return Ok(());
            }
        }
        match text.get().len() > room {
            true => seen.1 = Some(too_long("normaliser")),
            false => seen.0 += text.get().len(),
        }
        Ok(())
    }
}

/// Runs a pre-tokenizer; the text is looked at before and after every step of it.
pub(super) fn pre_tokenize(
    pre_tokenizer: Option<&PreTokenizerWrapper>,
    text: &mut PreTokenizedString,
) -> Result<(), String> {
    match pre_tokenizer {
        Some(PreTokenizerWrapper::Sequence(sequence)) => {
            sequence.as_ref().iter().try_for_each(|step| pre_tokenize(Some(step), text))
        }
        Some(step) => {
            step.pre_tokenize(text).map_err(|e| format!("its pre-tokenizer fails: {e}"))?;
            let words = text.get_splits(OffsetReferential::Normalized, OffsetType::None);
            if words.len() > MAX_WORDS {
                return Err(format!("its pre-tokenizer makes more than {MAX_WORDS} words of the text"));
            }
            match words.iter().map(|(word, _, _)| word.len()).sum::<usize>() > MAX_GROWN {
                true => Err(too_long("pre-tokenizer")),
                false => Ok(()),
            }
        }
        None => Ok(()),
    }
}

/// Refuses words that the model would take apart for too long.
pub(super) fn check_words(model: &ModelWrapper, text: &PreTokenizedString) -> Result<(), String> {
    let ModelWrapper::WordPiece(model) = model else { return Ok(()) };
    let apart = MAX_WORD + 1..=model.max_input_chars_per_word;
    if apart.is_empty() {
        return Ok(());
    }
    for (word, _, tokens) in text.get_splits(OffsetReferential::Normalized, OffsetType::None) {
        if tokens.is_none() && word.len() > MAX_WORD && apart.contains(&word.chars().count()) {
            return Err(format!("a word of {} characters, at most {MAX_WORD} are taken apart", word.chars().count()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts() {
        let counted = |json: &str| {
            let Counts { values, long } = Counts::of(json.as_bytes());
            (values, long)
        };
        assert_eq!(counted(r#"{"a,\",": [1, 2, ","], "b": "\\"}"#), (3, 0));
        assert_eq!(counted(""), (0, 0));
        let text = |unit: &str, count: usize| format!("[\"{}\", \"a\"]", unit.repeat(count));
        assert_eq!((counted(&text("a", 2048)), counted(&text("a", 2049))), ((1, 0), (1, 1)));
        assert_eq!((counted(&text("\\n", 2048)), counted(&text("\\n", 2049))), ((1, 0), (1, 1)));
        assert_eq!((counted(&text("\\u2581", 682)), counted(&text("\\u2581", 1025))), ((1, 0), (1, 1)));
    }

    #[test]
    fn the_size_at_the_beginning_of_a_table_is_read() {
        assert_eq!(first_number("BAAAAAAEAAAA"), Some(4));
        assert_eq!(first_number("/////w=="), Some(u32::MAX));
        assert_eq!(first_number("BAAA"), None);
        assert_eq!(first_number("B AAAAAA"), None);
    }
}
