//! How few decodings tell a stream as well as many: adaptive and uniform choices of what is decoded (arXiv 2512.10942, §4.6).

use std::collections::HashMap;
use std::ops::Range;

use serde::Serialize;
use vljepa_train::cider::{Captioned, cider_d};

use super::segment::Segmentation;
use super::teller::Teller;
use super::trigger::unit_mean;
use crate::error::{Error, Result};

/// What people would say of a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// When, in seconds.
    pub time: f64,
    /// Right texts; at least one.
    pub texts: Vec<String>,
}

/// A stream that has been seen, and what is true of it.
#[derive(Clone, Debug)]
pub struct SeenStream {
    /// Its states, `[T, width]`, of unit length.
    pub rows: Vec<f32>,
    /// The middle of each state's window, in seconds.
    pub times: Vec<f64>,
    /// What is true of it.
    pub annotations: Vec<Annotation>,
}

impl SeenStream {
    /// Seconds that its windows stand for: from the middle of the first to that of the last, and half a step on both sides.
    pub fn seconds(&self) -> f64 {
        let (first, last) = (self.times.first().copied().unwrap_or(0.0), self.times.last().copied().unwrap_or(0.0));
        let step = (last - first) / (self.times.len().max(2) - 1) as f64;
        last - first + step
    }
}

/// How a stream is cut into the parts that are decoded once each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Where its meaning changes: [`Segmentation`].
    Adaptive,
    /// Into parts of one length.
    Uniform,
}

/// A number of decodings, and how well they tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Decodings a second.
    pub hz: f64,
    /// CIDEr-D over all annotations, each matched to the decoding nearest in time; 0 to 10.
    pub cider_d: f64,
}

/// A way to choose what is decoded, at several rates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// How streams are cut.
    pub cut: Cut,
    /// Whether the mean of a part's states is decoded, else the state in its middle.
    pub averaged: bool,
    /// Ascending by rate.
    pub points: Vec<Point>,
}

/// `count` parts of `total`, as equal as may be.
fn uniform(total: usize, count: usize) -> Vec<Range<usize>> {
    let count = count.min(total);
    (0..count).map(|i| i * total / count..(i + 1) * total / count).collect()
}

/// What was told of rows of streams: number of the stream, first row, end. Ways to choose share many parts.
pub type Transcript = HashMap<(usize, usize, usize), String>;

/// Each annotation with the sentence nearest in time; nothing was said where no sentence was.
pub(super) fn matched(annotations: &[Annotation], said: &[(f64, String)]) -> Vec<Captioned> {
    let of = |annotation: &Annotation| {
        let apart = |(time, _): &&(f64, String)| (time - annotation.time).abs();
        let nearest = said.iter().min_by(|a, b| apart(a).total_cmp(&apart(b)));
        let said = nearest.map_or_else(String::new, |(_, text)| text.clone());
        Captioned { said, references: annotation.texts.clone() }
    };
    annotations.iter().map(of).collect()
}

/// Measures a way to choose, how streams are cut and whether states are averaged, at rates in decodings a second. `told` is what was told of these
/// streams before, and gets what is told now.
///
/// # Errors
/// Rows and times of different number, and what [`Teller::tell`] reports.
pub fn curve(
    streams: &[SeenStream],
    teller: &Teller<'_>,
    told: &mut Transcript,
    (cut, averaged): (Cut, bool),
    rates: &[f64],
) -> Result<Curve> {
    let mut trees = Vec::new();
    for stream in streams {
        let width = stream.rows.len() / stream.times.len().max(1);
        if width * stream.times.len() != stream.rows.len() {
            return Err(Error::argument(
                "streams",
                format!("{} values for {} times", stream.rows.len(), stream.times.len()),
            ));
        }
        let tree = if cut == Cut::Adaptive { Some(Segmentation::of(&stream.rows, width.max(1))?) } else { None };
        trees.push((width, tree));
    }
    let mut points = Vec::new();
    let length: f64 = streams.iter().map(SeenStream::seconds).sum();
    for rate in rates {
        let (mut all, mut decodings) = (Vec::new(), 0);
        for (number, (stream, (width, tree))) in streams.iter().zip(&trees).enumerate() {
            let count = ((stream.seconds() * rate).round() as usize).max(1);
            let parts = match tree {
                Some(tree) => tree.cut(count),
                None => uniform(stream.times.len(), count),
            };
            let row = |i: usize| &stream.rows[i * width..(i + 1) * width];
            // Of one state the mean is the state: what was told of a part is told again.
            let shown = |part: &Range<usize>| match averaged {
                true => part.clone(),
                false => (part.start + part.end - 1) / 2..(part.start + part.end - 1) / 2 + 1,
            };
            let key = |part: &Range<usize>| (number, shown(part).start, shown(part).end);
            let mut new: Vec<&Range<usize>> = parts.iter().filter(|part| !told.contains_key(&key(part))).collect();
            new.dedup_by_key(|part| key(part));
            let states: Vec<f32> = new.iter().flat_map(|part| unit_mean(shown(part).map(row))).collect();
            for (part, sentence) in new.iter().zip(teller.tell(&states)?) {
                told.insert(key(part), sentence.text);
            }
            let time = |part: &Range<usize>| (stream.times[part.start] + stream.times[part.end - 1]) / 2.0;
            let text = |part: &Range<usize>| told.get(&key(part)).cloned().unwrap_or_default();
            let said: Vec<(f64, String)> = parts.iter().map(|part| (time(part), text(part))).collect();
            decodings += said.len();
            all.extend(matched(&stream.annotations, &said));
        }
        let scores = cider_d(&all);
        let cider_d = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
        points.push(Point { hz: decodings as f64 / length.max(1e-9), cider_d });
    }
    Ok(Curve { cut, averaged, points })
}

impl Curve {
    /// The least rate at which this curve reaches a score, on the line between its points in the logarithm of the rate; `None` where it
    /// never does.
    pub fn rate_for(&self, cider_d: f64) -> Option<f64> {
        let first = self.points.iter().position(|point| point.cider_d >= cider_d)?;
        let (above, before) = (self.points[first], first.checked_sub(1).map(|before| self.points[before]));
        Some(match before {
            Some(below) => {
                let share = (cider_d - below.cider_d) / (above.cider_d - below.cider_d);
                (below.hz.ln() + share * (above.hz.ln() - below.hz.ln())).exp()
            }
            None => above.hz,
        })
    }
}

/// How many times fewer decodings `adaptive` needs for what `uniform` reaches at a rate; `None` where it does not reach it.
pub fn saving(adaptive: &Curve, uniform: &Curve, hz: f64) -> Option<f64> {
    let nearest = |a: &&Point, b: &&Point| (a.hz - hz).abs().total_cmp(&(b.hz - hz).abs());
    let point = uniform.points.iter().min_by(nearest)?;
    Some(point.hz / adaptive.rate_for(point.cider_d)?)
}

/// How often borders are found, up to `early` seconds before them and `late` after them: shares of the found ones that are right, and of the
/// true ones that are found. Both ascend; each border counts for one other.
pub fn borders(found: &[f64], truth: &[f64], [early, late]: [f64; 2]) -> [f64; 2] {
    let (mut i, mut hits) = (0, 0usize);
    for time in found {
        while i < truth.len() && truth[i] < time - late {
            i += 1;
        }
        if i < truth.len() && truth[i] <= time + early {
            (i, hits) = (i + 1, hits + 1);
        }
    }
    [found.len(), truth.len()].map(|count| if count == 0 { 1.0 } else { hits as f64 / count as f64 })
}

#[cfg(test)]
mod tests {
    use super::super::bank::CaptionBank;
    use super::*;

    /// Ten things one after the other: the first two are long, the others short.
    fn stream() -> (SeenStream, Teller<'static>) {
        let names: Vec<String> = (0..10).map(|i| format!("thing number{i} does trick{i}")).collect();
        let rows: Vec<f32> = (0..100).map(|i| if i / 10 == i % 10 { 1.0 } else { 0.0 }).collect();
        let lengths = [60, 60, 6, 6, 6, 6, 6, 6, 6, 6];
        let (mut seen, mut annotations) = (Vec::new(), Vec::new());
        for (thing, count) in lengths.into_iter().enumerate() {
            let start = seen.len() as f64 / 2.0;
            seen.extend(std::iter::repeat_n(thing, count));
            annotations.push(Annotation { time: start + count as f64 / 4.0, texts: vec![names[thing].clone()] });
        }
        let states = seen.iter().flat_map(|thing| rows[thing * 10..(thing + 1) * 10].to_vec()).collect();
        let times = (0..seen.len()).map(|i| 0.25 + 0.5 * i as f64).collect();
        (SeenStream { rows: states, times, annotations }, Teller::Bank(CaptionBank::of(names, rows, 10).unwrap()))
    }

    #[test]
    fn an_adaptive_choice_needs_one_decoding_for_each_thing() {
        let (stream, teller) = stream();
        let rates = [0.02, 0.05, 10.0 / 84.0, 0.25, 0.5, 1.0, 2.0];
        let of =
            |cut| curve(std::slice::from_ref(&stream), &teller, &mut Transcript::new(), (cut, true), &rates).unwrap();
        let (adaptive, uniform) = (of(Cut::Adaptive), of(Cut::Uniform));
        let best = uniform.points[6].cider_d;
        assert!(best > 9.0 && (adaptive.points[2].cider_d - best).abs() < 1e-9, "{adaptive:?}");
        assert!(uniform.points[2].cider_d < 0.7 * best, "{uniform:?}");
        assert!(adaptive.points.windows(2).all(|pair| pair[0].hz < pair[1].hz));
        let saved = saving(&adaptive, &uniform, 1.0).unwrap();
        assert!(saved > 5.0, "{saved}");
        assert_eq!(saving(&Curve { points: vec![Point { hz: 1.0, cider_d: 0.0 }], ..adaptive }, &uniform, 1.0), None);
    }

    #[test]
    fn borders_are_matched_once() {
        assert_eq!(borders(&[1.0, 1.2, 5.0], &[1.1, 9.0], [0.5; 2]), [1.0 / 3.0, 0.5]);
        assert_eq!(borders(&[], &[1.0], [0.5; 2]), [1.0, 0.0]);
        assert_eq!(borders(&[0.9, 2.1], &[1.0, 2.0], [0.2; 2]), [1.0, 1.0]);
        // Before a border it is not told that something has begun.
        assert_eq!(borders(&[0.9, 2.1], &[1.0, 2.0], [0.0, 0.2]), [0.5, 0.5]);
    }

    #[test]
    fn parts_of_one_length_cover_everything() {
        for (total, count) in [(10, 3), (7, 7), (3, 9), (0, 2)] {
            let parts = uniform(total, count);
            assert_eq!(parts.len(), count.min(total));
            assert!(
                parts.iter().map(ExactSizeIterator::len).sum::<usize>() == total && parts.iter().all(|p| !p.is_empty())
            );
        }
    }
}
