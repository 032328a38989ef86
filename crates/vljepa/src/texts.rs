//! Texts through a text encoder, batch by batch.

use vljepa_model::{CutTexts, TextTokenizer, Tokens};
use vljepa_tensor::Device;
use vljepa_tensor::autograd::Var;

use crate::embeddings::Embeddings;
use crate::error::{Error, Result};

/// Texts are short.
const TEXT_BATCH: usize = 64;

/// What a text goes through before an encoder.
pub(crate) struct TextSide<'a> {
    /// The model's name in messages.
    pub origin: &'a str,
    pub device: &'a Device,
    pub tokenizer: &'a TextTokenizer,
    /// Put before every text.
    pub prompt: &'a str,
    /// Token that fills short rows.
    pub pad: u32,
    /// Numbers in an embedding.
    pub dim: usize,
}

/// Refuses texts without a word, which would be ranked all the same. `flag` is what the command line calls them.
///
/// # Errors
/// The first text that is empty or white space.
pub fn check_texts(flag: &str, texts: &[String]) -> Result<()> {
    match texts.iter().position(|text| text.trim().is_empty()) {
        Some(i) => Err(Error::Invalid(format!("{flag}: text {} of {} is empty; leave it out", i + 1, texts.len()))),
        None => Ok(()),
    }
}

impl TextSide<'_> {
    /// Unit rows of texts, in their order, and which texts were cut. `done` hears how many are done.
    pub(crate) fn embed(
        &self,
        texts: &[String],
        encode: impl Fn(&Tokens) -> vljepa_model::Result<Var>,
        mut done: impl FnMut(usize),
    ) -> Result<(Embeddings, Option<CutTexts>)> {
        let (ids, cut) = self.tokenizer.encode_all(self.prompt, texts).map_err(Error::model(self.origin))?;
        // Texts of like length go together, so that little is spent on padding.
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&i| ids[i].len());
        let mut out = Embeddings::new(self.dim);
        for batch in order.chunks(TEXT_BATCH) {
            let rows: Vec<Vec<u32>> = batch.iter().map(|&i| ids[i].clone()).collect();
            if let Some(i) = rows.iter().position(Vec::is_empty) {
                return Err(Error::Invalid(format!("the text {:?} has no tokens; leave it out", texts[batch[i]])));
            }
            let tokens = Tokens::new(self.device, &rows, self.pad).map_err(Error::model(self.origin))?;
            let value = encode(&tokens).map_err(Error::model(self.origin))?;
            out.extend(&value.value().to_f32()?, |i| format!("the text {:?}", texts[batch[i]]))?;
            done(out.rows());
        }
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, &i)| place[i] = at);
        Ok((out.select(&place), cut))
    }
}
