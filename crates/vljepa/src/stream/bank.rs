//! Decoding by a bank of captions: a state is told by the nearest of given sentences.

use std::cell::Cell;

use vljepa_embed::Model;
use vljepa_model::CutTexts;

use crate::error::{Error, Result};

/// A sentence that tells a state.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Its place in the bank.
    pub index: usize,
    /// The cosine of state and sentence.
    pub cosine: f32,
}

/// Sentences, embedded once.
#[derive(Debug)]
pub struct CaptionBank {
    texts: Vec<String>,
    rows: Vec<f32>,
    width: usize,
    cut: Option<CutTexts>,
    decoded: Cell<u64>,
}

impl CaptionBank {
    /// Embeds sentences by the model's Y-Encoder. `progress` receives the number of sentences that are done.
    ///
    /// # Errors
    /// No sentences, and errors of embedding.
    pub fn new(model: &Model, texts: Vec<String>, progress: &mut dyn FnMut(usize)) -> Result<Self> {
        let (rows, cut) = model.embed_texts_with(&texts, progress)?;
        Ok(Self { cut, ..Self::of(texts, rows.into_values(), model.dim())? })
    }

    /// Sentences and their embeddings, `[sentences, width]`, of unit length.
    ///
    /// # Errors
    /// No sentences, or another number of rows.
    pub fn of(texts: Vec<String>, rows: Vec<f32>, width: usize) -> Result<Self> {
        if texts.is_empty() {
            return Err(Error::argument("captions", "the bank holds no sentence"));
        }
        if width == 0 || rows.len() != texts.len() * width {
            let reason = format!("{} values for {} sentences of {width}", rows.len(), texts.len());
            return Err(Error::argument("captions", reason));
        }
        Ok(Self { texts, rows, width, cut: None, decoded: Cell::new(0) })
    }

    /// The sentences.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Numbers of an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The sentences that were cut to the model's longest text.
    pub fn cut(&self) -> Option<&CutTexts> {
        self.cut.as_ref()
    }

    /// How often a state was decoded.
    pub fn decoded(&self) -> u64 {
        self.decoded.get()
    }

    /// Up to `count` sentences for a state, of unit length, by maximal marginal relevance: each next one is the sentence with the greatest
    /// `relevance · cos(state, sentence) − (1 − relevance) · max cos(sentence, chosen before)`. The first is the nearest one.
    ///
    /// # Errors
    /// A state of another width.
    pub fn decode(&self, state: &[f32], count: usize, relevance: f32) -> Result<Vec<Told>> {
        if state.len() != self.width {
            let reason = format!("a state of {} numbers, where the bank has {}", state.len(), self.width);
            return Err(Error::argument("state", reason));
        }
        self.decoded.set(self.decoded.get() + 1);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let row = |i: usize| &self.rows[i * self.width..(i + 1) * self.width];
        let near: Vec<f32> = (0..self.texts.len()).map(|i| dot(state, row(i))).collect();
        // The closeness to what was chosen.
        let mut taken = vec![f32::NEG_INFINITY; near.len()];
        let mut told: Vec<Told> = Vec::new();
        while told.len() < count.min(self.texts.len()) {
            let worth = |i: &usize| match told.is_empty() {
                true => near[*i],
                false => relevance * near[*i] - (1.0 - relevance) * taken[*i],
            };
            let free = (0..near.len()).filter(|i| told.iter().all(|told| told.index != *i));
            // The first of equal ones.
            let Some(best) = free.rev().max_by(|a, b| worth(a).total_cmp(&worth(b))) else { break };
            told.push(Told { index: best, cosine: near[best] });
            let chosen = row(best);
            taken.iter_mut().enumerate().for_each(|(i, taken)| *taken = taken.max(dot(chosen, row(i))));
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bank() -> CaptionBank {
        let angles = [0.0f32, 0.05, 0.6, 3.0];
        let rows = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
        CaptionBank::of(angles.iter().map(|a| format!("at {a}")).collect(), rows, 2).unwrap()
    }

    #[test]
    fn the_nearest_is_told_first_and_then_what_adds_to_it() {
        let bank = bank();
        let state = [0.3f32.cos(), 0.3f32.sin()];
        let indices =
            |relevance| bank.decode(&state, 2, relevance).unwrap().iter().map(|told| told.index).collect::<Vec<_>>();
        assert_eq!((indices(1.0), indices(0.7), indices(0.3)), (vec![1, 0], vec![1, 2], vec![1, 3]));
        assert_eq!(bank.decoded(), 3);
        assert_eq!(bank.decode(&[1.0, 0.0], 9, 0.5).unwrap().len(), 4);
    }

    #[test]
    fn banks_and_states_that_do_not_fit_are_refused() {
        assert!(CaptionBank::of(vec![], vec![], 2).unwrap_err().to_string().contains("no sentence"));
        assert!(CaptionBank::of(vec!["a".into()], vec![1.0; 3], 2).is_err());
        assert!(bank().decode(&[1.0; 3], 1, 0.5).unwrap_err().to_string().contains("a state of 3 numbers"));
    }
}
