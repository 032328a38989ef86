//! What pixels give away without a network: ridge regressions from coarse pictures of three frames, and from a histogram of the differences
//! between frames, to the embeddings of answers.

use std::collections::BTreeMap;

use rayon::prelude::*;
use vljepa_data::sprite_world::words::{Kind, Question, questions};
use vljepa_embed::Embedder;

use super::measure::{Asked, Texts};
use crate::error::Result;
use crate::linalg::{Affine, regress};
use crate::metrics::{hit_at, scores};

/// Clips that they learn from.
pub(super) const CLIPS: usize = 3000;
/// Side in pixels at which clips are drawn for them.
pub(super) const SIDE: usize = 32;
/// Cells of a row of a frame.
const CELLS: usize = 8;
/// Bins of the histogram of each pair of frames.
const BINS: usize = 8;
/// Ridge, in mean variances of a feature.
const RIDGE: f64 = 0.1;

/// The features of a clip by both floors.
type Features = [Vec<f32>; 2];

/// Regressions by kind of question.
#[derive(Debug)]
pub(super) struct Floors {
    kinds: BTreeMap<Kind, [Affine; 2]>,
}

/// Accuracies by both floors: of pixels, and of differences.
pub(super) type Accuracies = BTreeMap<Kind, [f64; 2]>;

/// Mean brightness of `CELLS` by `CELLS` cells of an RGB frame.
fn coarse(frame: &[u8]) -> Vec<f32> {
    let step = SIDE / CELLS;
    let mut cells = vec![0.0; CELLS * CELLS];
    for (i, pixel) in frame.chunks_exact(3).enumerate() {
        let sum: u32 = pixel.iter().map(|value| u32::from(*value)).sum();
        cells[i / SIDE / step * CELLS + i % SIDE / step] += sum as f32 / (3 * 255 * step * step) as f32;
    }
    cells
}

fn features(frames: &[u8]) -> Features {
    let all: Vec<&[u8]> = frames.chunks_exact(SIDE * SIDE * 3).collect();
    let three = [0, all.len() / 2, all.len().saturating_sub(1)];
    let pixels = three.iter().filter_map(|&i| all.get(i)).flat_map(|frame| coarse(frame)).collect();
    let histogram = |pair: &[&[u8]]| -> [f32; BINS] {
        let mut bins = [0.0; BINS];
        for (a, b) in pair[0].chunks_exact(3).zip(pair[1].chunks_exact(3)) {
            let difference: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            // Each bin is twice as wide as the one before it.
            let bin = (difference + 1).ilog2().saturating_sub(2) as usize;
            bins[bin.min(BINS - 1)] += 1.0 / (SIDE * SIDE) as f32;
        }
        bins
    };
    [pixels, all.windows(2).flat_map(histogram).collect()]
}

/// Questions and features of the clips that are asked about.
fn seen(asked: &Asked<'_>) -> Vec<(Features, Vec<Question>)> {
    let of = |index: usize| {
        let scene = asked.world.scene(asked.key(index));
        let questions = questions(asked.world, &scene, asked.wordings, asked.key(index));
        (features(&asked.world.render(&scene, SIDE)), questions)
    };
    (0..asked.clips).into_par_iter().map(of).collect()
}

impl Floors {
    /// Learns from clips.
    ///
    /// # Errors
    /// What the model reports of the answers.
    pub fn learn(embedder: &Embedder<'_>, texts: &mut Texts, asked: &Asked<'_>) -> Result<Self> {
        let dim = embedder.model.config.embedding_dim;
        let (clips, mut kinds) = (seen(asked), BTreeMap::new());
        for kind in Kind::ALL {
            let (mut rows, mut answers) = ([Vec::new(), Vec::new()], Vec::new());
            let mut widths = [0; 2];
            for (features, questions) in &clips {
                let Some(question) = questions.iter().find(|question| question.kind == kind) else { continue };
                answers.push(question.answer.as_str());
                for ((rows, own), width) in rows.iter_mut().zip(features).zip(&mut widths) {
                    rows.extend_from_slice(own);
                    *width = own.len();
                }
            }
            if !answers.is_empty() {
                let targets = texts.rows(embedder, &answers)?;
                let fit = |i: usize| regress(&rows[i], widths[i], &targets, dim, RIDGE);
                kinds.insert(kind, [fit(0), fit(1)]);
            }
        }
        Ok(Self { kinds })
    }

    /// How often the regressions are nearest to the right answer.
    ///
    /// # Errors
    /// What the model reports of the answers.
    pub fn accuracies(&self, embedder: &Embedder<'_>, texts: &mut Texts, asked: &Asked<'_>) -> Result<Accuracies> {
        let mut found: BTreeMap<Kind, (usize, [f64; 2])> = BTreeMap::new();
        let mut held = Vec::new();
        for (features, questions) in seen(asked) {
            for question in questions {
                let Some(maps) = self.kinds.get(&question.kind) else { continue };
                let candidates: Vec<&str> =
                    std::iter::once(&question.answer).chain(&question.others).map(String::as_str).collect();
                let rows = texts.rows(embedder, &candidates)?;
                let (n, hits) = found.entry(question.kind).or_default();
                *n += 1;
                for ((map, features), hits) in maps.iter().zip(&features).zip(hits) {
                    scores(&map.of(features, features.len()), &rows, &mut held);
                    *hits += hit_at(&held, 0, 1);
                }
            }
        }
        Ok(found.into_iter().map(|(kind, (n, hits))| (kind, hits.map(|hits| hits / n.max(1) as f64))).collect())
    }
}

/// How much clips change their first picture into their last one as `before_after` do: cosines of the differences of coarse pictures.
pub(super) fn changes_alike(before_after: [&[u8]; 2], clips: &[[&[u8]; 2]]) -> Vec<f32> {
    let change = |[a, b]: [&[u8]; 2]| -> Vec<f32> {
        let values: Vec<f32> = coarse(b).iter().zip(coarse(a)).map(|(b, a)| b - a).collect();
        let length = values.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
        values.into_iter().map(|v| v / length).collect()
    };
    let wanted = change(before_after);
    clips.iter().map(|ends| change(*ends).iter().zip(&wanted).map(|(a, b)| a * b).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(x: usize, y: usize) -> Vec<u8> {
        let mut pixels = vec![40; SIDE * SIDE * 3];
        for (dx, dy) in (0..8).flat_map(|dx| (0..8).map(move |dy| (dx, dy))) {
            let at = ((y + dy) * SIDE + x + dx) * 3;
            pixels[at..at + 3].fill(240);
        }
        pixels
    }

    #[test]
    fn what_moves_is_in_the_features() {
        let (still, moved) = ([frame(0, 0), frame(0, 0)].concat(), [frame(0, 0), frame(16, 16)].concat());
        let ([a, same], [b, other]) = (features(&still), features(&moved));
        assert_eq!((a.len(), same.len()), (3 * CELLS * CELLS, BINS));
        assert!((same[0] - 1.0).abs() < 1e-6 && (other[0] - 0.875).abs() < 1e-6, "{same:?} {other:?}");
        assert!((other[BINS - 1] - 0.125).abs() < 1e-6);
        assert_ne!(a, b);
    }

    #[test]
    fn a_change_is_most_like_itself() {
        let (a, b, c) = (frame(0, 0), frame(16, 16), frame(16, 0));
        let found = changes_alike([&a, &b], &[[&a, &c], [&a, &b], [&b, &a]]);
        assert!((found[1] - 1.0).abs() < 1e-5 && (found[2] + 1.0).abs() < 1e-5 && found[0] < 0.9, "{found:?}");
    }
}
