//! Frames at a steady rate, and windows of frames, over a stream of any length.

use std::collections::VecDeque;

use super::choose::Ticks;
use super::reader::{Frame, VideoReader};
use crate::DataError;

impl VideoReader {
    /// The frames from here on at a steady rate ([`at_rate`](super::at_rate)).
    ///
    /// # Errors
    /// A rate that is not positive.
    pub fn at_rate(&mut self, fps: f64) -> Result<RateFrames<'_>, DataError> {
        RateFrames::new(self, fps)
    }

    /// Windows of `length` frames, `stride` apart, from here on ([`windows`](super::windows)).
    ///
    /// # Errors
    /// A length or stride of 0.
    pub fn windows(&mut self, length: usize, stride: usize) -> Result<WindowFrames<'_>, DataError> {
        WindowFrames::new(self, length, stride)
    }
}

/// Frames at a steady rate, as [`at_rate`](super::at_rate) chooses them; made by [`VideoReader::at_rate`].
pub struct RateFrames<'a> {
    reader: &'a mut VideoReader,
    ticks: Option<Ticks>,
    fps: f64,
    /// On the screen now, and how often it is still to be given.
    current: Option<(Frame, usize)>,
    upcoming: Option<Frame>,
    step: f64,
}

impl<'a> RateFrames<'a> {
    fn new(reader: &'a mut VideoReader, fps: f64) -> Result<Self, DataError> {
        if !(fps.is_finite() && fps > 0.0 && fps <= 1e6) {
            return Err(DataError::Shape { what: "video", reason: format!("sampling at {fps} frames a second") });
        }
        Ok(Self { reader, ticks: None, fps, current: None, upcoming: None, step: 0.0 })
    }

    /// The frame of the next tick.
    ///
    /// # Errors
    /// As [`VideoReader::next_frame`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DataError> {
        loop {
            match self.current.take() {
                Some((frame, 1)) => return Ok(Some(frame)),
                Some((frame, left @ 2..)) => {
                    let copy = frame.clone();
                    self.current = Some((frame, left - 1));
                    return Ok(Some(copy));
                }
                _ => {}
            }
            let Some(frame) = (match self.upcoming.take() {
                Some(frame) => Some(frame),
                None if self.ticks.is_none() => self.reader.next_frame()?,
                None => None,
            }) else {
                return Ok(None);
            };
            let ticks = self.ticks.get_or_insert(Ticks { start: frame.pts, fps: self.fps, next: 0 });
            self.upcoming = self.reader.next_frame()?;
            let count = match &self.upcoming {
                Some(next) => {
                    self.step = next.pts - frame.pts;
                    ticks.until(next.pts, false)
                }
                None => {
                    let end = self.reader.facts().duration.unwrap_or(frame.pts + self.step).max(frame.pts);
                    ticks.until(end, end <= frame.pts)
                }
            };
            self.current = Some((frame, count));
        }
    }
}

/// Windows over a stream of any length, holding one window's frames; made by [`VideoReader::windows`].
pub struct WindowFrames<'a> {
    reader: &'a mut VideoReader,
    length: usize,
    stride: usize,
    frames: VecDeque<Frame>,
    started: bool,
}

impl<'a> WindowFrames<'a> {
    fn new(reader: &'a mut VideoReader, length: usize, stride: usize) -> Result<Self, DataError> {
        if length == 0 || stride == 0 {
            let reason = format!("windows of {length} frames, {stride} apart: both must be at least 1");
            return Err(DataError::Shape { what: "video", reason });
        }
        Ok(Self { reader, length, stride, frames: VecDeque::new(), started: false })
    }

    /// The next whole window; `None` when too few frames are left.
    ///
    /// # Errors
    /// As [`VideoReader::next_frame`].
    pub fn next_window(&mut self) -> Result<Option<&[Frame]>, DataError> {
        if self.started {
            self.frames.drain(..self.stride.min(self.frames.len()));
            self.reader.skip(self.stride.saturating_sub(self.length))?;
        }
        self.started = true;
        while self.frames.len() < self.length {
            match self.reader.next_frame()? {
                Some(frame) => self.frames.push_back(frame),
                None => return Ok(None),
            }
        }
        Ok(Some(self.frames.make_contiguous()))
    }
}
