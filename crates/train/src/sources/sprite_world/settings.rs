//! Sprite World's own keys in `[data]` and `[evaluate]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vljepa_data::sprite_world::SpriteOptions;
use vljepa_data::sprite_world::words::Kind;

use crate::config::{TrainConfig, is_default};
use crate::data::{BrokenRule, Own};
use crate::error::Result;

/// Sprite World's own keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder of the emoji-vendors set; absent: `VLJEPA_EMOJI_VENDORS`, else the compact form in the repository.
    #[serde(skip_serializing)]
    pub dir: Option<PathBuf>,
    /// A folder of one's own drawings in place of the set: PNG or WebP files and `labels.jsonl`.
    #[serde(skip_serializing)]
    pub sprites: Option<PathBuf>,
    /// Whose drawings are trained on; each must have the role `train`.
    pub vendors: Vec<String>,
    /// Frames of a clip; absent: the model's.
    pub frames: Option<usize>,
    /// Fewest and most things in a clip.
    pub things: [usize; 2],
    /// Most events in a clip.
    pub events: usize,
    /// Questions about a clip, each of another kind; fewer where a clip has fewer.
    pub questions: usize,
    /// The share of clips that have a caption as a target without a query; clips without a question all have one.
    pub captions: f64,
    /// The share of captions that are of middle length and have one that is nearly right as a wrong answer ([`ObjectiveConfig::wrong`](crate::config::ObjectiveConfig::wrong)).
    #[serde(skip_serializing_if = "is_default")]
    pub nearly: f64,
    /// The share of clips that have one event and of which only the first and the last frame are shown, each for half of the time, unless
    /// the event leaves no trace. They are told, and asked what these frames decide.
    #[serde(skip_serializing_if = "is_default")]
    pub ends: f64,
    /// What is asked, each kind as often as clips allow it.
    pub kinds: Vec<Kind>,
    /// Steps at the start in which clips have one or two things and one event.
    pub easy_steps: u64,
    /// How many different clips there are; absent: none is seen twice.
    pub clips: Option<u64>,
    /// `evaluate.vendor`: whose drawings are validated on; must have the role `val`.
    #[serde(skip)]
    pub validate_on: String,
    /// `evaluate.clips`: how many clips are validated on.
    #[serde(skip)]
    pub validation_clips: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let SpriteOptions { things, events, .. } = SpriteOptions::default();
        Self {
            dir: None,
            sprites: None,
            vendors: ["noto", "twemoji", "emojione"].map(str::to_owned).to_vec(),
            frames: None,
            things,
            events,
            questions: 3,
            captions: 0.5,
            nearly: 0.0,
            ends: 0.0,
            kinds: Kind::ALL.to_vec(),
            easy_steps: 0,
            clips: None,
            validate_on: "noto-v1".into(),
            validation_clips: 200,
        }
    }
}

/// `[evaluate]`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Evaluate {
    vendor: String,
    clips: usize,
}

impl Default for Evaluate {
    fn default() -> Self {
        let Settings { validate_on, validation_clips, .. } = Settings::default();
        Self { vendor: validate_on, clips: validation_clips }
    }
}

impl Settings {
    pub(super) fn read(own: Own<'_>) -> Result<Self, toml::de::Error> {
        let settings = Self::deserialize(own.data)?;
        let Evaluate { vendor, clips } = Evaluate::deserialize(own.evaluate)?;
        Ok(Self { validate_on: vendor, validation_clips: clips, ..settings })
    }

    /// Those of a configuration.
    ///
    /// # Errors
    /// As [`Own::of`]: unknown keys, values of a wrong type and values out of their range.
    pub fn of(config: &TrainConfig) -> Result<Self> {
        Own::of(config, Self::read, Self::problem)
    }

    /// What clips look like; `frames` are the model's.
    pub(super) fn options(&self, frames: usize) -> SpriteOptions {
        let frames = self.frames.unwrap_or(frames);
        SpriteOptions { frames, things: self.things, events: self.events, ..SpriteOptions::default() }
    }

    /// The first rule that the values break.
    pub(super) fn problem(&self) -> Option<BrokenRule> {
        let share = |key: &'static str, value: f64| {
            (key, (0.0..=1.0).contains(&value), format!("`{key}` is {value}, must be in 0..=1"))
        };
        let rules = [
            ("data.vendors", !self.vendors.is_empty(), "`data.vendors` is empty".to_owned()),
            share("data.captions", self.captions),
            share("data.nearly", self.nearly),
            share("data.ends", self.ends),
            (
                "data.kinds",
                self.questions == 0 || !self.kinds.is_empty(),
                "`data.kinds` is empty; name kinds of questions, or take `questions = 0`".to_owned(),
            ),
            ("data.clips", self.clips != Some(0), "`data.clips` is 0, there is nothing to train on".to_owned()),
            (
                "evaluate.clips",
                (1..=100_000).contains(&self.validation_clips),
                format!("`evaluate.clips` is {}, must be in 1..=100000", self.validation_clips),
            ),
        ];
        let broken = rules.into_iter().find(|(_, holds, _)| !holds);
        let broken = broken.map(|(key, _, what)| (key.to_owned(), what));
        // Without a number of frames it is checked when the model is known.
        let frames = self.frames.unwrap_or(32);
        let options = || {
            self.options(frames).problem().map(|(key, what)| (format!("data.{key}"), format!("`data.{key}`: {what}")))
        };
        broken.or_else(options)
    }
}
