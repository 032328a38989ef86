//! Texts to token ids to tensors.

use vljepa_tensor::{Device, Tensor};

use crate::error::{ModelError, Result};

/// A tokenizer of the `tokenizer.json` form, with our truncation and padding instead of the file's own.
#[derive(Clone, Debug)]
pub struct TextTokenizer {
    inner: tokenizers::Tokenizer,
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`. Texts are cut to `max_tokens`, special tokens included.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the text is no tokenizer, or `max_tokens` leaves no room for a token.
    pub fn from_json(json: &[u8], max_tokens: usize) -> Result<Self> {
        let bad = |what: String| ModelError::Config { config: "tokenizer", what };
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(|e| bad(e.to_string()))?;
        let truncation = tokenizers::TruncationParams { max_length: max_tokens, ..Default::default() };
        inner.with_truncation(Some(truncation)).map_err(|e| bad(e.to_string()))?;
        inner.with_padding(None);
        Ok(TextTokenizer { inner })
    }

    /// Ids of a text with the special tokens of the file's template.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the tokenizer cannot split the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match self.inner.encode(text, true) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(e) => Err(ModelError::Config { config: "tokenizer", what: format!("cannot encode {text:?}: {e}") }),
        }
    }

    /// The number of ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

/// Token ids of a batch with a mask of the real ones, padded on the right.
#[derive(Clone, Debug)]
pub struct Tokens {
    ids: Tensor,
    mask: Tensor,
    largest: u32,
}

impl Tokens {
    /// Uploads a batch; shorter texts are filled with `pad_id`, which never changes a result.
    ///
    /// # Errors
    /// Allocation errors.
    pub fn new(device: &Device, texts: &[Vec<u32>], pad_id: u32) -> Result<Self> {
        let len = texts.iter().map(Vec::len).max().unwrap_or(0);
        let (mut ids, mut mask) = (Vec::with_capacity(texts.len() * len), Vec::with_capacity(texts.len() * len));
        for text in texts {
            ids.extend_from_slice(text);
            ids.resize(ids.len() + len - text.len(), pad_id);
            mask.resize(mask.len() + text.len(), 1);
            mask.resize(mask.len() + len - text.len(), 0);
        }
        Ok(Tokens {
            ids: Tensor::from_u32(device, &[texts.len(), len], &ids)?,
            mask: Tensor::from_u32(device, &[texts.len(), len], &mask)?,
            largest: ids.iter().copied().max().unwrap_or(0),
        })
    }

    /// `[B, N]` ids.
    pub fn ids(&self) -> &Tensor {
        &self.ids
    }

    /// `[B, N]`, 1 for real tokens and 0 for padding.
    pub fn mask(&self) -> &Tensor {
        &self.mask
    }

    /// Batch and length.
    pub fn shape(&self) -> (usize, usize) {
        (self.ids.shape()[0], self.ids.shape()[1])
    }

    /// The largest id, to be held against a vocabulary.
    pub fn largest_id(&self) -> u32 {
        self.largest
    }
}
