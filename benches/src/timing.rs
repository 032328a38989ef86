//! Wall-clock time over so many launches that submitting and waiting are negligible.

use std::time::{Duration, Instant};

use vljepa_tensor::Device;

use crate::error::Result;

/// Shortest stretch that is timed: a wait costs some 100 µs, so it stays below 1 %.
pub const STRETCH: Duration = Duration::from_millis(20);

/// Seconds that `count` runs take, numbered from `first`, until the device is idle again.
///
/// # Errors
/// What the runs report.
pub fn stretch(
    device: &Device,
    first: usize,
    count: usize,
    run: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Duration> {
    let start = Instant::now();
    for i in first..first + count {
        run(i)?;
    }
    device.synchronize()?;
    Ok(start.elapsed())
}

/// How many runs fill a stretch of `shortest`, found by doubling. The first run, which compiles pipelines, is left out.
///
/// # Errors
/// What the runs report.
pub fn runs_per_stretch(
    device: &Device,
    shortest: Duration,
    run: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<usize> {
    stretch(device, 0, 1, run)?;
    let mut count = 1;
    while count < 1 << 20 {
        let took = stretch(device, 0, count, run)?;
        if took >= shortest {
            break;
        }
        count = next_count(count, took, shortest);
    }
    Ok(count)
}

/// At least double and at most ten times `count`, else a tenth more than the last time predicts.
fn next_count(count: usize, took: Duration, shortest: Duration) -> usize {
    let wanted = count as f64 * 1.1 * shortest.as_secs_f64() / took.as_secs_f64().max(1e-9);
    (wanted as usize).clamp(2 * count, 10 * count)
}

/// The middle value; the mean of the two middle ones of an even number. `None` without values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { 0.5 * (sorted[middle - 1] + upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn counts_grow_towards_the_stretch() {
        let ms = Duration::from_millis;
        assert_eq!(next_count(1, ms(19), ms(20)), 2);
        assert_eq!(next_count(4, ms(5), ms(20)), 17);
        assert_eq!(next_count(3, ms(0), ms(20)), 30);
    }
}
