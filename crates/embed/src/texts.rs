//! Texts to rows: runs a text encoder in batches.

use vljepa_model::{CutTexts, TextTokenizer, Tokens};
use vljepa_tensor::Device;
use vljepa_tensor::autograd::Var;

use crate::error::{Error, Result};
use crate::rows::Embeddings;

/// Default number of texts in a batch.
pub const TEXT_BATCH: usize = 64;

/// Turns texts into batches of tokens for an encoder.
#[derive(Clone, Copy, Debug)]
pub struct TextBatcher<'a> {
    /// The model's name in messages.
    pub origin: &'a str,
    /// The device of the encoder.
    pub device: &'a Device,
    /// The tokenizer of the encoder.
    pub tokenizer: &'a TextTokenizer,
    /// A prefix of every text.
    pub prompt: &'a str,
    /// Id of the token that pads short rows.
    pub pad: u32,
    /// Largest number of texts in a batch.
    pub batch: usize,
}

/// The rows that an encoder gives for texts.
#[derive(Clone, Debug, PartialEq)]
pub struct TextRows {
    /// Length of a row.
    pub width: usize,
    /// `[texts, width]` row-major, in the order of the texts, as the encoder gave them.
    pub values: Vec<f32>,
    /// The texts that were cut to the encoder's longest input, if any.
    pub cut: Option<CutTexts>,
}

impl TextRows {
    /// The rows scaled to unit length, and the texts that were cut.
    ///
    /// # Errors
    /// A row that is zero or not finite; the error names its text.
    pub fn into_unit(self, texts: &[impl AsRef<str>]) -> Result<(Embeddings, Option<CutTexts>)> {
        let mut rows = Embeddings::new(self.width);
        rows.extend(&self.values, |i| format!("the text {:?}", texts[i].as_ref()))?;
        Ok((rows, self.cut))
    }
}

/// The name of a tokenizer's file in messages, else that of the model.
pub(crate) fn name_of<'a>(tokenizer: &'a TextTokenizer, origin: &'a str) -> &'a str {
    tokenizer.file().unwrap_or(origin)
}

impl TextBatcher<'_> {
    /// The texts that are longer than the encoder takes; they are embedded without their ends.
    ///
    /// # Errors
    /// Texts that cannot be split into tokens.
    pub fn cut(&self, texts: &[impl AsRef<str>]) -> Result<Option<CutTexts>> {
        Ok(self.tokenizer.encode_all(self.prompt, texts).map_err(Error::model(name_of(self.tokenizer, self.origin)))?.1)
    }

    /// Runs `encode` on batches of texts: ids to `[batch, width]`.
    ///
    /// # Errors
    /// A text without tokens or one that cannot be tokenised, values of another number than `width` a text, and errors of `encode` and the device.
    pub fn run(
        &self,
        texts: &[impl AsRef<str>],
        width: usize,
        encode: impl Fn(&Tokens) -> vljepa_model::Result<Var>,
    ) -> Result<TextRows> {
        self.run_with(texts, width, encode, &mut |_| ())
    }

    /// [`Self::run`]; `progress` receives the number of texts that are done.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_with(
        &self,
        texts: &[impl AsRef<str>],
        width: usize,
        encode: impl Fn(&Tokens) -> vljepa_model::Result<Var>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<TextRows> {
        let (ids, cut) = self
            .tokenizer
            .encode_all(self.prompt, texts)
            .map_err(Error::model(name_of(self.tokenizer, self.origin)))?;
        // Texts of similar length share a batch, which keeps padding small.
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&i| ids[i].len());
        let mut values = vec![0.0; texts.len() * width];
        let mut done = 0;
        for part in order.chunks(self.batch.max(1)) {
            let rows: Vec<Vec<u32>> = part.iter().map(|&i| ids[i].clone()).collect();
            if let Some(i) = rows.iter().position(Vec::is_empty) {
                let text = texts[part[i]].as_ref();
                return Err(Error::Invalid(format!("the text {text:?} has no tokens; leave it out")));
            }
            let tokens = Tokens::new(self.device, &rows, self.pad).map_err(Error::model(self.origin))?;
            let encoded = encode(&tokens).map_err(Error::model(self.origin))?.value().to_f32()?;
            if encoded.len() != part.len() * width {
                let reason = format!(
                    "the encoder made {} values of {} texts, {width} each are needed",
                    encoded.len(),
                    part.len()
                );
                return Err(Error::Invalid(reason));
            }
            for (&i, row) in part.iter().zip(encoded.chunks_exact(width.max(1))) {
                values[i * width..(i + 1) * width].copy_from_slice(row);
            }
            done += part.len();
            progress(done);
        }
        Ok(TextRows { width, values, cut })
    }
}

/// Refuses empty texts, which would be embedded and ranked like any other. `name` is the caller's name for the texts.
///
/// # Errors
/// The first text that is empty or only white space.
pub fn check_texts(name: &'static str, texts: &[String]) -> Result<()> {
    match texts.iter().position(|text| text.trim().is_empty()) {
        Some(i) => Err(Error::Invalid(format!("{name}: text {} of {} is empty; leave it out", i + 1, texts.len()))),
        None => Ok(()),
    }
}
