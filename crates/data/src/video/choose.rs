//! The choice of a video's frames: evenly spread, at a steady rate, in windows.

/// How a place between two frames is rounded to one of them.
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

/// The moments 0, 1/`fps`, 2/`fps`, … after `start`.
pub(super) struct Ticks {
    pub start: f64,
    pub fps: f64,
    /// Number of the next one.
    pub next: u64,
}

impl Ticks {
    /// Ticks before `time` that were not yet taken; also the one at it where `inclusive`.
    pub fn until(&mut self, time: f64, inclusive: bool) -> usize {
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
