//! Texts through the frozen part of the Y-Encoder. Those that come again are kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use vljepa_model::{Forward, ModelError, TextTokenizer, Tokens, VlJepa};
use vljepa_tensor::Device;

use crate::error::{Result, TrainError};

/// Texts of a forward pass, at most. All passes have one row more than this, so that a text's bits do not depend on the texts beside
/// it, and a run that goes on without what was kept computes the same.
const TEXTS: usize = 15;
/// Lengths of a pass are multiples of this.
const LENGTH: usize = 8;
/// Texts with more tokens seldom come again.
const KEPT_TOKENS: usize = 12;
/// Most texts that are kept.
const KEPT: usize = 1 << 16;

/// Pooled features of texts by the frozen Y-Encoder.
#[derive(Debug, Default)]
pub(super) struct FrozenTexts {
    kept: Mutex<HashMap<String, Vec<f32>>>,
}

impl FrozenTexts {
    /// Features of texts, `[texts, output size of the Y-Encoder]` row-major. Texts should be different ones.
    ///
    /// # Errors
    /// Texts that cannot be split into tokens, and what the model reports.
    pub fn features(
        &self,
        device: &Device,
        model: &VlJepa,
        tokenizer: &TextTokenizer,
        texts: &[&str],
    ) -> Result<Vec<f32>> {
        let y = &model.config.y_encoder;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<usize> = (0..texts.len()).filter(|&i| !kept.contains_key(texts[i])).collect();
        let of: Vec<&str> = new.iter().map(|&i| texts[i]).collect();
        let (ids, _) = tokenizer.encode_all(&y.prompt, &of).map_err(of_file(tokenizer))?;
        let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, ids) in ids.iter().enumerate() {
            // A model may take no more tokens than a length that is no multiple.
            let length = ids.len().next_multiple_of(LENGTH).min(y.max_target_tokens.max(ids.len()));
            by_length.entry(length).or_default().push(at);
        }
        let (f, pad, width) = (Forward::inference(), y.config.pad_token_id(), y.output_size());
        let mut out = vec![0.0; texts.len() * width];
        for (length, all) in by_length {
            for part in all.chunks(TEXTS) {
                let mut rows: Vec<Vec<u32>> = part.iter().map(|&at| ids[at].clone()).collect();
                // The last row, which nobody reads, is of full length.
                rows.resize(TEXTS + 1, vec![pad; length.max(1)]);
                let pooled = model.pool_text(&f, &Tokens::new(device, &rows, pad)?)?.value().to_f32()?;
                for (&at, row) in part.iter().zip(pooled.chunks_exact(width.max(1))) {
                    out[new[at] * width..(new[at] + 1) * width].copy_from_slice(row);
                    if ids[at].len() <= KEPT_TOKENS && kept.len() < KEPT {
                        kept.insert(of[at].to_owned(), row.to_vec());
                    }
                }
            }
        }
        for (text, slot) in texts.iter().zip(out.chunks_exact_mut(width.max(1))) {
            if let Some(row) = kept.get(*text) {
                slot.copy_from_slice(row);
            }
        }
        Ok(out)
    }
}

/// For `map_err`: the fault of a tokenizer, with the name of its file.
pub(super) fn of_file(tokenizer: &TextTokenizer) -> impl FnOnce(ModelError) -> TrainError {
    let file = tokenizer.file().map(str::to_owned);
    move |error| match file {
        Some(file) => TrainError::Invalid(format!("{file}: {error}")),
        None => error.into(),
    }
}
