//! Which frames of a video a model sees.

use std::collections::VecDeque;

use super::{Frame, VideoReader};
use crate::DataError;

/// How a place between two frames goes to one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, halves to the even one: `np.linspace(0, total - 1, count).round()`.
    Nearest,
    /// To the one before: `np.linspace(0, total - 1, count).astype(int)`, as V-JEPA 2's data loaders do.
    #[default]
    Down,
}

/// `count` frames of `total`, evenly from the first to the last; some twice where there are fewer frames. The same numbers as
/// NumPy's, whose products of floats decide what lies just below an integer.
pub fn uniform(total: usize, count: usize, rounding: Rounding) -> Vec<usize> {
    let last = total.saturating_sub(1);
    let step = last as f64 / count.saturating_sub(1).max(1) as f64;
    let place = |i: usize| {
        let exact = if i > 0 && i + 1 == count { last as f64 } else { i as f64 * step };
        match rounding {
            Rounding::Nearest => exact.round_ties_even() as usize,
            Rounding::Down => exact as usize,
        }
    };
    (0..if total == 0 { 0 } else { count }).map(|i| place(i).min(last)).collect()
}

/// The frames that are on the screen at 0, 1/`fps`, 2/`fps`, … seconds after the first, until `end`. `times` are those of all
/// frames, ascending; a frame that stays longer than a tick is taken again.
pub fn at_rate(times: &[f64], end: f64, fps: f64) -> Vec<usize> {
    let (Some(first), true) = (times.first(), fps.is_finite() && fps > 0.0) else {
        return Vec::new();
    };
    let end = end.max(times.last().copied().unwrap_or(end));
    let mut taken = Vec::new();
    let mut ticks = Ticks { start: *first, fps, next: 0 };
    for (index, time) in times.iter().enumerate() {
        let until = times.get(index + 1).copied().unwrap_or(end);
        let count = ticks.until(until, index + 1 == times.len() && until <= *time);
        taken.extend(std::iter::repeat_n(index, count));
    }
    taken
}

/// First and last frame (exclusive) of each window of `length` frames, `stride` frames apart; only whole windows.
pub fn windows(total: usize, length: usize, stride: usize) -> Vec<std::ops::Range<usize>> {
    if length == 0 || length > total {
        return Vec::new();
    }
    (0..=total - length).step_by(stride.max(1)).map(|start| start..start + length).collect()
}

struct Ticks {
    start: f64,
    fps: f64,
    next: u64,
}

impl Ticks {
    /// Ticks before `time` that were not yet taken; also the one at it where `inclusive`.
    fn until(&mut self, time: f64, inclusive: bool) -> usize {
        // Times are sums of rational numbers in floating point: a tick that misses one by rounding belongs to it.
        let slack = 1e-6 / self.fps;
        let mut count = 0;
        loop {
            let tick = self.start + self.next as f64 / self.fps;
            if if inclusive { tick > time + slack } else { tick >= time - slack } {
                return count;
            }
            self.next += 1;
            count += 1;
        }
    }
}

/// Frames at a steady rate, as [`at_rate`] chooses them; made by [`VideoReader::at_rate`].
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
    pub(super) fn new(reader: &'a mut VideoReader, fps: f64) -> Result<Self, DataError> {
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
    pub(super) fn new(reader: &'a mut VideoReader, length: usize, stride: usize) -> Result<Self, DataError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_is_that_of_numpy() {
        assert_eq!(uniform(100, 8, Rounding::Down), [0, 14, 28, 42, 56, 70, 84, 99]);
        assert_eq!(uniform(100, 8, Rounding::Nearest), [0, 14, 28, 42, 57, 71, 85, 99]);
        // 7 * (122 / 14) is 61, and in floating point a little less: NumPy cuts it to 60.
        assert_eq!(uniform(123, 15, Rounding::Down)[7], 60);
        assert_eq!(uniform(6, 4, Rounding::Nearest), [0, 2, 3, 5]);
        assert_eq!(uniform(3, 5, Rounding::Down), [0, 0, 1, 1, 2]);
        assert_eq!(uniform(3, 5, Rounding::Nearest), [0, 0, 1, 2, 2]);
        assert_eq!(uniform(9, 1, Rounding::Down), [0]);
        assert_eq!(uniform(1, 3, Rounding::Nearest), [0; 3]);
        assert!(uniform(0, 4, Rounding::Down).is_empty() && uniform(4, 0, Rounding::Down).is_empty());
    }

    #[test]
    fn rates_follow_the_times() {
        let steady: Vec<f64> = (0..10).map(|i| f64::from(i) / 10.0).collect();
        assert_eq!(at_rate(&steady, 1.0, 5.0), [0, 2, 4, 6, 8]);
        assert_eq!(at_rate(&steady, 1.0, 10.0), (0..10).collect::<Vec<_>>());
        assert_eq!(at_rate(&steady[..3], 0.3, 20.0), [0, 0, 1, 1, 2, 2]);
        // A frame that stays for a second is taken at each of its ticks.
        assert_eq!(at_rate(&[0.5, 0.6, 1.6], 1.7, 4.0), [0, 1, 1, 1, 1]);
        assert_eq!(at_rate(&[3.0], 3.0, 2.0), [0]);
        assert!(at_rate(&[], 1.0, 2.0).is_empty() && at_rate(&steady, 1.0, 0.0).is_empty());
    }

    #[test]
    fn windows_are_whole() {
        assert_eq!(windows(10, 4, 3), [0..4, 3..7, 6..10]);
        assert_eq!(windows(10, 4, 20), vec![0..4; 1]);
        assert!(windows(3, 4, 1).is_empty() && windows(3, 0, 1).is_empty());
    }
}
