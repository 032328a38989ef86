//! How videos are opened.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{DataError, Limits};

/// What happens where a frame inside of a video is damaged. (Of a file that is cut off, the whole frames are used either way,
/// and [`VideoReader::notes`](super::VideoReader::notes) says so.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damaged {
    /// Reading ends with an error that names the place.
    #[default]
    Stop,
    /// Another frame stands in its place, and [`VideoReader::notes`](super::VideoReader::notes) says so: of H.264 in MP4 and MOV
    /// the last whole one, up to the next frame where decoding can begin; of what `ffmpeg` reads, what its decoder makes of it.
    Conceal,
}

/// How videos are opened.
#[derive(Clone, Debug)]
pub struct VideoOptions {
    /// How large frames may be.
    pub limits: Limits,
    /// Pictures a second of a folder.
    pub folder_fps: f64,
    /// The program for formats that this crate does not read itself: a path, or a name on the PATH; `None` never runs one.
    pub ffmpeg: Option<PathBuf>,
    /// How long that program may write nothing while it is waited for, before it is ended.
    pub patience: Duration,
    /// What happens where a frame is damaged.
    pub damaged: Damaged,
}

impl Default for VideoOptions {
    /// The usual limits, 25 pictures a second, `ffmpeg` from the PATH with a minute of patience, [`Damaged::Stop`].
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            folder_fps: 25.0,
            ffmpeg: Some(PathBuf::from("ffmpeg")),
            patience: Duration::from_secs(60),
            damaged: Damaged::Stop,
        }
    }
}

impl VideoOptions {
    pub(super) fn check(&self) -> Result<(), DataError> {
        if self.folder_fps.is_finite() && self.folder_fps > 0.0 {
            return Ok(());
        }
        let reason = format!("folders at {} pictures a second", self.folder_fps);
        Err(DataError::Shape { what: "video", reason })
    }
}
