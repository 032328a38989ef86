//! The windows of a video that are being filled, opened one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use super::choose::{Rounding, uniform};
use super::sampling::Windows;
use super::span::SLACK;

/// Windows of a video: seven weeks of one a second.
const MAX_WINDOWS: usize = 1 << 22;

/// A clip of a video.
#[derive(Clone, Debug)]
pub struct Clip<T> {
    /// Number of the clip in its video, from 0.
    pub index: usize,
    /// When it begins, in seconds.
    pub start: f64,
    /// When it ends, in seconds: no later than the video.
    pub end: f64,
    /// Its frames; one that stands for several times is there several times.
    pub frames: Vec<Arc<T>>,
}

/// A frame that is on the screen from `start` to `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub start: f64,
    pub end: f64,
    /// When the frame after it begins; infinity after the last.
    pub next: f64,
}

/// Where windows and the times in them lie, in seconds or in frames.
pub(super) struct Axis {
    pub windows: Windows,
    pub frames: usize,
}

impl Axis {
    fn window(&self) -> f64 {
        match self.windows {
            Windows::Seconds { window, .. } => window,
            Windows::Frames { window, .. } => window as f64,
        }
    }

    fn stride(&self) -> f64 {
        match self.windows {
            Windows::Seconds { stride, .. } => stride,
            Windows::Frames { stride, .. } => stride as f64,
        }
    }

    fn unit(&self) -> &'static str {
        match self.windows {
            Windows::Seconds { .. } => "s",
            Windows::Frames { .. } => "frames",
        }
    }

    /// The times in a window at which it takes a frame.
    fn ticks(&self) -> Vec<f64> {
        match self.windows {
            Windows::Seconds { window, .. } => {
                (0..self.frames).map(|tick| tick as f64 * window / self.frames as f64).collect()
            }
            Windows::Frames { window, .. } => {
                uniform(window, self.frames, Rounding::Down).into_iter().map(|index| index as f64).collect()
            }
        }
    }
}

/// A window that has not ended.
struct Window<T> {
    index: usize,
    /// Where it begins on the axis.
    place: f64,
    /// When its first frame is shown.
    start: f64,
    frames: Vec<Arc<T>>,
    /// How many of its times the next frame fills.
    due: usize,
}

/// The windows that are being filled.
pub(super) struct Open<T> {
    pub axis: Axis,
    ticks: Vec<f64>,
    windows: VecDeque<Window<T>>,
    ready: VecDeque<Clip<T>>,
    /// The number of the next window that begins.
    next: usize,
    first: usize,
    /// Where the first window begins: seconds, or 0.
    base: f64,
    /// When the first window begins, once a frame of it was seen.
    pub origin: Option<f64>,
    /// Frames since the first window began.
    seen: usize,
    /// Seconds of the video that are behind.
    pub at: f64,
    last: Option<Arc<T>>,
    /// The frame that is shown now, until all windows that begin meanwhile were opened.
    now: Option<Now>,
    pub ended: bool,
}

/// A frame that windows are filled with, and the part of the axis that it takes.
#[derive(Clone, Copy)]
struct Now {
    shown: Shown,
    from: f64,
    to: f64,
    last: bool,
}

impl Now {
    /// How many of a window's times that are left it is shown at.
    fn due<T>(&self, window: &Window<T>, ticks: &[f64]) -> usize {
        let rest = ticks.get(window.frames.len()..).unwrap_or_default();
        let due = rest.iter().take_while(|tick| self.last || window.place + **tick < self.to - SLACK).count();
        // The first window of all may begin before the first frame, by rounding.
        let first = due == 0 && window.frames.is_empty() && window.place <= self.from + SLACK;
        if first { 1 } else { due }
    }
}

impl<T> Open<T> {
    pub fn new(axis: Axis, first: usize) -> Self {
        let ticks = axis.ticks();
        Self {
            axis,
            ticks,
            windows: VecDeque::new(),
            ready: VecDeque::new(),
            next: 0,
            first,
            base: 0.0,
            origin: None,
            seen: 0,
            at: 0.0,
            last: None,
            now: None,
            ended: false,
        }
    }

    pub fn take(&mut self) -> Option<Clip<T>> {
        self.ready.pop_front()
    }

    /// The part of the axis that a frame takes.
    fn place(&self, shown: &Shown) -> (f64, f64) {
        match self.axis.windows {
            Windows::Seconds { .. } => (shown.start, shown.end),
            Windows::Frames { .. } => (self.seen as f64, self.seen as f64 + 1.0),
        }
    }

    /// Begins with a frame: opens the first window that begins while it is shown, and says whether any window takes the frame. The last
    /// frame is taken for all times that are left.
    pub fn begin(&mut self, shown: Shown, start: Option<f64>, last: bool) -> bool {
        let origin = *self.origin.get_or_insert_with(|| match self.axis.windows {
            Windows::Seconds { .. } => start.unwrap_or(shown.start).max(shown.start),
            Windows::Frames { .. } => shown.start,
        });
        if matches!(self.axis.windows, Windows::Seconds { .. }) {
            self.base = origin;
        }
        let (from, to) = self.place(&shown);
        let now = Now { shown, from, to, last };
        self.now = Some(now);
        self.open_next(&now);
        let mut wanted = false;
        for window in &mut self.windows {
            window.due = now.due(window, &self.ticks);
            wanted |= window.due > 0;
        }
        wanted
    }

    /// Opens the next window, where it begins while the frame is shown.
    fn open_next(&mut self, now: &Now) -> bool {
        loop {
            let place = self.base + self.next as f64 * self.axis.stride();
            // A frame of no duration, as the only one of a still, is there for the first window.
            if place >= now.to - SLACK && self.next > 0 {
                return false;
            }
            let index = self.next;
            self.next += 1;
            if index >= self.first {
                let start = if matches!(self.axis.windows, Windows::Seconds { .. }) { place } else { now.shown.start };
                self.windows.push_back(Window { index, place, start, frames: Vec::new(), due: 0 });
                return true;
            }
        }
    }

    /// Opens and fills one more window that begins while the present frame is shown; one after the other, for a frame may be shown for
    /// longer than any number of windows.
    pub fn more(&mut self) -> bool {
        let Some(now) = self.now else { return false };
        if !self.open_next(&now) {
            self.now = None;
            self.seen += 1;
            return false;
        }
        if let (Some(window), Some(frame)) = (self.windows.back_mut(), &self.last) {
            let due = now.due(window, &self.ticks);
            window.frames.resize(due, Arc::clone(frame));
        }
        self.end_with(&now);
        true
    }

    /// Refuses more windows than a video may have, of which it is known that it lasts `seconds` and has `frames` frames.
    pub fn check_count(&self, seconds: f64, frames: usize) -> Result<(), String> {
        let end = match self.axis.windows {
            Windows::Seconds { .. } => self.at.max(seconds),
            Windows::Frames { .. } => self.seen.max(frames) as f64,
        };
        let count = ((end - self.base) / self.axis.stride()).ceil();
        if count <= MAX_WINDOWS as f64 {
            return Ok(());
        }
        let (window, stride, unit) = (self.axis.window(), self.axis.stride(), self.axis.unit());
        Err(format!(
            "{end} {unit} make {count} windows of {window} {unit}, one every {stride} {unit}, and at most {MAX_WINDOWS} are possible; \
             choose a longer window or stride, or an earlier end"
        ))
    }

    /// Gives a frame to the windows that take it.
    pub fn fill(&mut self, frame: Arc<T>) {
        for window in &mut self.windows {
            for _ in 0..std::mem::take(&mut window.due) {
                window.frames.push(Arc::clone(&frame));
            }
        }
        self.last = Some(frame);
    }

    /// Ends the windows that are over when the present frame is.
    pub fn pass(&mut self) {
        if let Some(now) = self.now {
            self.end_with(&now);
        }
    }

    fn end_with(&mut self, now: &Now) {
        while let Some(window) = self.windows.front().filter(|w| w.place + self.axis.window() <= now.to + SLACK) {
            let end = match self.axis.windows {
                Windows::Seconds { window: length, .. } => window.place + length,
                Windows::Frames { .. } => now.shown.end,
            };
            self.complete(end);
        }
    }

    fn complete(&mut self, end: f64) {
        let Some(mut window) = self.windows.pop_front() else { return };
        // All times lie before the window's end; rounding may have kept the last one out.
        if let Some(last) = window.frames.last().or(self.last.as_ref()).cloned() {
            window.frames.resize(self.ticks.len(), last);
            let Window { index, start, frames, .. } = window;
            self.ready.push_back(Clip { index, start, end, frames });
        }
    }

    /// Ends all windows with the video: the one that shows something that the one before it did not, and drops the rest.
    pub fn finish(&mut self) {
        self.ended = true;
        let end = match self.axis.windows {
            Windows::Seconds { .. } => self.at,
            Windows::Frames { .. } => self.seen as f64,
        };
        while let Some(window) = self.windows.front() {
            let before = window.place - self.axis.stride() + self.axis.window();
            if window.index > 0 && before >= end - SLACK {
                self.windows.clear();
                return;
            }
            self.complete(self.at);
        }
    }
}
