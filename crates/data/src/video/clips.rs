//! The clips of a video, one after the other, in one pass and in memory that does not grow with its length.

use std::ops::Range;
use std::sync::Arc;

use super::choose::{Rounding, uniform};
use super::filling::{Axis, Clip, Open, Shown};
use super::reader::{Frame, VideoReader};
use super::sampling::{Clipping, Windows};
use super::source::Access;
use super::span::{SLACK, span};
use crate::{DataError, Rgb8Image};

/// Memory in bytes for the frames of a stream that is read once and becomes one clip.
pub const HELD_FRAMES: usize = 1 << 30;

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
    Windows(Box<Open<T>>),
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
            Some(windows) => State::Windows(Box::new(Open::new(Axis { windows, frames: clipping.frames }, first))),
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
            if open.more() {
                continue;
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
            if before {
                cursor.advance(reader, false)?;
                continue;
            }
            let wanted = open.begin(shown, clipping.start, last);
            let known = cursor.known_length(reader);
            open.check_count(known.0.min(limit), known.1).map_err(|what| DataError::content(reader.origin(), what))?;
            let frame = cursor.advance(reader, wanted)?;
            if let Some(frame) = frame {
                open.fill(Arc::new(prepare(frame.rgb)?));
            }
            open.pass();
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

/// How long a video's only frame is shown.
fn alone(reader: &VideoReader) -> f64 {
    reader.facts().fps.filter(|fps| *fps > 0.0).map_or(0.0, |fps| 1.0 / fps)
}

/// Where frames and their times come from.
enum Cursor {
    /// The times of all frames are known before any is decoded, so that only those that are taken are.
    Known { times: Arc<Vec<f64>>, end: f64, at: usize },
    /// Frames come one after the other.
    Stream(Stream),
    /// Only their number is needed.
    Counted,
    /// At most so many are kept.
    Held { hold: usize },
}

impl Cursor {
    fn known(reader: &mut VideoReader) -> Result<Self, DataError> {
        let times = reader.shared_times()?;
        let last = times.last().copied().unwrap_or_default();
        let before = times.len().checked_sub(2).map(|before| times[before]);
        let step = before.map_or_else(|| alone(reader), |before| last - before);
        let end = reader.facts().duration.unwrap_or(last + step).max(last);
        Ok(Self::Known { times, end, at: 0 })
    }

    /// How many seconds the video lasts and how many frames it has, as far as that is known; else 0.
    fn known_length(&self, reader: &VideoReader) -> (f64, usize) {
        match self {
            Self::Known { times, end, .. } => (*end, times.len()),
            _ => (reader.facts().duration.unwrap_or_default(), 0),
        }
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
