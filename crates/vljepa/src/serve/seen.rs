//! What was seen of a stream, as far as it is in memory: events, windows with their states, pictures, frames.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::json;
use vljepa_data::Rgb8Image;
use vljepa_data::video::{Rounding, uniform};

use super::event::{Counts, Event, Reason};

/// Most windows of a stream that are kept in memory: 14 hours at two a second. The oldest go.
const MAX_WINDOWS: usize = 100_000;
/// Most events, likewise.
const MAX_EVENTS: usize = 120_000;
/// Most pictures; where there are more, every second one goes.
const MAX_PICTURES: usize = 2048;
/// Bytes of frames that are kept, so that what was seen can still be asked about.
const MAX_FRAMES: usize = 24 << 20;
/// Sentences that are kept for what is found.
const MAX_TOLD: usize = 10_000;

/// A window that was seen.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// The number of its event.
    pub id: u64,
    pub start: f64,
    pub end: f64,
    /// The state; windows that were not encoded share it with the last one that was.
    pub state: Arc<[f32]>,
    pub encoded: bool,
}

/// The frames of a window that was encoded.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    pub start: f64,
    pub end: f64,
    /// As the model sees them, in bytes; windows that overlap share them.
    pub frames: Vec<Arc<Rgb8Image>>,
}

/// What those read who follow.
#[derive(Default)]
pub(super) struct Shown {
    events: VecDeque<(u64, Event)>,
    pub moments: VecDeque<Moment>,
    /// By the number of the event.
    pictures: BTreeMap<u64, Arc<str>>,
    pub told: VecDeque<(f64, Arc<str>)>,
    frames: VecDeque<Frames>,
    frame_bytes: usize,
    pub counts: Counts,
    pub ended: Option<(Reason, Option<String>)>,
}

/// An event as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sent {
    pub id: u64,
    pub name: &'static str,
    pub data: String,
}

/// A moment that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub start: f64,
    pub end: f64,
    pub score: f32,
    pub picture: Option<Arc<str>>,
    /// What was told last before its end.
    pub text: Option<Arc<str>>,
}

/// A JPEG in base64 as an address.
pub(super) fn picture_url(base64: &str) -> String {
    format!("data:image/jpeg;base64,{base64}")
}

impl Shown {
    /// Adds an event, with the row and the picture that belong to it.
    pub fn add(&mut self, id: u64, event: Event, row: Option<Arc<[f32]>>, picture: Option<Arc<str>>) {
        match &event {
            Event::Window { start_s, end_s, encoded, .. } => {
                self.counts.windows += 1;
                self.counts.encoded += u64::from(*encoded);
                // A window that was not encoded has the state of the last one that was.
                let state = row.or_else(|| self.moments.back().map(|last| Arc::clone(&last.state)));
                if let Some(state) = state {
                    self.moments.push_back(Moment { id, start: *start_s, end: *end_s, state, encoded: *encoded });
                }
            }
            Event::Sentence { start_s, text, .. } => {
                self.counts.decoded += 1;
                self.told.push_back((*start_s, text.as_str().into()));
            }
            Event::Ended { reason, message, counts } => {
                self.ended = Some((*reason, message.clone()));
                self.counts = *counts;
            }
            _ => {}
        }
        self.events.push_back((id, event));
        if let Some(picture) = picture {
            self.pictures.insert(id, picture);
        }
        self.trim();
    }

    fn trim(&mut self) {
        if self.moments.len() > MAX_WINDOWS {
            self.moments.pop_front();
        }
        if self.told.len() > MAX_TOLD {
            self.told.pop_front();
        }
        while self.events.len() > MAX_EVENTS {
            let gone = self.events.pop_front();
            if let Some((id, _)) = gone {
                self.pictures.remove(&id);
            }
        }
        if self.pictures.len() > MAX_PICTURES {
            let mut keep = false;
            self.pictures.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
    }

    /// Keeps the frames of a window as far as there is room.
    pub fn keep(&mut self, frames: Frames) {
        let bytes = |frames: &Frames, before: Option<&Frames>| -> usize {
            let shared = |frame: &Arc<Rgb8Image>| {
                before.is_some_and(|before| before.frames.iter().any(|own| Arc::ptr_eq(own, frame)))
            };
            frames.frames.iter().filter(|frame| !shared(frame)).map(|frame| frame.data.len()).sum()
        };
        self.frame_bytes += bytes(&frames, self.frames.back());
        self.frames.push_back(frames);
        while self.frame_bytes > MAX_FRAMES && self.frames.len() > 1 {
            let Some(gone) = self.frames.pop_front() else { break };
            // What the next one shares with it stays.
            self.frame_bytes = self.frame_bytes.saturating_sub(bytes(&gone, self.frames.front()));
        }
    }

    /// The picture of an event, or the last one before it.
    pub fn picture_at(&self, id: u64) -> Option<Arc<str>> {
        let before = self.pictures.range(..=id).next_back();
        before.or_else(|| self.pictures.iter().next()).map(|(_, picture)| Arc::clone(picture))
    }

    /// The number of the last event.
    pub fn last(&self) -> Option<u64> {
        self.events.back().map(|(id, _)| *id)
    }

    /// Up to `most` events after number `id`, and the first number that is there where events between are kept no more.
    pub fn after(&self, id: u64, most: usize) -> (Vec<Sent>, Option<u64>) {
        let from = self.events.partition_point(|(own, _)| *own <= id);
        let events = self.events.iter().skip(from).take(most).map(|(id, event)| {
            let mut value = serde_json::to_value(event).unwrap_or_default();
            if let (Some(fields), Some(picture)) = (value.as_object_mut(), self.pictures.get(id)) {
                fields.insert("picture".into(), json!(picture_url(picture)));
            }
            Sent { id: *id, name: event.name(), data: value.to_string() }
        });
        let events: Vec<Sent> = events.collect();
        let first = self.events.front().map_or(0, |(first, _)| *first);
        (events, (id + 1 < first).then_some(first))
    }

    /// Up to `most` windows whose frames are kept and that end after a time, spread evenly.
    pub fn frames(&self, after: Option<f64>, most: usize) -> Vec<Frames> {
        let from = after.map_or(0, |after| self.frames.partition_point(|frames| frames.end <= after));
        let count = self.frames.len() - from;
        let chosen = if count <= most { (0..count).collect() } else { uniform(count, most, Rounding::Down) };
        chosen.into_iter().filter_map(|i| self.frames.get(from + i).cloned()).collect()
    }

    /// Keeps no frames any more.
    pub fn forget_frames(&mut self) {
        self.frames = VecDeque::new();
        self.frame_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(i: usize, encoded: bool) -> Event {
        let (start_s, end_s) = (i as f64, i as f64 + 2.0);
        let (alerts, questions) = (Vec::new(), Vec::new());
        Event::Window { start_s, end_s, change: 0.0, encoded, novelty: 0.0, variance: 0.0, alerts, questions }
    }

    #[test]
    fn memory_does_not_grow_with_the_length_of_a_stream() {
        let (mut shown, count) = (Shown::default(), MAX_EVENTS + 5000);
        for i in 0..count {
            let row = (i % 3 == 0).then(|| Arc::from([i as f32]));
            let picture = (i % 10 == 0).then(|| Arc::from("picture"));
            shown.add(i as u64 + 1, window(i, row.is_some()), row, picture);
        }
        assert_eq!((shown.events.len(), shown.moments.len()), (MAX_EVENTS, MAX_WINDOWS));
        assert!((MAX_PICTURES / 2 - 1..=MAX_PICTURES).contains(&shown.pictures.len()), "{}", shown.pictures.len());
        assert_eq!((shown.counts.windows, shown.last()), (count as u64, Some(count as u64)));
        // Windows between share the state of the last that was encoded.
        let last = shown.moments.back().unwrap();
        assert_eq!(last.state[0] as usize, (count - 1) / 3 * 3);
        // Whoever was away too long is told how much is missing.
        let (events, first) = shown.after(3, 2);
        assert_eq!((events.len(), events[0].id, first), (2, 5001, Some(5001)));
        assert_eq!(shown.after(5000, 1).1, None);
        assert_eq!(shown.after(count as u64, 9).0, []);
    }

    #[test]
    fn frames_are_kept_within_their_bytes_and_shared_ones_count_once() {
        let mut shown = Shown::default();
        let frame = || Arc::new(Rgb8Image::new(512, 512, vec![0; 512 * 512 * 3]).unwrap());
        let mut frames = VecDeque::from([frame(), frame()]);
        for i in 0..100 {
            frames.push_back(frame());
            frames.pop_front();
            shown.keep(Frames { start: i as f64, end: i as f64 + 2.0, frames: frames.iter().cloned().collect() });
        }
        let bytes = 512 * 512 * 3;
        assert!((MAX_FRAMES / bytes - 2..=MAX_FRAMES / bytes).contains(&shown.frames.len()), "{}", shown.frames.len());
        assert_eq!(shown.frame_bytes, (shown.frames.len() + 1) * bytes);
        let some = shown.frames(None, 5);
        assert_eq!((some.len(), some[4].end), (5, 101.0));
        let ends: Vec<f64> = shown.frames(Some(98.5), 5).iter().map(|frames| frames.end).collect();
        assert_eq!(ends, [99.0, 100.0, 101.0]);
        shown.forget_frames();
        assert!(shown.frames(None, 5).is_empty());
    }
}
