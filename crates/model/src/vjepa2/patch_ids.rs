//! Masks of V-JEPA 2 as lists of patch tokens.

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Device, Error, Tensor};

use crate::error::{ModelError, Result};

/// Ids of patch tokens, equally many for every clip of a batch.
///
/// An id counts tokens in the encoder's order: frame (tubelet) · rows · columns + row · columns + column.
#[derive(Clone, Debug)]
pub struct PatchIds {
    /// `[B, K]`
    ids: Tensor,
    /// `[B · K]`, ids into the tokens of the whole batch.
    flat: Tensor,
    /// Tokens of one clip.
    tokens: usize,
}

impl PatchIds {
    /// Uploads one list of ids for each clip; `tokens` is the number of tokens of a whole clip.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are no lists, an empty one, or lists of different lengths; [`Error::Invalid`] for
    /// an id that is no token of the clip.
    pub fn new(device: &Device, lists: &[Vec<u32>], tokens: usize) -> Result<Self> {
        let bad = |what: String| ModelError::Tensor(Error::Shape { op: "patch ids", what });
        let Some(len) = lists.first().map(Vec::len).filter(|&n| n > 0) else {
            return Err(bad("no ids; every clip needs at least one".into()));
        };
        if let Some((clip, list)) = lists.iter().enumerate().find(|(_, list)| list.len() != len) {
            return Err(bad(format!(
                "{} ids for clip {clip} and {len} for the first; cut the lists to one length",
                list.len()
            )));
        }
        let total = tokens.saturating_mul(lists.len());
        if total > u32::MAX as usize {
            return Err(bad(format!("{} clips of {tokens} tokens are beyond 32-bit ids", lists.len())));
        }
        let (mut ids, mut flat) = (Vec::with_capacity(len * lists.len()), Vec::with_capacity(len * lists.len()));
        for (clip, list) in lists.iter().enumerate() {
            for &id in list {
                if id as usize >= tokens {
                    let what = format!("patch ids: {id} for clip {clip}, which has the tokens 0..{tokens}");
                    return Err(ModelError::Tensor(Error::Invalid(what)));
                }
                ids.push(id);
                flat.push((clip * tokens) as u32 + id);
            }
        }
        Ok(PatchIds {
            ids: Tensor::from_u32(device, &[lists.len(), len], &ids)?,
            flat: Tensor::from_u32(device, &[flat.len()], &flat)?,
            tokens,
        })
    }

    /// `[B, K]` ids.
    pub fn ids(&self) -> &Tensor {
        &self.ids
    }

    /// Number of clips, and of ids for each.
    pub fn shape(&self) -> (usize, usize) {
        (self.ids.shape()[0], self.ids.shape()[1])
    }

    /// Tokens of a whole clip.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The tokens of these ids, `[B, N, D]` → `[B, K, D]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when `x` has another number of clips or tokens.
    pub fn select(&self, x: &Var) -> Result<Var> {
        let (batch, len) = self.shape();
        let &[b, n, width] = x.shape() else {
            let what = format!("{:?}, expected [batch, tokens, width]", x.shape());
            return Err(ModelError::Tensor(Error::Shape { op: "patch ids", what }));
        };
        if (b, n) != (batch, self.tokens) {
            let what = format!("{b} clips of {n} tokens, the ids are of {batch} clips of {}", self.tokens);
            return Err(ModelError::Tensor(Error::Shape { op: "patch ids", what }));
        }
        let rows = autograd::gather_rows(&x.reshape(&[b * n, width])?, &self.flat)?;
        Ok(rows.reshape(&[batch, len, width])?)
    }
}
