//! Sliding windows over the frames of a stream.

use std::collections::VecDeque;

use vljepa_data::video::Frame;
use vljepa_data::{DataError, Preprocess, Rgb8Image};

use super::gate::Look;

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
        ((self.step() * self.hz - 1e-9).ceil() as usize).clamp(1, 1 << 12)
    }
}

/// A window that is complete.
#[derive(Clone, Debug)]
pub struct Window {
    /// Time of its first frame, in seconds of the source.
    pub start: f64,
    /// Time of its last frame.
    pub end: f64,
    /// `[frames, 3, size, size]`, as the model takes them.
    pub pixels: Vec<f32>,
    /// What is compared to tell whether anything has changed.
    pub look: Look,
    /// The frame in the middle, as the model sees it, in bytes.
    pub picture: Rgb8Image,
}

/// A frame, prepared once for all windows that it is in.
#[derive(Clone, Debug)]
struct Seen {
    time: f64,
    crop: Rgb8Image,
    pixels: Vec<f32>,
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
    /// Of them, those whose times went back.
    backward: u64,
    last: f64,
}

/// A gap in a stream's times of more than so many windows begins it anew: nothing is known of what happened.
const GAP: f64 = 4.0;

impl Sliding {
    /// Nothing seen. `to` prepares frames.
    pub fn new(windows: Windows, to: Preprocess) -> Self {
        Self {
            windows,
            to,
            seen: VecDeque::new(),
            next: None,
            since: 0.0,
            given: 0,
            backward: 0,
            last: f64::NEG_INFINITY,
        }
    }

    /// The next frame, in the order of time. Gives the windows that are complete with it; a frame that stays on the screen longer than a
    /// step of the window is taken as often.
    ///
    /// # Errors
    /// A frame that cannot be scaled.
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<Window>, DataError> {
        self.given += 1;
        if !frame.pts.is_finite() || frame.pts < self.last {
            self.backward += 1;
            return Ok(Vec::new());
        }
        let (ticks, period) = (self.windows.ticks(), 1.0 / self.windows.hz);
        let tick = self.windows.step() / ticks as f64;
        let apart = frame.pts - self.last;
        if apart > GAP * self.windows.seconds {
            // Also the first frame.
            self.seen.clear();
            self.since = period;
            self.next = Some(frame.pts);
        }
        self.last = frame.pts;
        let (mut out, mut prepared) = (Vec::new(), None);
        let most = (self.windows.frames - 1) * ticks + 1;
        // The frame nearest to a moment, as far as that is known without waiting for the next one.
        let early = 0.5 * if apart.is_finite() { apart.min(tick) } else { 0.0 };
        while let Some(next) = self.next.filter(|next| frame.pts + early >= *next) {
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

    /// Frames that were given, and of them those that were left out because their times went back.
    pub fn counts(&self) -> [u64; 2] {
        [self.given, self.backward]
    }

    fn prepare(&self, frame: &Frame, time: f64) -> Result<Seen, DataError> {
        let crop = self.to.square_crop_rgb(&frame.rgb)?;
        let mut pixels = vec![0.0; self.to.values()];
        self.to.normalize_into(&crop, &mut pixels)?;
        Ok(Seen { time, crop, pixels })
    }

    fn window(&self, ticks: usize) -> Window {
        let frames = || self.seen.iter().step_by(ticks);
        let crops: Vec<&[u8]> = frames().map(|seen| seen.crop.data.as_slice()).collect();
        let start = self.seen.front().map_or(0.0, |seen| seen.time);
        let blank = || Rgb8Image { width: 0, height: 0, data: Vec::new() };
        Window {
            start,
            end: start + self.windows.seconds,
            pixels: frames().flat_map(|seen| seen.pixels.iter().copied()).collect(),
            look: Look::of(&crops, self.to.size as usize),
            picture: self.seen.get(self.seen.len() / 2).map_or_else(blank, |seen| seen.crop.clone()),
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
    }

    #[test]
    fn windows_may_follow_faster_than_their_frames() {
        let found = windows(Windows { hz: 8.0, ..FOUR }, (0..200).map(|i| f64::from(i) * 0.05));
        assert!((64..=68).contains(&found.len()), "{}", found.len());
        assert!(found.windows(2).all(|pair| (pair[1][0] - pair[0][0] - 0.125).abs() < 1e-6), "{found:?}");
        // Three to two do not divide: the rate holds on average.
        let found = windows(Windows { hz: 3.0, ..FOUR }, (0..600).map(|i| f64::from(i) * 0.05));
        assert!((83..=87).contains(&found.len()), "{}", found.len());
    }

    #[test]
    fn a_gap_begins_anew_and_times_that_go_back_are_counted() {
        let times =
            (0..8).map(|i| f64::from(i) * 0.5).chain([2.0, f64::NAN]).chain((0..8).map(|i| 100.0 + f64::from(i) * 0.5));
        let mut sliding = Sliding::new(FOUR, Preprocess::square(4));
        let mut found = Vec::new();
        for time in times {
            found.extend(sliding.push(&frame(time, 1)).unwrap());
        }
        assert_eq!(sliding.counts(), [18, 2]);
        assert!(found.iter().all(|window| (window.end - window.start - 2.0).abs() < 1e-9));
        let later = found.iter().filter(|window| window.start >= 100.0).count();
        assert!(later >= 2 && found.len() == 2 * later, "{later} of {}", found.len());
    }
}
