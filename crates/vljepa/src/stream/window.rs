//! Sliding windows over the frames of a stream.

use std::collections::VecDeque;
use std::sync::Arc;

use vljepa_data::video::Frame;
use vljepa_data::{DataError, Preprocess, Rgb8Image};

use super::gate::{Cells, Look};

/// Most moments at which frames are taken for each frame of a window.
pub(super) const MAX_TICKS: f64 = 256.0;

/// The windows of a stream: how many frames at which rate, and how far apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Windows {
    /// Frames of a window: what the model was trained with.
    pub frames: usize,
    /// Seconds that a window covers.
    pub seconds: f64,
    /// Windows a second.
    pub hz: f64,
}

impl Windows {
    /// Seconds from a frame of a window to the next.
    pub fn step(&self) -> f64 {
        self.seconds / self.frames.max(1) as f64
    }

    /// Moments at which frames are taken for each frame of a window, so that windows can follow each other faster than their frames.
    fn ticks(&self) -> usize {
        (self.step() * self.hz - 1e-9).ceil().clamp(1.0, MAX_TICKS) as usize
    }
}

/// A window that is complete.
#[derive(Clone, Debug)]
pub struct Window {
    /// Time of its first frame, in seconds of the source.
    pub start: f64,
    /// Where it ends: a step after its last frame.
    pub end: f64,
    /// Its frames as the model sees them, in bytes; windows that overlap share them.
    pub frames: Vec<Arc<Rgb8Image>>,
    /// What is compared to tell whether anything has changed.
    pub look: Look,
}

impl Window {
    /// `[frames, 3, size, size]`, as the model takes them.
    ///
    /// # Errors
    /// Another preprocessing than the one that the window was made with.
    pub fn pixels(&self, to: &Preprocess) -> Result<Vec<f32>, DataError> {
        let mut pixels = vec![0.0; self.frames.len() * to.values()];
        for (frame, slot) in self.frames.iter().zip(pixels.chunks_exact_mut(to.values().max(1))) {
            to.normalize_into(frame, slot)?;
        }
        Ok(pixels)
    }

    /// The frame in its middle.
    pub fn picture(&self) -> Option<&Rgb8Image> {
        self.frames.get(self.frames.len() / 2).map(Arc::as_ref)
    }
}

/// A frame, prepared once for all windows that it is in.
#[derive(Clone, Debug)]
struct Seen {
    time: f64,
    crop: Arc<Rgb8Image>,
    cells: Cells,
}

/// Collects frames into windows. It holds the frames of one window and those between them, however long the stream is.
#[derive(Clone, Debug)]
pub struct Sliding {
    windows: Windows,
    to: Preprocess,
    seen: VecDeque<Seen>,
    /// The moment of the next frame that is taken.
    next: Option<f64>,
    /// Seconds of the stream since the last window.
    since: f64,
    /// Frames that were given.
    given: u64,
    /// Of them, those whose times are none or go back.
    left_out: u64,
    /// Time of the last frame, and how long it came after the one before.
    last: Option<(f64, f64)>,
}

/// A stream begins anew where its times leap, forth or back, by so many windows (or by so many times the usual distance of its frames, where
/// that is longer): nothing is known of what happened between.
const GAP: f64 = 4.0;

impl Sliding {
    /// Nothing seen. `to` prepares frames.
    pub fn new(windows: Windows, to: Preprocess) -> Self {
        Self { windows, to, seen: VecDeque::new(), next: None, since: 0.0, given: 0, left_out: 0, last: None }
    }

    /// The next frame, in the order of time. Gives the windows that are complete with it; a frame that stays on the screen longer than a
    /// step of the window is taken as often.
    ///
    /// # Errors
    /// A frame that cannot be scaled.
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<Window>, DataError> {
        self.given += 1;
        let (ticks, period) = (self.windows.ticks(), 1.0 / self.windows.hz);
        let tick = self.windows.step() / ticks as f64;
        let pts = frame.pts;
        let leap = |usual: f64| GAP * self.windows.seconds.max(usual);
        let apart = self.last.map(|(last, usual)| (pts - last, usual));
        let anew = apart.is_none_or(|(apart, usual)| apart.abs() > leap(usual));
        // A time so large that a tick is nothing beside it is none.
        let is_time = pts.is_finite() && pts + tick > pts;
        if !is_time || (!anew && apart.is_some_and(|(apart, _)| apart < 0.0)) {
            self.left_out += 1;
            return Ok(Vec::new());
        }
        let apart = apart.map_or(0.0, |(apart, _)| apart.max(0.0));
        if anew {
            self.seen.clear();
            (self.since, self.next) = (period, Some(pts));
        }
        self.last = Some((pts, apart));
        let (mut out, mut prepared) = (Vec::new(), None);
        let most = (self.windows.frames.max(1) - 1) * ticks + 1;
        // The frame nearest to a moment, as far as that is known without waiting for the next one.
        let early = 0.5 * if anew { 0.0 } else { apart.min(tick) };
        while let Some(next) = self.next.filter(|next| pts + early >= *next) {
            let seen = match &prepared {
                Some(seen) => Seen { time: next, ..Seen::clone(seen) },
                None => self.prepare(frame, next)?,
            };
            self.next = Some(next + tick);
            if self.seen.len() == most {
                self.seen.pop_front();
            }
            self.seen.push_back(seen.clone());
            prepared = Some(seen);
            if self.seen.len() < most {
                continue;
            }
            if self.since + 1e-9 >= period {
                // What is over counts for the next one, so that the rate holds on average.
                self.since = (self.since - period).min(period);
                out.push(self.window(ticks));
            }
            self.since += tick;
        }
        Ok(out)
    }

    /// Frames that were given, and of them those that were left out because their times are none or go back.
    pub fn counts(&self) -> [u64; 2] {
        [self.given, self.left_out]
    }

    fn prepare(&self, frame: &Frame, time: f64) -> Result<Seen, DataError> {
        let crop = Arc::new(self.to.square_crop_rgb(&frame.rgb)?);
        let cells = Cells::of(&crop.data, self.to.size as usize);
        Ok(Seen { time, crop, cells })
    }

    fn window(&self, ticks: usize) -> Window {
        let frames = || self.seen.iter().step_by(ticks);
        let start = self.seen.front().map_or(0.0, |seen| seen.time);
        Window {
            start,
            end: start + self.windows.seconds,
            frames: frames().map(|seen| Arc::clone(&seen.crop)).collect(),
            look: Look(frames().map(|seen| seen.cells.clone()).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(pts: f64, value: u8) -> Frame {
        Frame { rgb: Rgb8Image::new(4, 4, vec![value; 48]).unwrap(), pts }
    }

    fn windows(of: Windows, times: impl IntoIterator<Item = f64>) -> Vec<[f64; 2]> {
        let mut sliding = Sliding::new(of, Preprocess::square(4));
        let pushed = times.into_iter().flat_map(|time| sliding.push(&frame(time, 7)).unwrap());
        pushed.map(|window| [window.start, window.end]).collect()
    }

    const FOUR: Windows = Windows { frames: 4, seconds: 2.0, hz: 1.0 };

    #[test]
    fn windows_come_at_their_rate_whatever_the_rate_of_the_frames() {
        for rate in [2.0, 3.0, 7.0, 25.0, 60.0] {
            let count = (20.0 * rate) as usize;
            let found = windows(FOUR, (0..count).map(|i| i as f64 / rate));
            assert!((18..=19).contains(&found.len()), "{rate}: {}", found.len());
            assert_eq!(found[0], [0.0, 2.0]);
            assert!(found.windows(2).all(|pair| (pair[1][0] - pair[0][0] - 1.0).abs() < 1e-6), "{rate}: {found:?}");
            assert!(found.iter().all(|[start, end]| (end - start - 2.0).abs() < 1e-6));
        }
        // Slower than the window's own rate: frames stay on the screen.
        assert!((17..=19).contains(&windows(FOUR, (0..20).map(f64::from)).len()));
        // Much slower: each frame after the second brings the windows since the one before.
        assert!(windows(FOUR, (0..9).map(|i| 9.0 * f64::from(i))).len() > 50);
    }

    #[test]
    fn windows_may_follow_faster_than_their_frames() {
        let found = windows(Windows { hz: 8.0, ..FOUR }, (0..200).map(|i| f64::from(i) * 0.05));
        assert!((64..=68).contains(&found.len()), "{}", found.len());
        assert!(found.windows(2).all(|pair| (pair[1][0] - pair[0][0] - 0.125).abs() < 1e-6), "{found:?}");
        // Three to two do not divide: the rate holds on average.
        let found = windows(Windows { hz: 3.0, ..FOUR }, (0..600).map(|i| f64::from(i) * 0.05));
        assert!((83..=87).contains(&found.len()), "{}", found.len());
        // Far shorter than a frame stays.
        let found = windows(Windows { seconds: 0.01, hz: 20.0, ..FOUR }, (0..100).map(|i| f64::from(i) * 0.04));
        assert!((70..=85).contains(&found.len()), "{}", found.len());
    }

    #[test]
    fn a_leap_begins_anew_and_times_that_go_back_or_are_none_are_counted() {
        let eight = |from: f64| (0..8).map(move |i| from + f64::from(i) * 0.5);
        let times = eight(0.0).chain([2.0, f64::NAN, f64::INFINITY, 1e30]).chain(eight(100.0)).chain(eight(0.0));
        let mut sliding = Sliding::new(FOUR, Preprocess::square(4));
        let mut found = Vec::new();
        for time in times {
            found.extend(sliding.push(&frame(time, 1)).unwrap());
        }
        assert_eq!(sliding.counts(), [28, 4]);
        assert!(found.iter().all(|window| (window.end - window.start - 2.0).abs() < 1e-9));
        let later = found.iter().filter(|window| window.start >= 100.0).count();
        assert!(later >= 2 && found.len() == 3 * later, "{later} of {}", found.len());
    }

    #[test]
    fn pixels_are_those_of_the_frames() {
        let mut sliding = Sliding::new(FOUR, Preprocess::square(4));
        let mut found = Vec::new();
        for i in 0..8 {
            found.extend(sliding.push(&frame(f64::from(i) * 0.5, (51 * i % 255) as u8)).unwrap());
        }
        let pixels = found[0].pixels(&Preprocess::square(4)).unwrap();
        assert_eq!(pixels.len(), 4 * 48);
        for (i, frame) in pixels.chunks_exact(48).enumerate() {
            let want = (51 * i) as f32 / 255.0 * 2.0 - 1.0;
            assert!(frame.iter().all(|value| (value - want).abs() < 1e-5), "{i}: {}", frame[0]);
        }
        assert_eq!(found[0].picture().map(|picture| picture.data[0]), Some(102));
    }
}
