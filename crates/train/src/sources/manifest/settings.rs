//! A manifest's own keys in `[data]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::data::{BrokenRule, Own};
use crate::error::{Result, TrainError};

/// A manifest's own keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The manifest: JSON lines, CSV or WebDataset shards ([`vljepa_data::manifest::Manifest::open`]).
    #[serde(skip_serializing)]
    pub manifest: PathBuf,
    /// Frames of a clip; absent: the model's.
    pub frames: Option<usize>,
}

/// `[evaluate]`, of which nothing belongs to a manifest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evaluate {}

impl Settings {
    pub(super) fn read(own: Own<'_>) -> Result<Self, toml::de::Error> {
        let Evaluate {} = Evaluate::deserialize(own.evaluate)?;
        Self::deserialize(own.data)
    }

    /// Those of a configuration.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for unknown keys, values of a wrong type and values out of their range.
    pub fn of(config: &TrainConfig) -> Result<Self> {
        let settings = Own::of(config, Self::read)?;
        match settings.problem() {
            Some((key, what)) => Err(TrainError::setting(key, what)),
            None => Ok(settings),
        }
    }

    /// The first rule that the values break.
    pub(super) fn problem(&self) -> Option<BrokenRule> {
        if self.manifest.as_os_str().is_empty() {
            let what =
                "`data.manifest` is missing; name a manifest: JSON lines, CSV with a header, or WebDataset shards";
            return Some(("data.manifest".into(), what.into()));
        }
        let frames = self.frames.filter(|frames| !(1..=4096).contains(frames))?;
        Some(("data.frames".into(), format!("`data.frames` is {frames}, must be in 1..=4096")))
    }
}
