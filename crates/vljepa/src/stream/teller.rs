//! From a state to a sentence.

use std::cell::Cell;

use vljepa_embed::Model;
use vljepa_model::Search;

use super::bank::CaptionBank;
use crate::error::{Error, Result};

/// Sentences that a search for one follows at once, where nothing else is asked for.
pub const BEAMS: usize = 4;

/// How states are decoded.
#[derive(Debug)]
pub enum Teller<'a> {
    /// By the nearest of given sentences.
    Bank(CaptionBank),
    /// By the model's Y-Decoder.
    Decoder {
        /// The model.
        model: &'a Model,
        /// How sentences are searched for.
        search: Search,
        /// How often a state was decoded.
        decoded: Cell<u64>,
    },
}

/// A state in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// The sentence.
    pub text: String,
    /// Of a bank the cosine of state and sentence; of a Y-Decoder the geometric mean of the probabilities of its tokens.
    pub score: f64,
}

impl<'a> Teller<'a> {
    /// By the model's Y-Decoder.
    ///
    /// # Errors
    /// A model without one.
    pub fn decoder(model: &'a Model, search: Search) -> Result<Self> {
        match model.writes() {
            true => Ok(Self::Decoder { model, search, decoded: Cell::new(0) }),
            false => Err(Error::argument("model", format!("{}: has no Y-Decoder", model.origin()))),
        }
    }

    /// How often a state was decoded.
    pub fn decoded(&self) -> u64 {
        match self {
            Self::Bank(bank) => bank.decoded(),
            Self::Decoder { decoded, .. } => decoded.get(),
        }
    }

    /// A sentence for each of the states, `[N, width]`, of unit length.
    ///
    /// # Errors
    /// States of another width, and errors of the device.
    pub fn tell(&self, states: &[f32]) -> Result<Vec<Sentence>> {
        match self {
            Self::Bank(bank) => {
                let tell = |state: &[f32]| {
                    let told = bank.decode(state, 1, 1.0)?;
                    let first = told.first().map(|told| (bank.texts()[told.index].clone(), f64::from(told.cosine)));
                    let (text, score) = first.unwrap_or_default();
                    Ok(Sentence { text, score })
                };
                states.chunks(bank.width()).map(tell).collect()
            }
            Self::Decoder { model, search, decoded } => {
                let written = model.write(states, search)?;
                decoded.set(decoded.get() + written.len() as u64);
                Ok(written.into_iter().map(|one| Sentence { text: one.text, score: one.score }).collect())
            }
        }
    }
}
