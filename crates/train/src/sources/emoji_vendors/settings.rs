//! The set's own keys in `[data]` and `[evaluate]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vljepa_data::AugmentOptions;

use crate::config::TrainConfig;
use crate::data::{BrokenRule, Own};
use crate::error::Result;

/// The set's own keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder of the set; absent: `VLJEPA_EMOJI_VENDORS`, else the compact form in the repository.
    #[serde(skip_serializing)]
    pub dir: Option<PathBuf>,
    /// Whose drawings are trained on; each must have the role `train`.
    pub vendors: Vec<String>,
    /// Unicode groups that are left out, such as `Flags`.
    pub exclude_groups: Vec<String>,
    /// Whether drawings of things with a colour in their name keep it.
    pub keep_named_colors: bool,
    /// Changes to the pictures.
    pub augment: AugmentOptions,
    /// `evaluate.vendor`: whose drawings are validated on; must have the role `val`.
    #[serde(skip)]
    pub validate_on: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dir: None,
            vendors: ["noto", "twemoji", "emojione"].map(str::to_owned).to_vec(),
            exclude_groups: Vec::new(),
            keep_named_colors: true,
            augment: AugmentOptions::default(),
            validate_on: "noto-v1".into(),
        }
    }
}

/// `[evaluate]`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Evaluate {
    vendor: String,
}

impl Default for Evaluate {
    fn default() -> Self {
        Self { vendor: Settings::default().validate_on }
    }
}

impl Settings {
    pub(super) fn read(own: Own<'_>) -> Result<Self, toml::de::Error> {
        let settings = Self::deserialize(own.data)?;
        Ok(Self { validate_on: Evaluate::deserialize(own.evaluate)?.vendor, ..settings })
    }

    /// Those of a configuration.
    ///
    /// # Errors
    /// As [`Own::of`]: unknown keys, values of a wrong type and values out of their range.
    pub fn of(config: &TrainConfig) -> Result<Self> {
        Own::of(config, Self::read, Self::problem)
    }

    /// The first rule that the values break.
    pub(super) fn problem(&self) -> Option<BrokenRule> {
        if self.vendors.is_empty() {
            return Some(("data.vendors".into(), "`data.vendors` is empty".into()));
        }
        self.augment.problem().map(|(key, what)| (format!("data.augment.{key}"), what))
    }
}
