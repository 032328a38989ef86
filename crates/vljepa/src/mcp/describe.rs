//! `describe`: what a picture or a video shows, as a whole and in the parts that differ.

use std::ops::Range;

use vljepa_embed::visuals::Moment;

use super::calls::Describe;
use super::clips::{Cut, MOST_WINDOWS, Opened, Rows};
use super::error::Result;
use super::session::Session;
use super::task::Task;
use super::told::{Described, Segment, seconds};
use crate::stream::{Segmentation, unit_mean};

impl Session {
    /// Tells what an input shows.
    ///
    /// # Errors
    /// A path that may not be read, what cannot be read, and errors of the device.
    pub fn describe(&mut self, call: &Describe, task: &Task) -> Result<Described> {
        let path = self.input(&call.input)?;
        let model = self.model(task)?;
        let (mut notes, part) = (Vec::new(), [call.start_s, call.end_s]);
        let teller = self.teller(&model, call.captions.as_deref(), &mut notes, task)?;
        task.span(0.1, 0.3);
        let whole = Cut { windows: None, start: call.start_s, end: call.end_s };
        let (whole, _) = self.rows(&path, None, |_| Ok(whole), task)?;
        let sentences = teller.tell(&model, whole.rows.as_slice(), call.top)?.into_iter().next().unwrap_or_default();
        let is_video = whole.moments.iter().any(Option::is_some);
        let (mut segments, mut windows, mut stride) = (Vec::new(), 1, None);
        if is_video {
            task.span(0.3, 0.9);
            let cut = |opened: &mut Opened| {
                let cut = opened.windows(call.window_s, part, MOST_WINDOWS)?;
                stride = cut.windows.map(|[_, stride]| seconds(stride));
                Ok(cut)
            };
            let (rows, _) = self.rows(&path, None, cut, task)?;
            windows = rows.moments.len();
            let parts = parts(&rows, call.max_segments, call.novelty)?;
            let row = |part: &Range<usize>| unit_mean(part.clone().map(|i| rows.rows.row(i)));
            let states: Vec<f32> = parts.iter().flat_map(row).collect();
            task.check()?;
            task.report(1.0, "telling");
            let told = teller.tell(&model, &states, call.top)?;
            let times = borders(&rows.moments, &parts);
            segments = (times.into_iter().zip(told))
                .map(|([start, end], sentences)| Segment { start_s: seconds(start), end_s: seconds(end), sentences })
                .collect();
        }
        notes.splice(0..0, whole.notes.iter().cloned());
        Ok(Described {
            input: path.display().to_string(),
            is_video,
            sentences,
            segments,
            windows,
            stride_s: stride,
            notes,
        })
    }
}

/// As many parts as there are whose neighbours all differ by `novelty`, 1 − cosine of their means; at most `most`.
fn parts(rows: &Rows, most: usize, novelty: f64) -> Result<Vec<Range<usize>>> {
    let tree = Segmentation::of(rows.rows.as_slice(), rows.rows.dim())?;
    let differ = |parts: &[Range<usize>]| {
        let means: Vec<Vec<f32>> = parts.iter().map(|part| unit_mean(part.clone().map(|i| rows.rows.row(i)))).collect();
        let apart = |pair: &[Vec<f32>]| {
            let dot = |(a, b): (&f32, &f32)| f64::from(*a) * f64::from(*b);
            1.0 - pair[0].iter().zip(&pair[1]).map(dot).sum::<f64>()
        };
        means.windows(2).all(|pair| apart(pair) >= novelty)
    };
    let cuts = (2..=most.min(rows.moments.len())).rev().map(|count| tree.cut(count));
    Ok(cuts.into_iter().find(|cut| differ(cut)).unwrap_or_else(|| tree.cut(1)))
}

/// When parts begin and end: between the middles of the windows on both sides of a border.
fn borders(moments: &[Option<Moment>], parts: &[Range<usize>]) -> Vec<[f64; 2]> {
    let moment = |i: usize| moments.get(i).copied().flatten().unwrap_or(Moment { start: 0.0, end: 0.0 });
    let middle = |i: usize| (moment(i).start + moment(i).end) / 2.0;
    let border = |at: usize| (middle(at - 1) + middle(at)) / 2.0;
    let times = |part: &Range<usize>| {
        let start = if part.start == 0 { moment(0).start } else { border(part.start) };
        let end = if part.end >= moments.len() { moment(part.end.saturating_sub(1)).end } else { border(part.end) };
        [start, end]
    };
    parts.iter().map(times).collect()
}

#[cfg(test)]
mod tests {
    use vljepa_embed::Embeddings;

    use super::*;

    fn rows(angles: &[f32]) -> Rows {
        let values = angles.iter().flat_map(|angle| [angle.cos(), angle.sin()]).collect();
        let moment = |i: usize| Some(Moment { start: i as f64, end: i as f64 + 2.0 });
        let moments = (0..angles.len()).map(moment).collect();
        Rows { rows: Embeddings::from_unit_rows(2, values), moments, notes: Vec::new() }
    }

    #[test]
    fn there_are_as_many_parts_as_differ() {
        let film = rows(&[0.0, 0.02, 0.01, 1.2, 1.21, 1.19, 0.0, 0.01]);
        let found = parts(&film, 24, 0.15).unwrap();
        assert_eq!(found, [0..3, 3..6, 6..8]);
        assert_eq!(borders(&film.moments, &found), [[0.0, 3.5], [3.5, 6.5], [6.5, 9.0]]);
        assert_eq!(parts(&film, 2, 0.15).unwrap().len(), 2);
        assert_eq!(parts(&film, 24, 1.5).unwrap().as_slice(), std::slice::from_ref(&(0..8)));
        assert_eq!(parts(&film, 24, 0.0).unwrap().len(), 8);
        assert_eq!(parts(&rows(&[0.3]), 24, 0.15).unwrap().as_slice(), std::slice::from_ref(&(0..1)));
        assert!(parts(&rows(&[]), 24, 0.15).unwrap().is_empty());
    }
}
