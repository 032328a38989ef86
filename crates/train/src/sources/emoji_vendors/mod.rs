//! The `emoji-vendors` set as a source: the same concepts drawn by different design teams. Training sees the train split by
//! training vendors; validation the validation vendor and the validation concepts; the suite [`evaluate`] measures the rest.

mod corpus;
mod settings;
mod suite;

use std::sync::Arc;

use vljepa_data::emoji::EmojiVendors;

use crate::config::TrainConfig;
use crate::data::{Kind, Own, Source};
use crate::error::{Result, TrainError};

pub(crate) use corpus::vendor;
pub use corpus::{Corpus, Draw};
pub use settings::Settings;
pub use suite::{Cells, EmojiVendorsOptions, EmojiVendorsReport, Vendors, evaluate, evaluate_with};

pub(super) const KIND: Kind = Kind {
    name: "emoji-vendors",
    paths: &["dir"],
    check: |own: Own<'_>| Ok(Settings::read(own)?.problem()),
    open: |config, _| Ok(Arc::new(open(config)?) as Arc<dyn Source>),
};

/// Opens the set that a configuration names.
///
/// # Errors
/// [`TrainError::Setting`] when it cannot be read, and as [`Corpus::new`].
pub fn open(config: &TrainConfig) -> Result<Corpus> {
    let settings = Settings::of(config)?;
    let dir = settings.dir.as_ref().map_or_else(EmojiVendors::default_dir, |dir| config.data.base.join(dir));
    let set = EmojiVendors::open(dir).map_err(|error| {
        let hint = "name the folder of an emoji-vendors set here or in VLJEPA_EMOJI_VENDORS";
        TrainError::setting("data.dir", format!("`data.dir`: {error}; {hint}"))
    })?;
    Corpus::new(set, settings)
}
