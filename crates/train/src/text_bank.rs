//! The texts of a source's classes on the device, and the head of the Y-Encoder that they whiten.

use vljepa_embed::Embedder;
use vljepa_embed::rows::normalize_rows;
use vljepa_model::{Forward, VlJepa};
use vljepa_tensor::autograd::Var;
use vljepa_tensor::{Device, Tensor, ops};

use crate::config::{TextKind, YHeadConfig};
use crate::data::Bank;
use crate::error::{Result, TrainError};
use crate::linalg::{Hint, whiten};

/// Texts of the classes as pooled vectors of the frozen Y-Encoder, on the device.
#[derive(Clone, Debug)]
pub struct TextBank {
    hidden: usize,
    pub(crate) classes: usize,
    /// Of each kind of text the rows of all classes, in parts that a binding holds: `[rows, hidden]` each.
    pub(crate) kinds: Vec<Vec<Tensor>>,
}

impl TextBank {
    /// Encodes the texts of every class, of each of `kinds`, and uploads them.
    ///
    /// # Errors
    /// What the tokenizer and the model report.
    pub fn encode(embedder: &Embedder<'_>, bank: &dyn Bank, kinds: &[TextKind]) -> Result<Self> {
        let hidden = embedder.model.config.y_encoder.output_size();
        let limits = embedder.device.limits();
        let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let most = (bytes / (4 * hidden as u64)).max(1) as usize;
        let upload =
            |&kind: &TextKind| in_parts(embedder.device, &embedder.text_features(&bank.texts(kind))?, hidden, most);
        Ok(Self { hidden, classes: bank.classes(), kinds: kinds.iter().map(upload).collect::<Result<_>>()? })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Rows by number, `[len, hidden]`; the rows of a kind come behind those of the kinds before it.
    pub(crate) fn rows(&self, device: &Device, ids: &[u32]) -> Result<Tensor> {
        let parts: Vec<&Tensor> = self.kinds.iter().flatten().collect();
        let ids = ops::upload_ids(device, &[ids.len()], ids, self.kinds.len() * self.classes)?;
        Ok(ops::gather_rows_of_parts(&parts, &ids)?)
    }

    /// The row of a class, where `choice` says which kind of text stands for it.
    pub(crate) fn row(&self, class: u32, choice: &[u32]) -> u32 {
        choice.get(class as usize).copied().unwrap_or(0) * self.classes as u32 + class
    }

    /// The first kind's texts through the head of `model`, `[classes, embedding_dim]`, L2-normalised.
    ///
    /// # Errors
    /// What the model reports.
    pub fn embeddings(&self, model: &VlJepa) -> Result<Vec<f32>> {
        let mut out = Vec::with_capacity(self.classes * model.config.embedding_dim);
        for part in self.kinds.iter().take(1).flatten() {
            let rows = model.project_text(&Forward::inference(), &Var::constant(part.clone()))?;
            out.extend(rows.value().to_f32()?);
        }
        normalize_rows(&mut out, model.config.embedding_dim);
        Ok(out)
    }

    /// Puts the map that centres and whitens the first kind's features into the Y-Encoder's head, as `config` says.
    ///
    /// # Errors
    /// [`TrainError::Setting`] when the texts span fewer dimensions than the head gives, or the head has no bias; what the
    /// model reports.
    pub fn whiten_head(&self, embedder: &Embedder<'_>, bank: &dyn Bank, config: &YHeadConfig) -> Result<()> {
        let model = embedder.model;
        let mut labels = Vec::with_capacity(self.classes * self.hidden);
        for part in self.kinds.iter().take(1).flatten() {
            labels.extend(part.to_f32()?);
        }
        let hints = match config.tags > 0.0 {
            true => Some(embedder.text_features(&bank.hints())?),
            false => None,
        };
        let hint = hints.as_ref().map(|rows| Hint { rows, share: config.tags, ridge: config.ridge });
        whiten_head(model, &labels, config, hint.as_ref())
    }
}

/// Puts the map that centres and whitens features of texts, `[texts, output size of the Y-Encoder]`, into the Y-Encoder's head, as
/// `config` says.
///
/// # Errors
/// As [`TextBank::whiten_head`].
pub(crate) fn whiten_head(
    model: &VlJepa,
    features: &[f32],
    config: &YHeadConfig,
    hint: Option<&Hint<'_>>,
) -> Result<()> {
    let (hidden, dim) = (model.config.y_encoder.output_size(), model.config.embedding_dim);
    let Some(map) = whiten(features, hidden, dim, config.strength, hint) else {
        let what = format!(
            "`objective.y_head`: {} texts of {hidden} dimensions cannot be whitened to {dim}: take a smaller `embedding_dim` or \
             `whiten = false`",
            features.len() / hidden.max(1)
        );
        return Err(TrainError::setting("objective.y_head", what));
    };
    let head = model.y_head();
    let Some(bias) = head.bias() else {
        return Err(TrainError::setting(
            "objective.y_head",
            "`objective.y_head`: whitening needs a head with a bias; take `whiten = false` or a model with one",
        ));
    };
    head.weight().tensor().write_f32(&map.weight)?;
    bias.tensor().write_f32(&map.bias)?;
    Ok(())
}

/// Uploads rows of `width` numbers, at most `most` of them in a tensor.
fn in_parts(device: &Device, rows: &[f32], width: usize, most: usize) -> Result<Vec<Tensor>> {
    let part = |part: &[f32]| Ok(Tensor::from_f32(device, &[part.len() / width, width], part)?);
    rows.chunks(most.saturating_mul(width)).map(part).collect()
}

#[cfg(test)]
mod tests {
    use vljepa_tensor::DeviceOptions;

    use super::*;

    #[test]
    fn rows_of_a_bank_in_parts_are_those_of_one_in_a_piece() {
        let device = Device::open(DeviceOptions::default()).unwrap();
        // Two kinds of text for five classes: class c of kind k has the row [10 k + c, −c].
        let rows = |kind: u8| (0..5u8).flat_map(|c| [f32::from(10 * kind + c), -f32::from(c)]).collect::<Vec<_>>();
        let choice = [0, 1, 1, 0, 1];
        for most in [1, 2, 5, 100] {
            let kinds = [0, 1].map(|kind| in_parts(&device, &rows(kind), 2, most).unwrap()).to_vec();
            assert_eq!(kinds[0].len(), 5usize.div_ceil(most));
            let bank = TextBank { hidden: 2, classes: 5, kinds };
            let ids = [4, 0, 1, 4].map(|class| bank.row(class, &choice));
            let got = bank.rows(&device, &ids).unwrap();
            assert_eq!((got.shape(), got.to_f32().unwrap()), (&[4, 2][..], vec![14., -4., 0., 0., 11., -1., 14., -4.]));
        }
    }
}
