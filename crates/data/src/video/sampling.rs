//! Which parts of a video become clips, and how many frames each of them has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// Most frames of a clip.
const MAX_FRAMES: usize = 4096;
/// Most windows that a moment may lie in.
const MAX_OVERLAP: f64 = 1024.0;
/// Longest time in seconds: some eleven days.
const MAX_SECONDS: f64 = 1e6;

/// How long a window is, or how far two of them are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// Seconds.
    Seconds(f64),
    /// Frames, of the video as it is or of the rate at which it is sampled.
    Frames(usize),
}

impl FromStr for Length {
    type Err = String;

    /// Reads "2.5" and "2.5s" as seconds, "16f" as frames.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is no length; give seconds, as in 2.5, or frames, as in 16f");
        let length = match text.trim().strip_suffix('f') {
            Some(frames) => Self::Frames(frames.parse().map_err(|_| expected())?),
            None => {
                let seconds = text.trim();
                Self::Seconds(seconds.strip_suffix('s').unwrap_or(seconds).parse().map_err(|_| expected())?)
            }
        };
        if length.is_valid() { Ok(length) } else { Err(format!("{text:?} is no length above zero")) }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(f, "{seconds} s"),
            Self::Frames(frames) => write!(f, "{frames} frames"),
        }
    }
}

impl Length {
    fn is_valid(self) -> bool {
        match self {
            Self::Seconds(seconds) => seconds.is_finite() && seconds > 0.0 && seconds <= MAX_SECONDS,
            Self::Frames(frames) => frames > 0,
        }
    }
}

/// How a video becomes clips. By default it is one clip: frames spread evenly from its first to its last.
///
/// With a window or a rate it becomes a row of windows, and two of `frames`, `fps` and `window` give the third: a window of `window`
/// seconds has `frames` = `fps` × `window` frames, `1 / fps` seconds apart. Of those that are left out, `frames` is the model's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Frames of a clip; absent: as many as the model was trained with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<usize>,
    /// Frames a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// How long a window is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Length>,
    /// From the start of a window to that of the next; absent: the window's length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<Length>,
    /// Where sampling starts, in seconds; absent: at the first frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<f64>,
    /// Where it ends, in seconds; absent: with the last frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<f64>,
}

/// A [`Sampling`] for a model: every number is known and fits the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clipping {
    pub(super) frames: usize,
    pub(super) start: Option<f64>,
    pub(super) end: Option<f64>,
    pub(super) windows: Option<Windows>,
}

/// Windows in seconds or in frames of the video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Windows {
    Seconds { window: f64, stride: f64 },
    Frames { window: usize, stride: usize },
}

impl Clipping {
    /// Frames of a clip.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Whether videos become windows; else each is one clip.
    pub fn has_windows(&self) -> bool {
        self.windows.is_some()
    }

    /// Whether clips are parts of a video, whose times are worth telling.
    pub fn is_part(&self) -> bool {
        self.has_windows() || self.start.is_some() || self.end.is_some()
    }
}

fn fault(reason: String) -> DataError {
    DataError::Shape { what: "sampling", reason }
}

impl Sampling {
    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether videos become windows.
    pub fn has_windows(&self) -> bool {
        self.window.is_some() || self.fps.is_some()
    }

    /// Settles every number for a model whose clips have `frames` frames.
    ///
    /// # Errors
    /// Numbers that are not above zero or not finite, that contradict each other, or that are beyond what is bearable; the message
    /// names the setting.
    pub fn settle(&self, frames: usize) -> Result<Clipping, DataError> {
        self.check()?;
        let own = self.frames.unwrap_or(frames);
        let (frames, windows) = match (self.window, self.fps) {
            (None, None) if self.stride.is_some() => {
                return Err(fault("a stride needs a window or a rate; set one, or leave the stride out".into()));
            }
            (None, None) => (own, None),
            (Some(Length::Frames(window)), None) => (own, Some(self.in_frames(window)?)),
            (Some(Length::Seconds(window)), None) => (own, Some(self.in_seconds(window, own as f64 / window)?)),
            (None, Some(fps)) => (own, Some(self.in_seconds(own as f64 / fps, fps)?)),
            (Some(window), Some(fps)) => {
                let seconds = match window {
                    Length::Seconds(seconds) => seconds,
                    Length::Frames(frames) => frames as f64 / fps,
                };
                (self.of_rate(window, seconds * fps, fps)?, Some(self.in_seconds(seconds, fps)?))
            }
        };
        if frames > MAX_FRAMES {
            return Err(fault(format!("clips of {frames} frames; at most {MAX_FRAMES} are possible")));
        }
        Ok(Clipping { frames, start: self.start, end: self.end, windows })
    }

    /// Checks each number alone.
    fn check(&self) -> Result<(), DataError> {
        if self.frames == Some(0) {
            return Err(fault("clips of 0 frames; at least 1 is needed".into()));
        }
        if let Some(fps) = self.fps.filter(|fps| !(fps.is_finite() && *fps > 0.0 && *fps <= 1e6)) {
            return Err(fault(format!("{fps} frames a second; the rate must be above 0 and at most 1000000")));
        }
        for (name, length) in [("window", self.window), ("stride", self.stride)] {
            if let Some(length) = length.filter(|length| !length.is_valid()) {
                return Err(fault(format!("a {name} of {length}; it must be above 0 and at most {MAX_SECONDS} s")));
            }
        }
        for (name, time) in [("start", self.start), ("end", self.end)] {
            if let Some(time) = time.filter(|time| !(time.is_finite() && *time >= 0.0 && *time <= MAX_SECONDS)) {
                return Err(fault(format!("the {name} at {time} s; it must be from 0 to {MAX_SECONDS} s")));
            }
        }
        match (self.start, self.end) {
            (Some(start), Some(end)) if start >= end => {
                Err(fault(format!("the start at {start} s is not before the end at {end} s")))
            }
            (None, Some(0.0)) => Err(fault("the end at 0 s leaves nothing".into())),
            _ => Ok(()),
        }
    }

    /// Frames of a window of `exact` frames at a rate: whole, and as many as were asked for.
    fn of_rate(&self, window: Length, exact: f64, fps: f64) -> Result<usize, DataError> {
        let frames = exact.round().max(1.0);
        match self.frames {
            Some(asked) if (exact - asked as f64).abs() > 0.5 => Err(fault(format!(
                "a window of {window} at {fps} frames a second has {frames} frames, not {asked}; leave one of the three out"
            ))),
            Some(asked) => Ok(asked),
            None if frames > MAX_FRAMES as f64 => {
                Err(fault(format!("clips of {frames} frames; at most {MAX_FRAMES} are possible")))
            }
            None => Ok(frames as usize),
        }
    }

    fn in_seconds(&self, window: f64, fps: f64) -> Result<Windows, DataError> {
        let stride = match self.stride {
            None => window,
            Some(Length::Seconds(seconds)) => seconds,
            Some(Length::Frames(frames)) => frames as f64 / fps,
        };
        overlap(window, stride)?;
        Ok(Windows::Seconds { window, stride })
    }

    fn in_frames(&self, window: usize) -> Result<Windows, DataError> {
        let stride = match self.stride {
            None => window,
            Some(Length::Frames(frames)) => frames,
            Some(Length::Seconds(seconds)) => {
                return Err(fault(format!(
                    "a window of {window} frames and a stride of {seconds} s; give both in seconds or both in frames, or a rate"
                )));
            }
        };
        overlap(window as f64, stride as f64)?;
        Ok(Windows::Frames { window, stride })
    }
}

fn overlap(window: f64, stride: f64) -> Result<(), DataError> {
    if window / stride <= MAX_OVERLAP {
        return Ok(());
    }
    Err(fault(format!("each moment would lie in {:.0} windows; at most {MAX_OVERLAP} are possible", window / stride)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_three_give_the_third() {
        let seconds = |window, stride| Some(Windows::Seconds { window, stride });
        let cases = [
            (Sampling::default(), 16, None),
            (Sampling { frames: Some(3), ..Sampling::default() }, 3, None),
            (Sampling { window: Some(Length::Seconds(4.0)), ..Sampling::default() }, 16, seconds(4.0, 4.0)),
            (Sampling { fps: Some(8.0), ..Sampling::default() }, 16, seconds(2.0, 2.0)),
            (Sampling { fps: Some(8.0), frames: Some(4), ..Sampling::default() }, 4, seconds(0.5, 0.5)),
            (
                Sampling { fps: Some(2.0), window: Some(Length::Seconds(3.0)), ..Sampling::default() },
                6,
                seconds(3.0, 3.0),
            ),
            (
                Sampling {
                    fps: Some(4.0),
                    window: Some(Length::Frames(8)),
                    stride: Some(Length::Frames(2)),
                    ..Sampling::default()
                },
                8,
                seconds(2.0, 0.5),
            ),
            (
                Sampling { window: Some(Length::Frames(32)), stride: Some(Length::Frames(8)), ..Sampling::default() },
                16,
                Some(Windows::Frames { window: 32, stride: 8 }),
            ),
        ];
        for (sampling, frames, windows) in cases {
            let settled = sampling.settle(16).unwrap();
            assert_eq!((settled.frames, settled.windows), (frames, windows), "{sampling:?}");
            let json = serde_json::to_string(&sampling).unwrap();
            assert_eq!(serde_json::from_str::<Sampling>(&json).unwrap(), sampling);
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let none = Sampling::default();
        let window = |length| Sampling { window: Some(length), ..none };
        let cases = [
            (Sampling { frames: Some(0), ..none }, "0 frames"),
            (Sampling { frames: Some(5000), ..none }, "at most 4096"),
            (Sampling { fps: Some(0.0), ..none }, "0 frames a second"),
            (Sampling { fps: Some(f64::NAN), ..none }, "NaN frames a second"),
            (Sampling { fps: Some(-3.0), ..none }, "-3 frames a second"),
            (window(Length::Seconds(f64::INFINITY)), "a window of inf s"),
            (window(Length::Seconds(-1.0)), "a window of -1 s"),
            (window(Length::Frames(0)), "a window of 0 frames"),
            (Sampling { stride: Some(Length::Seconds(1.0)), ..none }, "needs a window"),
            (Sampling { stride: Some(Length::Seconds(1e-9)), ..window(Length::Seconds(1.0)) }, "would lie in"),
            (Sampling { stride: Some(Length::Seconds(1.0)), ..window(Length::Frames(8)) }, "both in frames"),
            (Sampling { fps: Some(2.0), frames: Some(9), ..window(Length::Seconds(3.0)) }, "has 6 frames, not 9"),
            (Sampling { fps: Some(1e6), ..window(Length::Seconds(1e6)) }, "at most 4096"),
            (Sampling { start: Some(-0.1), ..none }, "the start at -0.1 s"),
            (Sampling { end: Some(f64::NAN), ..none }, "the end at NaN s"),
            (Sampling { end: Some(0.0), ..none }, "leaves nothing"),
            (Sampling { start: Some(2.0), end: Some(2.0), ..none }, "not before"),
        ];
        for (sampling, expected) in cases {
            let said = sampling.settle(16).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn lengths_are_read() {
        assert_eq!("2.5".parse(), Ok(Length::Seconds(2.5)));
        assert_eq!("2s".parse(), Ok(Length::Seconds(2.0)));
        assert_eq!("16f".parse(), Ok(Length::Frames(16)));
        for text in ["", "f", "x", "-1f", "1.5f", "0", "-2", "nan", "inf", "0f", "1e9", "3 m"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }
}
