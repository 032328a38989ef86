//! What stands between a run's file and its first step.

use std::path::Path;
use std::sync::Arc;

use vljepa_embed::features::RowFeatures;
use vljepa_tensor::Device;

use super::event::Event;
use super::features;
use crate::error::{Result, TrainError};
use crate::feed::Maker;
use crate::start::{Kind, Prepared, Start, kind};
use crate::trainer::Trainer;

/// What a frozen X-Encoder makes of the source's rows, made where it is not there; `None` where the X-Encoder is trained.
pub(super) fn features_of(
    start: &Start,
    device: &Device,
    observer: &mut dyn FnMut(&Event),
) -> Result<Option<Arc<RowFeatures>>> {
    let (Some((stored, encoder)), Some(rows)) = (start.stored(device)?, start.source.rows()) else { return Ok(None) };
    let all: Vec<_> = rows.train.iter().chain(rows.validation).collect();
    features::make(&stored, &all, encoder, device, observer)?;
    Ok(Some(Arc::new(stored)))
}

/// A trainer at step 0 and the maker of its batches, as `path` says, for measuring and for loops of one's own.
///
/// # Errors
/// As [`run`](super::run).
pub fn prepare(device: &Device, path: &Path) -> Result<(Trainer, Maker)> {
    let own = match kind(path)? {
        Kind::VlJepa => None,
        Kind::Probe => Some("a run with `[probe]` is prepared by its own parts, a `ProbeTrainer` and its data"),
        Kind::World => Some("a run with `[world]` is prepared by its own parts, a `WorldTrainer` and its data"),
    };
    if let Some(what) = own {
        return Err(TrainError::Invalid(format!("{}: {what}", path.display())));
    }
    let start = Start::read(path, None)?;
    let stored = features_of(&start, device, &mut |_| ())?;
    let Prepared { trainer, .. } = start.assemble(device)?;
    let maker = Maker::new(start.source, start.config, trainer.preprocess());
    Ok(match stored {
        Some(stored) => (trainer.with_features(stored.clone()), maker.with_features(stored)),
        None => (trainer, maker),
    })
}
