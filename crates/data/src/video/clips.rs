//! The clips of a video, one after the other, in one pass and in memory that does not grow with its length.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::choose::{Rounding, uniform};
use super::reader::{Frame, VideoReader};
use super::sampling::{Clipping, Windows};
use super::source::Access;
use super::span::{SLACK, span};
use crate::{DataError, Rgb8Image};

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

/// Gives the clips of a video in order. Frames are prepared once each, and only those that a clip takes.
///
/// Windows follow each other from the start; the last one is shorter where the video is, and there is one in any case. At each of its times
/// a window takes the frame that is on the screen then; after the end of the video it is the last one.
pub struct Clips<'a, T> {
    reader: &'a mut VideoReader,
    clipping: Clipping,
    cursor: Cursor,
    state: State<T>,
}

enum State<T> {
    Whole { given: bool },
    Windows(Open<T>),
}

impl<'a, T> Clips<'a, T> {
    /// The clips of `reader` from number `first` on. Of a video that is read once and becomes one clip, at most `hold` frames are kept to
    /// choose from.
    ///
    /// # Errors
    /// What [`VideoReader::times`] reports.
    pub fn new(reader: &'a mut VideoReader, clipping: &Clipping, first: usize, hold: usize) -> Result<Self, DataError> {
        let state = match clipping.windows {
            None => State::Whole { given: first > 0 },
            Some(windows) => State::Windows(Open::new(Axis { windows, frames: clipping.frames }, first)),
        };
        let cursor = match (&state, reader.access()) {
            (State::Whole { .. }, Access::Once) => Cursor::Held { hold },
            (State::Whole { .. }, _) if clipping.is_part() => Cursor::known(reader)?,
            (State::Whole { .. }, _) => Cursor::Counted,
            (State::Windows(_), Access::Indexed) => Cursor::known(reader)?,
            (State::Windows(_), _) => Cursor::Stream(Stream::default()),
        };
        Ok(Self { reader, clipping: *clipping, cursor, state })
    }

    /// The part of the video that is behind, 0..1, where its length is known.
    pub fn passed(&self) -> Option<f64> {
        let State::Windows(open) = &self.state else { return None };
        let first = open.origin?;
        let end = self.clipping.end.unwrap_or(f64::INFINITY).min(self.reader.facts().duration?);
        Some(((open.at - first) / (end - first)).clamp(0.0, 1.0)).filter(|part| part.is_finite())
    }

    /// The next clip; `None` after the last. `prepare` makes of a frame what the clip holds of it.
    ///
    /// # Errors
    /// A broken stream, a video without frames, one that ends before the start, and those of `prepare`.
    pub fn next_clip<E: From<DataError>>(
        &mut self,
        prepare: &mut dyn FnMut(Rgb8Image) -> Result<T, E>,
    ) -> Result<Option<Clip<T>>, E> {
        match &mut self.state {
            State::Whole { given } => {
                if std::mem::replace(given, true) {
                    return Ok(None);
                }
                self.whole(prepare).map(Some)
            }
            State::Windows(_) => self.window(prepare),
        }
    }

    fn window<E: From<DataError>>(
        &mut self,
        prepare: &mut dyn FnMut(Rgb8Image) -> Result<T, E>,
    ) -> Result<Option<Clip<T>>, E> {
        let Self { reader, clipping, cursor, state: State::Windows(open), .. } = self else { return Ok(None) };
        loop {
            if let Some(clip) = open.take() {
                return Ok(Some(clip));
            }
            if open.ended {
                return Ok(None);
            }
            let shown = cursor.peek(reader)?;
            let limit = clipping.end.unwrap_or(f64::INFINITY);
            let Some(shown) = shown.filter(|shown| shown.start < limit) else {
                if open.origin.is_none() {
                    return Err(nothing(reader, clipping, open.at).into());
                }
                open.finish();
                continue;
            };
            let shown = Shown { end: shown.end.min(limit), ..shown };
            open.at = shown.end;
            // What ends before the start is never on the screen.
            let before = clipping.start.is_some_and(|start| match open.axis.windows {
                Windows::Seconds { .. } => shown.end <= start,
                Windows::Frames { .. } => shown.start < start - SLACK,
            });
            let last = shown.next >= limit;
            let wanted = !before && open.begin(&shown, clipping.start, last);
            let frame = cursor.advance(reader, wanted)?;
            if let Some(frame) = frame {
                open.fill(Arc::new(prepare(frame.rgb)?));
            }
            if !before {
                open.pass(&shown);
            }
        }
    }

    /// The whole video, or the part from start to end, as one clip.
    fn whole<E: From<DataError>>(&mut self, prepare: &mut dyn FnMut(Rgb8Image) -> Result<T, E>) -> Result<Clip<T>, E> {
        let Self { reader, clipping, cursor, .. } = self;
        if let Cursor::Held { hold } = cursor {
            return held(reader, clipping, *hold, prepare);
        }
        let (from, total, start, end) = match cursor {
            Cursor::Known { times, end, .. } => {
                let Range { start: from, end: to } = span(times, clipping.start, clipping.end);
                let ends = times.get(to).copied().unwrap_or(*end).min(clipping.end.unwrap_or(f64::INFINITY));
                (from, to - from, times.get(from).copied().unwrap_or_default(), ends)
            }
            _ => (0, reader.count()?, 0.0, reader.facts().duration.unwrap_or_default()),
        };
        if total == 0 {
            let end = if let Cursor::Known { end, .. } = cursor { *end } else { 0.0 };
            return Err(nothing(reader, clipping, end).into());
        }
        let mut frames: Vec<Arc<T>> = Vec::with_capacity(clipping.frames);
        let mut last = None;
        for index in uniform(total, clipping.frames, Rounding::Down) {
            let frame = match (last, frames.last()) {
                (Some(last), Some(frame)) if last == index => Arc::clone(frame),
                _ => {
                    reader.seek((from + index) as u64)?;
                    let frame = reader.next_frame()?.ok_or_else(|| missing(reader, from + index))?;
                    Arc::new(prepare(frame.rgb)?)
                }
            };
            frames.push(frame);
            last = Some(index);
        }
        Ok(Clip { index: 0, start, end, frames })
    }
}

fn missing(reader: &VideoReader, index: usize) -> DataError {
    DataError::content(reader.origin(), format!("frame {index} is missing; is the file whole?"))
}

/// The fault of a video of which nothing is left.
fn nothing(reader: &VideoReader, clipping: &Clipping, end: f64) -> DataError {
    let reason = match clipping.start.filter(|start| *start > 0.0) {
        Some(start) if end > 0.0 && start >= end - SLACK => {
            format!("it ends at {end:.3} s, before the start at {start} s; set an earlier start")
        }
        start if end > 0.0 => {
            let to = clipping.end.map_or(end, |limit| limit.min(end));
            format!(
                "no frame begins between {} and {to} s; set an earlier start or a later end",
                start.unwrap_or_default()
            )
        }
        _ => "the video has no frames; leave it out".into(),
    };
    DataError::content(reader.origin(), reason)
}

/// One clip of a stream that is read once: its frames are kept until their number is known.
fn held<T, E: From<DataError>>(
    reader: &mut VideoReader,
    clipping: &Clipping,
    hold: usize,
    prepare: &mut dyn FnMut(Rgb8Image) -> Result<T, E>,
) -> Result<Clip<T>, E> {
    let (mut frames, mut stream, mut end) = (Vec::new(), Stream::default(), 0.0);
    let mut start = None;
    while let Some(shown) = stream.peek(reader)? {
        if clipping.end.is_some_and(|limit| shown.start >= limit - SLACK) {
            break;
        }
        end = clipping.end.map_or(shown.end, |limit| limit.min(shown.end));
        let wanted = clipping.start.is_none_or(|start| shown.start >= start - SLACK);
        let frame = stream.advance(reader)?;
        if let Some(frame) = frame.filter(|_| wanted) {
            if frames.len() == hold {
                let reason =
                    format!("more than {hold} frames for one clip; set a window or a rate, and it is read in parts");
                return Err(DataError::content(reader.origin(), reason).into());
            }
            start.get_or_insert(frame.pts);
            frames.push(Arc::new(prepare(frame.rgb)?));
        }
    }
    let Some(start) = start else { return Err(nothing(reader, clipping, end).into()) };
    let chosen = uniform(frames.len(), clipping.frames, Rounding::Down);
    let frames = chosen.into_iter().map(|index| Arc::clone(&frames[index])).collect();
    Ok(Clip { index: 0, start, end, frames })
}

/// A frame that is on the screen from `start` to `end`.
#[derive(Clone, Copy, Debug)]
struct Shown {
    start: f64,
    end: f64,
    /// When the frame after it begins; infinity after the last.
    next: f64,
}

/// How long a video's only frame is shown.
fn alone(reader: &VideoReader) -> f64 {
    reader.facts().fps.filter(|fps| *fps > 0.0).map_or(0.0, |fps| 1.0 / fps)
}

/// Where frames and their times come from.
enum Cursor {
    /// The times of all frames are known before any is decoded, so that only those that are taken are.
    Known { times: Vec<f64>, end: f64, at: usize },
    /// Frames come one after the other.
    Stream(Stream),
    /// Only their number is needed.
    Counted,
    /// At most so many are kept.
    Held { hold: usize },
}

impl Cursor {
    fn known(reader: &mut VideoReader) -> Result<Self, DataError> {
        let times = reader.times()?.to_vec();
        let last = times.last().copied().unwrap_or_default();
        let before = times.len().checked_sub(2).map(|before| times[before]);
        let step = before.map_or_else(|| alone(reader), |before| last - before);
        let end = reader.facts().duration.unwrap_or(last + step).max(last);
        Ok(Self::Known { times, end, at: 0 })
    }

    /// When the next frame is shown.
    fn peek(&mut self, reader: &mut VideoReader) -> Result<Option<Shown>, DataError> {
        match self {
            Self::Known { times, end, at } => Ok(times.get(*at).map(|start| {
                let next = times.get(*at + 1).copied();
                Shown { start: *start, end: next.unwrap_or(*end).max(*start), next: next.unwrap_or(f64::INFINITY) }
            })),
            Self::Stream(stream) => stream.peek(reader),
            Self::Counted | Self::Held { .. } => Ok(None),
        }
    }

    /// Goes past the next frame, and gives it where it is wanted.
    fn advance(&mut self, reader: &mut VideoReader, wanted: bool) -> Result<Option<Frame>, DataError> {
        match self {
            Self::Known { at, .. } => {
                let index = *at;
                *at += 1;
                if !wanted {
                    return Ok(None);
                }
                reader.seek(index as u64)?;
                reader.next_frame()?.map(Some).ok_or_else(|| missing(reader, index))
            }
            Self::Stream(stream) => Ok(stream.advance(reader)?.filter(|_| wanted)),
            Self::Counted | Self::Held { .. } => Ok(None),
        }
    }
}

/// Frames one after the other. The one after the next is read already, for its time is the end of the next.
#[derive(Default)]
struct Stream {
    next: Option<Frame>,
    after: Option<Frame>,
    begun: bool,
    /// Seconds from a frame to the one after it.
    step: Option<f64>,
}

impl Stream {
    fn peek(&mut self, reader: &mut VideoReader) -> Result<Option<Shown>, DataError> {
        if !self.begun {
            self.begun = true;
            self.next = reader.next_frame()?;
            self.after = if self.next.is_some() { reader.next_frame()? } else { None };
        }
        let Some(next) = &self.next else { return Ok(None) };
        let (end, after) = match &self.after {
            Some(after) => {
                self.step = Some(after.pts - next.pts);
                (after.pts, after.pts)
            }
            None => {
                let step = self.step.unwrap_or_else(|| alone(reader));
                (reader.facts().duration.unwrap_or(next.pts + step), f64::INFINITY)
            }
        };
        Ok(Some(Shown { start: next.pts, end: end.max(next.pts), next: after }))
    }

    fn advance(&mut self, reader: &mut VideoReader) -> Result<Option<Frame>, DataError> {
        let next = self.next.take();
        self.next = self.after.take();
        if self.next.is_some() {
            self.after = reader.next_frame()?;
        }
        Ok(next)
    }
}

/// Where windows and the times in them lie, in seconds or in frames.
struct Axis {
    windows: Windows,
    frames: usize,
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
struct Open<T> {
    axis: Axis,
    ticks: Vec<f64>,
    windows: VecDeque<Window<T>>,
    ready: VecDeque<Clip<T>>,
    /// The number of the next window that begins.
    next: usize,
    first: usize,
    /// Where the first window begins: seconds, or 0.
    base: f64,
    /// When the first window begins, once a frame of it was seen.
    origin: Option<f64>,
    /// Frames since the first window began.
    seen: usize,
    /// Seconds of the video that are behind.
    at: f64,
    last: Option<Arc<T>>,
    ended: bool,
}

impl<T> Open<T> {
    fn new(axis: Axis, first: usize) -> Self {
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
            ended: false,
        }
    }

    fn take(&mut self) -> Option<Clip<T>> {
        self.ready.pop_front()
    }

    /// The part of the axis that a frame takes.
    fn place(&self, shown: &Shown) -> (f64, f64) {
        match self.axis.windows {
            Windows::Seconds { .. } => (shown.start, shown.end),
            Windows::Frames { .. } => (self.seen as f64, self.seen as f64 + 1.0),
        }
    }

    /// Opens the windows that begin while a frame is shown, and says whether any window takes the frame. The last frame is taken for all
    /// times that are left.
    fn begin(&mut self, shown: &Shown, start: Option<f64>, last: bool) -> bool {
        let origin = *self.origin.get_or_insert_with(|| match self.axis.windows {
            Windows::Seconds { .. } => start.unwrap_or(shown.start).max(shown.start),
            Windows::Frames { .. } => shown.start,
        });
        if matches!(self.axis.windows, Windows::Seconds { .. }) {
            self.base = origin;
        }
        let (from, to) = self.place(shown);
        loop {
            let place = self.base + self.next as f64 * self.axis.stride();
            // A frame of no duration, as the only one of a still, is there for the first window.
            if place >= to - SLACK && self.next > 0 {
                break;
            }
            if self.next >= self.first {
                let start = if matches!(self.axis.windows, Windows::Seconds { .. }) { place } else { shown.start };
                self.windows.push_back(Window { index: self.next, place, start, frames: Vec::new(), due: 0 });
            }
            self.next += 1;
            if place >= to - SLACK {
                break;
            }
        }
        let mut wanted = false;
        for window in &mut self.windows {
            let rest = &self.ticks[window.frames.len()..];
            // The first window of all may begin before the first frame, by rounding.
            window.due = rest.iter().take_while(|tick| last || window.place + **tick < to - SLACK).count();
            if window.due == 0 && window.frames.is_empty() && window.place <= from + SLACK {
                window.due = 1;
            }
            wanted |= window.due > 0;
        }
        wanted
    }

    /// Gives a frame to the windows that take it.
    fn fill(&mut self, frame: Arc<T>) {
        for window in &mut self.windows {
            for _ in 0..std::mem::take(&mut window.due) {
                window.frames.push(Arc::clone(&frame));
            }
        }
        self.last = Some(frame);
    }

    /// Ends the windows that are over when a frame is.
    fn pass(&mut self, shown: &Shown) {
        let (_, to) = self.place(shown);
        self.seen += 1;
        while let Some(window) = self.windows.front().filter(|w| w.place + self.axis.window() <= to + SLACK) {
            let end = match self.axis.windows {
                Windows::Seconds { window: length, .. } => window.place + length,
                Windows::Frames { .. } => shown.end,
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
    fn finish(&mut self) {
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
