//! What a tokenizer does not tell apart in texts, and words that it does not know.

use std::collections::HashMap;

use crate::error::Result;
use crate::tokenizer::TextTokenizer;

/// Texts that have the same tokens, and words that have none of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unclear {
    /// Places of a text and of the first one before it with the same tokens, from 0. A model gives them one vector.
    pub same: Vec<(usize, usize)>,
    /// Texts with unknown words, in their order.
    pub unknown: Vec<UnknownWords>,
}

/// The words of a text that became the unknown token, of which a model sees only that something is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWords {
    /// Place of the text, from 0.
    pub index: usize,
    /// The words as they stand in the text.
    pub words: Vec<String>,
    /// Whether the text has no other words.
    pub all: bool,
}

impl TextTokenizer {
    /// What of `texts`, each after `prompt`, is unclear.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode`].
    pub fn unclear(&self, prompt: &str, texts: &[impl AsRef<str>]) -> Result<Unclear> {
        let (mut first, mut unclear) = (HashMap::new(), Unclear::default());
        for (index, text) in texts.iter().map(AsRef::as_ref).enumerate() {
            let ids = self.encode(&format!("{prompt}{text}"))?.ids;
            match first.get(&ids) {
                Some(&earlier) => unclear.same.push((index, earlier)),
                None => {
                    first.insert(ids, index);
                }
            }
            if let Some(unknown) = self.unknown {
                let encoding = self.split(text)?;
                let of_text =
                    encoding.get_ids().iter().zip(encoding.get_special_tokens_mask()).zip(encoding.get_offsets());
                let (mut words, mut known) = (Vec::new(), false);
                for ((&id, &special), &(start, end)) in of_text {
                    let word = text.get(start..end).filter(|_| id == unknown);
                    match word {
                        // A comma is no word.
                        Some(word) if word.chars().all(|c| c.is_ascii_punctuation()) => {}
                        Some(word) => words.push(word.to_owned()),
                        None => known |= special == 0 && id != unknown,
                    }
                }
                if !words.is_empty() {
                    unclear.unknown.push(UnknownWords { index, words, all: !known });
                }
            }
        }
        Ok(unclear)
    }
}
