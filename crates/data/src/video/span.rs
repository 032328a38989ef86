//! Frames between two times.

use std::ops::Range;

use super::choose::{Rounding, uniform};
use super::reader::VideoReader;
use crate::DataError;

/// Times are sums of rational numbers in floating point: what misses a bound by so much, in seconds or frames, lies on it.
pub const SLACK: f64 = 1e-6;

/// The frames whose times in seconds lie in `start..end`; `times` are those of all frames, ascending.
pub fn span(times: &[f64], start: Option<f64>, end: Option<f64>) -> Range<usize> {
    let before = |bound: f64| times.partition_point(|time| *time < bound - SLACK);
    let end = end.map_or(times.len(), before);
    start.map_or(0, before).min(end)..end
}

impl VideoReader {
    /// The numbers of `count` frames, spread evenly over those whose times lie in `start..end` seconds ([`uniform`], rounded
    /// down); some are there twice where there are fewer.
    ///
    /// # Errors
    /// No frame between the times, and as [`VideoReader::times`].
    pub fn frames_between(
        &mut self,
        count: usize,
        start: Option<f64>,
        end: Option<f64>,
    ) -> Result<Vec<usize>, DataError> {
        let (range, last) = if start.is_none() && end.is_none() {
            (0..self.count()?, None)
        } else {
            let times = self.times()?;
            (span(times, start, end), times.last().copied())
        };
        if range.is_empty() {
            let reason = match last {
                Some(last) => format!(
                    "no frame lies between {} and {} s, the last is shown at {last:.3} s; correct the times",
                    start.unwrap_or(0.0),
                    end.map_or("the end".into(), |end| end.to_string())
                ),
                None => "the video has no frames; leave it out".into(),
            };
            return Err(DataError::content(self.origin(), reason));
        }
        Ok(uniform(range.len(), count, Rounding::Down).into_iter().map(|i| range.start + i).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_holds_its_start_and_not_its_end() {
        let times: Vec<f64> = (0..10).map(|i| f64::from(i) * 0.1).collect();
        assert_eq!(span(&times, None, None), 0..10);
        assert_eq!(span(&times, Some(0.3), Some(0.6)), 3..6);
        assert_eq!(span(&times, Some(0.35), None), 4..10);
        assert_eq!(span(&times, None, Some(0.05)), 0..1);
        assert!(span(&times, Some(2.0), None).is_empty() && span(&times, Some(0.31), Some(0.39)).is_empty());
        assert!(span(&[], Some(0.0), Some(1.0)).is_empty());
    }
}
