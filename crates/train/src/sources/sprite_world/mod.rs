//! Sprite World as a source: clips of drawings in motion with captions, questions and answers, made as they are needed. Training
//! sees the train split by training vendors in training wordings; validation the validation vendor; the suite [`evaluate`] measures
//! the test vendor in wordings that were held out.

mod corpus;
mod floors;
mod measure;
mod settings;
mod suite;
mod text_only;
mod worlds;

use std::sync::Arc;

use vljepa_data::emoji::{EmojiVendors, Role, Split, VendorId};
use vljepa_model::config::VlJepaConfig;

use crate::config::TrainConfig;
use crate::data::{Kind, Own, Source};
use crate::error::{Result, TrainError};
use crate::sources::emoji_vendors::vendor;

pub use corpus::Corpus;
pub use settings::Settings;
pub use suite::{
    Answered, Captioning, Cells, Chosen, Failure, HardNegatives, SpriteWorldOptions, SpriteWorldReport, VideoRetrieval,
    evaluate,
};
pub use worlds::{Players, of_role, world};

pub(super) const KIND: Kind = Kind {
    name: "sprite-world",
    paths: &["dir", "sprites"],
    check: |own: Own<'_>| Ok(Settings::read(own)?.problem()),
    open: |config, model| Ok(Arc::new(open(config, model)?) as Arc<dyn Source>),
};

/// Opens the world that a configuration describes, with clips as long as the model's.
///
/// # Errors
/// [`TrainError::Setting`] for drawings that cannot be read, vendors that are unknown or of another role, and clips that do not fit
/// the model.
pub fn open(config: &TrainConfig, model: &VlJepaConfig) -> Result<Corpus> {
    let settings = Settings::of(config)?;
    let options = settings.options(model.frames());
    let tubelet = model.x_encoder.tubelet_size.max(1);
    if let Some((key, what)) = options.problem() {
        let what = format!("`data.{key}`: {what}");
        return Err(TrainError::setting(format!("data.{key}"), what));
    }
    if !options.frames.is_multiple_of(tubelet) {
        let near = options.frames.div_ceil(tubelet) * tubelet;
        let what = format!(
            "`data.frames` ({}) is not a multiple of the model's tubelet ({tubelet}); take {near}",
            options.frames
        );
        return Err(TrainError::setting("data.frames", what));
    }
    if let Some(dir) = &settings.sprites {
        let dir = config.data.base.join(dir);
        let world = world(Players::Folder(&dir), options)
            .map_err(|error| TrainError::setting("data.sprites", format!("`data.sprites`: {error}")))?;
        return Corpus::new(world.clone(), world, settings);
    }
    let dir = settings.dir.as_ref().map_or_else(EmojiVendors::default_dir, |dir| config.data.base.join(dir));
    let set = EmojiVendors::open(dir).map_err(|error| {
        let hint = "name the folder of an emoji-vendors set here or in VLJEPA_EMOJI_VENDORS";
        TrainError::setting("data.dir", format!("`data.dir`: {error}; {hint}"))
    })?;
    let find = |(i, name): (usize, &String)| vendor(&set, &format!("data.vendors.{i}"), name, Role::Train);
    let vendors: Vec<VendorId> = settings.vendors.iter().enumerate().map(find).collect::<Result<_>>()?;
    let other = [vendor(&set, "evaluate.vendor", &settings.validate_on, Role::Val)?];
    let train = world(Players::Emoji { set: &set, vendors: &vendors, split: Split::Train }, options)?;
    let validation = world(Players::Emoji { set: &set, vendors: &other, split: Split::Train }, options)?;
    Corpus::new(train, validation, settings)
}
