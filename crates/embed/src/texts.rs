//! Texts through a text encoder, batch by batch.

use vljepa_model::{CutTexts, TextTokenizer, Tokens};
use vljepa_tensor::Device;
use vljepa_tensor::autograd::Var;

use crate::error::{Error, Result};
use crate::rows::Embeddings;

/// Texts of one batch where nothing else is asked for: texts are short.
pub const TEXT_BATCH: usize = 64;

/// What a text goes through before an encoder, and how many go together.
#[derive(Clone, Copy, Debug)]
pub struct TextBatcher<'a> {
    /// The model's name in messages.
    pub origin: &'a str,
    /// Where the encoder is.
    pub device: &'a Device,
    /// Its tokenizer.
    pub tokenizer: &'a TextTokenizer,
    /// Put before every text.
    pub prompt: &'a str,
    /// Token that fills short rows.
    pub pad: u32,
    /// Texts in a batch.
    pub batch: usize,
}

/// Rows of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct TextRows {
    /// Numbers of a row.
    pub width: usize,
    /// `[texts, width]` row-major, in the order of the texts, as the encoder gave them.
    pub values: Vec<f32>,
    /// Which texts were cut to the encoder's longest.
    pub cut: Option<CutTexts>,
}

impl TextRows {
    /// The rows with unit length, and which texts were cut.
    ///
    /// # Errors
    /// A row that is zero or not finite, by its text.
    pub fn into_unit(self, texts: &[impl AsRef<str>]) -> Result<(Embeddings, Option<CutTexts>)> {
        let mut rows = Embeddings::new(self.width);
        rows.extend(&self.values, |i| format!("the text {:?}", texts[i].as_ref()))?;
        Ok((rows, self.cut))
    }
}

impl TextBatcher<'_> {
    /// Which texts are longer than the encoder takes, and so are embedded without their ends.
    ///
    /// # Errors
    /// Texts that cannot be split into tokens.
    pub fn cut(&self, texts: &[impl AsRef<str>]) -> Result<Option<CutTexts>> {
        Ok(self.tokenizer.encode_all(self.prompt, texts).map_err(Error::model(self.origin))?.1)
    }

    /// Runs `encode` on batches of texts: ids to `[batch, width]`. `progress` is told how many texts are done.
    ///
    /// # Errors
    /// A text without tokens, or one that cannot be split into tokens, and what `encode` and the device report.
    pub fn run(
        &self,
        texts: &[impl AsRef<str>],
        width: usize,
        encode: impl Fn(&Tokens) -> vljepa_model::Result<Var>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<TextRows> {
        let (ids, cut) = self.tokenizer.encode_all(self.prompt, texts).map_err(Error::model(self.origin))?;
        // Texts of like length go together, so that little is spent on padding.
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
            for (&i, row) in part.iter().zip(encoded.chunks_exact(width.max(1))) {
                values[i * width..(i + 1) * width].copy_from_slice(row);
            }
            done += part.len();
            progress(done);
        }
        Ok(TextRows { width, values, cut })
    }
}

/// Refuses texts without a word, which would be ranked all the same. `name` is what the caller calls them.
///
/// # Errors
/// The first text that is empty or white space.
pub fn check_texts(name: &'static str, texts: &[String]) -> Result<()> {
    match texts.iter().position(|text| text.trim().is_empty()) {
        Some(i) => Err(Error::Invalid(format!("{name}: text {} of {} is empty; leave it out", i + 1, texts.len()))),
        None => Ok(()),
    }
}
