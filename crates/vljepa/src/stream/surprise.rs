//! Where a video stops being predictable.

use serde::Serialize;
use vljepa_data::video::VideoReader;
use vljepa_embed::models::{Foresight, Surprise};

use super::window::{Sliding, Window, Windows};
use crate::error::{Error, Result};

/// A window of a video, and how its second half came to the one who saw the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// When the window begins, in seconds.
    pub start_s: f64,
    /// Where its second half begins: what is before it is known, what is after it is foretold.
    pub cut_s: f64,
    /// When it ends.
    pub end_s: f64,
    /// 1 − cosine of what was foretold and what was seen.
    pub score: f64,
    /// Mean absolute difference of their tokens.
    pub l1: f64,
    /// Standard deviations of `score` above the mean of all windows of the video.
    pub z: f64,
}

/// Windows that are foretold together.
const BATCH: usize = 4;

/// Scores the windows of a video. `progress` receives the time in the video that has been reached.
///
/// # Errors
/// A video that cannot be read, windows that do not fit the model, and errors of the device.
pub fn surprise(
    model: &Foresight,
    reader: &mut VideoReader,
    windows: Windows,
    progress: &mut dyn FnMut(f64),
) -> Result<Vec<Moment>> {
    let mut goes_on = |time| {
        progress(time);
        true
    };
    surprise_while(model, reader, windows, &mut goes_on)
}

/// [`surprise`] of the frames before the first one for whose time `goes_on` is false.
///
/// # Errors
/// As [`surprise`].
pub fn surprise_while(
    model: &Foresight,
    reader: &mut VideoReader,
    windows: Windows,
    goes_on: &mut dyn FnMut(f64) -> bool,
) -> Result<Vec<Moment>> {
    let mut sliding = Sliding::new(windows, model.preprocess().clone());
    let (mut waiting, mut found): (Vec<Window>, Vec<Moment>) = (Vec::new(), Vec::new());
    loop {
        let frame = reader.next_frame()?.filter(|frame| goes_on(frame.pts));
        let ended = frame.is_none();
        if let Some(frame) = &frame {
            waiting.extend(sliding.push(frame)?);
        }
        while waiting.len() >= BATCH || (ended && !waiting.is_empty()) {
            let part: Vec<Window> = waiting.drain(..waiting.len().min(BATCH)).collect();
            let pixels =
                part.iter().map(|window| window.pixels(model.preprocess())).collect::<Result<Vec<_>, _>>()?.concat();
            let scores = model.surprise(&pixels, part.len(), windows.frames)?;
            found.extend(part.iter().zip(scores).map(|(window, Surprise { score, l1 })| Moment {
                start_s: window.start,
                cut_s: (window.start + window.end) / 2.0,
                end_s: window.end,
                score,
                l1,
                z: 0.0,
            }));
        }
        if ended {
            break;
        }
    }
    if found.is_empty() {
        let reason = format!("is shorter than one window of {} s", windows.seconds);
        return Err(Error::content(reader.origin(), reason));
    }
    standardise(&mut found);
    Ok(found)
}

fn standardise(found: &mut [Moment]) {
    let count = found.len() as f64;
    let mean = found.iter().map(|moment| moment.score).sum::<f64>() / count;
    let deviation = (found.iter().map(|moment| (moment.score - mean).powi(2)).sum::<f64>() / count).sqrt();
    for moment in found {
        moment.z = if deviation > 0.0 { (moment.score - mean) / deviation } else { 0.0 };
    }
}

/// The `count` most surprising windows, of which none overlaps a more surprising one's second half; in the order of surprise.
pub fn peaks(found: &[Moment], count: usize) -> Vec<Moment> {
    let mut order: Vec<&Moment> = found.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.start_s.total_cmp(&b.start_s)));
    let mut taken: Vec<Moment> = Vec::new();
    for moment in order {
        if taken.len() == count {
            break;
        }
        if taken.iter().all(|other| moment.end_s <= other.cut_s || moment.cut_s >= other.end_s) {
            taken.push(*moment);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(start: f64, score: f64) -> Moment {
        Moment { start_s: start, cut_s: start + 1.0, end_s: start + 2.0, score, l1: 0.0, z: 0.0 }
    }

    #[test]
    fn peaks_lie_apart_and_deviations_are_those_of_the_video() {
        let scores = [0.1, 0.1, 0.5, 0.9, 0.6, 0.1, 0.2];
        let mut found: Vec<Moment> = scores.iter().enumerate().map(|(i, s)| moment(0.5 * i as f64, *s)).collect();
        let peaks = peaks(&found, 2);
        assert_eq!(peaks.iter().map(|peak| peak.score).collect::<Vec<_>>(), [0.9, 0.2]);
        standardise(&mut found);
        let sum: f64 = found.iter().map(|moment| moment.z).sum();
        let squares: f64 = found.iter().map(|moment| moment.z.powi(2)).sum();
        assert!(sum.abs() < 1e-9 && (squares - 7.0).abs() < 1e-9);
        let mut even = vec![moment(0.0, 0.3); 3];
        standardise(&mut even);
        assert!(even.iter().all(|moment| moment.z == 0.0));
    }
}
