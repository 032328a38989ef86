//! A manifest's own keys in `[data]`.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::augment::Augment;
use crate::config::TrainConfig;
use crate::data::{BrokenRule, Own};
use crate::error::Result;

/// A manifest's own keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The manifest: JSON lines, CSV or WebDataset shards ([`vljepa_data::manifest::Manifest::open`]).
    #[serde(skip_serializing)]
    pub manifest: PathBuf,
    /// Frames of a clip; absent: the model's.
    pub frames: Option<usize>,
    /// MiB of decoded and prepared rows that are kept in memory, so that later epochs need not read them again; what has no room
    /// is read each time. It changes no bit of what is computed.
    #[serde(skip_serializing)]
    pub cache_mib: usize,
    /// Changes to the pictures and clips before each step; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { manifest: PathBuf::new(), frames: None, cache_mib: 512, augment: None }
    }
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
    /// As [`Own::of`]: unknown keys, values of a wrong type and values out of their range.
    pub fn of(config: &TrainConfig) -> Result<Self> {
        Own::of(config, Self::read, Self::problem)
    }

    /// The first rule that the values break.
    pub(super) fn problem(&self) -> Option<BrokenRule> {
        if self.manifest.as_os_str().is_empty() {
            let what =
                "`data.manifest` is missing; name a manifest: JSON lines, CSV with a header, or WebDataset shards";
            return Some(("data.manifest".into(), what.into()));
        }
        let ranges = [("frames", self.frames, 1..=4096), ("cache_mib", Some(self.cache_mib), 0..=1 << 24)];
        let broken = |(key, value, range): (&str, Option<usize>, RangeInclusive<usize>)| {
            let value = value.filter(|value| !range.contains(value))?;
            Some((
                format!("data.{key}"),
                format!("`data.{key}` is {value}, must be in {}..={}", range.start(), range.end()),
            ))
        };
        let augment = || {
            let (key, what) = self.augment.as_ref()?.options().problem()?;
            Some((format!("data.augment.{key}"), what))
        };
        ranges.into_iter().find_map(broken).or_else(augment)
    }
}
