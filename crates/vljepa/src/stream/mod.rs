//! The silent semantic state of a stream (arXiv 2512.10942, §4.6): an embedding of what goes on, updated window by window, decoded to a
//! sentence only where its meaning changes.
//!
//! ```text
//! frames ─► windows ─► gate ─► encoder ─► state ─► trigger ─► decoder
//!                        └── as the last encoded one: the state stays ──┘     └► alerts
//! ```

mod alert;
mod bank;
mod deliver;
mod encode;
mod engine;
mod feed;
mod gate;
mod segment;
mod selective;
mod selective_page;
mod sprite_streams;
mod surprise;
mod teller;
mod timeline;
mod trigger;
mod window;

pub use alert::{Alert, Event, Scored, Thresholds};
pub use bank::{CaptionBank, Told};
pub use deliver::{Delivery, EVENTS, Targets, Undelivered};
pub use encode::Encoder;
pub use engine::{Pending, Stream, StreamOptions, Summary, Update};
pub use feed::{Feed, Next};
pub use gate::{Cells, Gate, GateOptions, Look, Need};
pub use segment::Segmentation;
pub use selective::{Annotation, Curve, Cut, Point, SeenStream, Transcript, borders, curve, saving};
pub use selective_page::selective_page;
pub use sprite_streams::{FPS, SelectiveOptions, SelectiveReport, selective};
pub use surprise::{Moment, peaks, surprise, surprise_while};
pub use teller::{BEAMS, Sentence, Teller};
pub use timeline::{Timeline, clock};
pub use trigger::{Heard, Trigger, TriggerOptions, unit_mean};
pub use vljepa_train::metrics::roc_area;
pub use window::{Sliding, Window, Windows};

/// Sentences that tell what the model of Sprite World knows: what something does, and which way.
const SENTENCES: &str = include_str!("sentences.txt");

/// The sentences that states are told by where no others are given.
pub fn sentences() -> Vec<String> {
    SENTENCES.lines().map(str::to_owned).collect()
}
