//! A row of a manifest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::Split;
use super::shards::Member;

/// Where the media of a row is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A picture, a video, or a folder of frames.
    Path(PathBuf),
    /// A picture or a video in a shard.
    Member(Member),
}

/// Which row of its file a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The line that it begins on, from 1.
    Line(u64),
    /// The sample of a shard.
    Sample(String),
}

/// A picture or a clip, and what is right to say of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What is seen.
    pub place: Place,
    /// Where the clip begins in seconds; absent: at the start.
    pub start: Option<f64>,
    /// Where it ends in seconds, not included; absent: at the end.
    pub end: Option<f64>,
    /// What is asked about it.
    pub query: Option<String>,
    /// Texts that are right; at least one.
    pub targets: Vec<String>,
    /// How much it counts; positive, 1 is usual.
    pub weight: f32,
    /// The part of the data that it belongs to.
    pub split: Split,
    pub(super) list: Arc<Path>,
    pub(super) at: At,
}

impl Row {
    /// Where the row stands, for messages: "clips.jsonl: line 3".
    pub fn origin(&self) -> String {
        match &self.at {
            At::Line(line) => format!("{}: line {line}", self.list.display()),
            At::Sample(name) => format!("{}: sample {name}", self.list.display()),
        }
    }

    /// Whether the row names times.
    pub fn is_timed(&self) -> bool {
        self.start.is_some() || self.end.is_some()
    }
}
