//! Batches of token ids on the device.

use vljepa_tensor::{Device, Tensor};

use crate::error::Result;

/// Token ids of a batch with a mask of the real ones, padded on the right.
#[derive(Clone, Debug)]
pub struct Tokens {
    ids: Tensor,
    mask: Tensor,
    lengths: Vec<usize>,
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
            lengths: texts.iter().map(Vec::len).collect(),
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

    /// `[B, N]`, 1 for the last real token of each text and 0 elsewhere.
    ///
    /// # Errors
    /// Allocation errors.
    pub fn last_mask(&self) -> Result<Tensor> {
        self.mask_of(|length| length - 1)
    }

    /// `[B, N]`, 1 for the first token of each text and 0 elsewhere.
    ///
    /// # Errors
    /// Allocation errors.
    pub fn first_mask(&self) -> Result<Tensor> {
        self.mask_of(|_| 0)
    }

    /// `[B, N]`, 1 at the place that `place` gives for a text's length, 0 elsewhere; of an empty text all 0.
    fn mask_of(&self, place: impl Fn(usize) -> usize) -> Result<Tensor> {
        let (batch, len) = self.shape();
        let mut mask = vec![0; batch * len];
        for (row, &length) in self.lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            mask[row * len + place(length)] = 1;
        }
        Ok(Tensor::from_u32(self.ids.device(), &[batch, len], &mask)?)
    }

    /// Batch and length.
    pub fn shape(&self) -> (usize, usize) {
        (self.ids.shape()[0], self.ids.shape()[1])
    }

    /// The largest id, padding included, to be compared with a vocabulary.
    pub fn largest_id(&self) -> u32 {
        self.largest
    }
}
