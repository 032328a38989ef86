//! What happens in a stream, one thing after the other: sent to those who follow it, and kept as lines of a file.

use serde::{Deserialize, Serialize};

use super::media::{from_base64, to_base64};
use crate::stream::Summary;

/// What a stream is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    /// Its name in addresses.
    pub stream: String,
    /// What people call it: the name of the file, or the source.
    pub name: String,
    /// When it was begun, in seconds since 1970.
    pub created: u64,
    /// The model that watches it, and the hash of its folder.
    pub model: String,
    pub model_hash: String,
    /// Numbers of a row.
    pub dim: usize,
    /// Seconds of a window.
    pub window_s: f64,
    /// Windows a second.
    pub hz: f64,
    /// Seconds of the whole, where they are known before.
    pub duration_s: Option<f64>,
    /// Whether its source does not wait.
    pub live: bool,
    /// What is asked of every window, instead of what the whole is.
    pub query: Option<String>,
}

/// How close a window is to a text that is waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Scored {
    pub text: String,
    pub score: f64,
    pub on: bool,
}

/// How well the answer that was given last holds for a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    pub question: String,
    pub answer: String,
    pub score: f64,
}

/// A part of a stream in which one thing goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub start_s: f64,
    pub end_s: f64,
    pub text: String,
}

/// Why a stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reason {
    /// It was seen to its end.
    Finished,
    /// Somebody stopped it, or the server.
    Stopped,
    /// Its source or the model failed.
    Failed,
    /// The server ended without a word while it ran.
    Interrupted,
}

/// Counts of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub frames: u64,
    pub frames_left_out: u64,
    pub frames_dropped: u64,
    pub windows: u64,
    pub encoded: u64,
    pub audited: u64,
    pub fidelity: Option<f64>,
    pub worst_fidelity: Option<f64>,
    pub decoded: u64,
}

impl Counts {
    pub fn of(summary: &Summary, [frames, frames_left_out]: [u64; 2], frames_dropped: u64) -> Self {
        Self {
            frames,
            frames_left_out,
            frames_dropped,
            windows: summary.windows,
            encoded: summary.encoded,
            audited: summary.audited,
            fidelity: summary.fidelity,
            worst_fidelity: summary.worst,
            decoded: summary.spoken,
        }
    }
}

/// Something that happens. Times are seconds of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event {
    /// It begins.
    Started(About),
    /// A window was seen.
    Window {
        start_s: f64,
        end_s: f64,
        /// Of pixels, since the last window that was encoded.
        change: f32,
        encoded: bool,
        /// How far the state is from what was told last.
        novelty: f64,
        variance: f64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        alerts: Vec<Scored>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        questions: Vec<Held>,
    },
    /// The meaning has changed, and this is what it is now.
    Sentence { start_s: f64, end_s: f64, text: String, score: f64 },
    /// A text is waited for from now on.
    Waiting { text: String, above: Option<f64> },
    /// A time is over in which a text that is waited for was near.
    Alert { text: String, start_s: f64, end_s: f64, peak_s: f64, score: f64 },
    /// A question is asked from now on.
    Asked { question: String, answers: Vec<String> },
    /// The answer to a question, which is another one than before.
    Answer { question: String, text: String, score: f64, start_s: f64, end_s: f64 },
    /// The whole in parts, when it has ended.
    Segments { segments: Vec<Segment> },
    /// Something that is to be known of the source.
    Note { text: String },
    /// It is over.
    Ended { reason: Reason, message: Option<String>, counts: Counts },
}

impl Event {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::Window { .. } => "window",
            Self::Sentence { .. } => "sentence",
            Self::Waiting { .. } => "waiting",
            Self::Alert { .. } => "alert",
            Self::Asked { .. } => "asked",
            Self::Answer { .. } => "answer",
            Self::Segments { .. } => "segments",
            Self::Note { .. } => "note",
            Self::Ended { .. } => "ended",
        }
    }
}

/// An event as it stands in a file: with its number, and with the row and the picture that belong to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    pub id: u64,
    #[serde(flatten)]
    pub event: Event,
    /// The embedding of a window that was encoded, as base64 of little-endian f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// A JPEG as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

/// A row as text.
pub(super) fn row_text(row: &[f32]) -> String {
    to_base64(bytemuck::cast_slice(&row.iter().map(|value| value.to_bits().to_le()).collect::<Vec<u32>>()))
}

/// A row of `dim` finite numbers from text.
pub(super) fn row_of(text: &str, dim: usize) -> Option<Vec<f32>> {
    let bytes = from_base64(text)?;
    let (values, rest) = bytes.as_chunks::<4>();
    let row: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    (rest.is_empty() && row.len() == dim && row.iter().all(|value| value.is_finite())).then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let row = [0.6f32, -0.8, 1.0 / 3.0];
        let events = [
            Event::Window {
                start_s: 0.1,
                end_s: 2.1,
                change: 0.25,
                encoded: true,
                novelty: 1.0 / 3.0,
                variance: 1e-9,
                alerts: vec![Scored { text: "a \"dog\"".into(), score: 0.5, on: true }],
                questions: Vec::new(),
            },
            Event::Sentence { start_s: 0.0, end_s: 2.0, text: "it\njumps".into(), score: 0.9 },
            Event::Ended { reason: Reason::Stopped, message: None, counts: Counts { windows: 3, ..Counts::default() } },
        ];
        for (id, event) in events.into_iter().enumerate() {
            let line = Line { id: id as u64, event, row: Some(row_text(&row)), picture: None };
            let text = serde_json::to_string(&line).unwrap();
            assert!(!text.contains('\n') && text.contains(&format!("\"event\":\"{}\"", line.event.name())), "{text}");
            assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
        }
        assert_eq!(row_of(&row_text(&row), 3).as_deref(), Some(&row[..]));
        for bad in
            [row_text(&row[..2]), row_text(&[f32::NAN; 3]), "AAAA".into(), "*".into(), row_text(&row)[1..].into()]
        {
            assert_eq!(row_of(&bad, 3), None, "{bad}");
        }
    }
}
