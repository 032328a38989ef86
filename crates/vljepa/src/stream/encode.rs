//! Windows to embeddings, of one stream or of several in one batch.

use vljepa_embed::Model;
use vljepa_model::CutTexts;

use super::engine::Pending;
use super::gate::Need;
use crate::error::{Error, Result};

/// Encodes windows with a model, asked a query or none.
#[derive(Debug)]
pub struct Encoder<'a> {
    model: &'a Model,
    query: String,
    cut: Option<CutTexts>,
    encoded: u64,
}

impl<'a> Encoder<'a> {
    /// With a query, the states are answers to it; without one, they are what the model predicts of the whole.
    ///
    /// # Errors
    /// A query for a model that takes none.
    pub fn new(model: &'a Model, query: Option<&str>) -> Result<Self> {
        // Says what is wrong with a query before the first window is there.
        let cut = model.with_query(query)?.cut().cloned();
        let query = query.unwrap_or(&model.config().predictor.default_query).to_owned();
        Ok(Self { model, query, cut, encoded: 0 })
    }

    /// The model.
    pub fn model(&self) -> &'a Model {
        self.model
    }

    /// The query, if it was cut to the model's longest.
    pub fn cut(&self) -> Option<&CutTexts> {
        self.cut.as_ref()
    }

    /// Windows that were encoded.
    pub fn encoded(&self) -> u64 {
        self.encoded
    }

    /// An embedding of unit length for each window that needs one.
    ///
    /// # Errors
    /// Windows of different sizes, and errors of the model.
    pub fn encode(&mut self, pending: &[&Pending]) -> Result<Vec<Option<Vec<f32>>>> {
        let needed: Vec<&Pending> = pending.iter().copied().filter(|pending| pending.need != Need::Skip).collect();
        let Some(first) = needed.first() else { return Ok(vec![None; pending.len()]) };
        let (to, frames) = (self.model.preprocess(), first.window.frames.len());
        if needed.iter().any(|pending| pending.window.frames.len() != frames) {
            return Err(Error::argument("windows", "windows of one batch have different numbers of frames"));
        }
        let pixels = needed.iter().map(|pending| pending.window.pixels(to)).collect::<Result<Vec<_>, _>>()?.concat();
        let asked: Vec<(usize, &str)> = (0..needed.len()).map(|clip| (clip, self.query.as_str())).collect();
        let rows = self.model.embedder().asked(&pixels, [needed.len(), frames, to.size as usize], &asked)?;
        self.encoded += needed.len() as u64;
        let mut rows = rows.chunks_exact(self.model.dim()).map(<[f32]>::to_vec);
        let row = |pending: &&Pending| if pending.need == Need::Skip { None } else { rows.next() };
        Ok(pending.iter().map(row).collect())
    }
}
