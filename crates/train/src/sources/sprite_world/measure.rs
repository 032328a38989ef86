//! What a model answers and finds over clips of a world.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use vljepa_data::sprite_world::words::{Kind, Length, Question, Wordings, caption, questions};
use vljepa_data::sprite_world::{Scene, SpriteWorld};
use vljepa_data::{DataError, Preprocess, Rgb8Image, SampleKey};
use vljepa_embed::Embedder;

use crate::error::Result;
use crate::metrics::{Cell, chance, hit_at, recall, scores};

/// Clips that are encoded together.
pub(super) const PART: usize = 16;
/// Wrong answers of a kind that are kept.
const MISSED: usize = 4;

/// Over which clips, and in which words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub world: &'a SpriteWorld,
    pub wordings: Wordings,
    pub seed: u64,
    pub purpose: Purpose,
    pub clips: usize,
    /// Whether questions are asked.
    pub questions: bool,
}

/// What clips are for: those of one purpose are never those of another, whatever the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Train,
    Validate,
    Suite,
    Floors,
    WorldPrediction,
    /// The candidate `.0` of a choice.
    Elsewhere(u64),
}

impl Purpose {
    /// The key of a clip.
    pub fn key(self, seed: u64, index: u64) -> SampleKey {
        let epoch = match self {
            Self::Train => 0,
            Self::Validate => 1,
            Self::Suite => 2,
            Self::Floors => 3,
            Self::WorldPrediction => 4,
            Self::Elsewhere(candidate) => 16 + candidate,
        };
        SampleKey { seed, epoch, index, stream: 0 }
    }
}

impl Asked<'_> {
    pub fn key(&self, index: usize) -> SampleKey {
        self.purpose.key(self.seed, index as u64)
    }
}

/// The questions of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct OfKind {
    /// For each question 1 where its answer is ranked first; a tie counts in part.
    pub hits: Vec<f64>,
    /// For each the probability of a guess.
    pub chances: Vec<f64>,
    /// The questions.
    pub questions: Vec<Question>,
    /// The most candidates of a question.
    pub candidates: usize,
    /// Of the first [`MISSED`] that are wrong: the clip, the place in `questions`, and the answer that was ranked first.
    pub missed: Vec<(usize, usize, String)>,
}

/// The mean; 0 of none.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

impl OfKind {
    pub fn accuracy(&self) -> f64 {
        mean(&self.hits)
    }

    pub fn chance(&self) -> f64 {
        mean(&self.chances)
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub kinds: BTreeMap<Kind, OfKind>,
    /// Predictions without a query, `[clips, dim]`, and the long captions of the clips, both L2-normalised.
    pub clips: Vec<f32>,
    pub captions: Vec<f32>,
    pub dim: usize,
}

impl Found {
    /// Searches by caption among clips, and by clip among captions.
    pub fn retrieval(&self) -> Cell {
        let n = self.clips.len() / self.dim.max(1);
        let truth: Vec<usize> = (0..n).collect();
        let to_text = recall(&self.clips, &self.captions, self.dim, &truth);
        let to_clip = recall(&self.captions, &self.clips, self.dim, &truth);
        let over = |value: f64| (n > 0).then_some(value);
        Cell {
            n,
            candidates: n,
            r1: over(to_text.r1),
            r5: over(to_text.r5),
            chance_r1: chance(n, 1),
            chance_r5: chance(n, 5),
            t2i_n: n,
            t2i_candidates: n,
            t2i_r1: over(to_clip.r1),
            t2i_r5: over(to_clip.r5),
        }
    }
}

/// The frames of a clip as a model takes them, `[frames, 3, size, size]`.
///
/// # Errors
/// What preparing pictures reports.
pub(super) fn pixels(frames: &[u8], to: &Preprocess) -> Result<Vec<f32>, DataError> {
    let size = to.size as usize;
    let mut out = vec![0.0; frames.len()];
    for (slot, frame) in out.chunks_exact_mut(to.values().max(1)).zip(frames.chunks_exact(size * size * 3)) {
        to.normalize_into(&Rgb8Image::new(to.size, to.size, frame.to_vec())?, slot)?;
    }
    Ok(out)
}

/// The clips of scenes as a model takes them, `[scenes, frames, 3, size, size]`.
///
/// # Errors
/// As [`pixels`].
pub(super) fn clips(world: &SpriteWorld, scenes: &[Scene], to: &Preprocess) -> Result<Vec<f32>, DataError> {
    let clip = |scene: &Scene| pixels(&world.render(scene, to.size as usize), to);
    Ok(scenes.par_iter().map(clip).collect::<Result<Vec<_>, _>>()?.concat())
}

/// Embeddings of texts that come again and again.
#[derive(Debug, Default)]
pub(super) struct Texts(HashMap<String, Vec<f32>>);

impl Texts {
    /// Rows of texts, L2-normalised.
    ///
    /// # Errors
    /// What the model reports.
    pub fn rows(&mut self, embedder: &Embedder<'_>, texts: &[&str]) -> Result<Vec<f32>> {
        let mut new: Vec<&str> = texts.iter().copied().filter(|text| !self.0.contains_key(*text)).collect();
        new.sort_unstable();
        new.dedup();
        let dim = embedder.model.config.embedding_dim;
        let rows = embedder.texts(&new)?;
        self.0.extend(new.iter().map(|text| (*text).to_owned()).zip(rows.chunks_exact(dim).map(<[f32]>::to_vec)));
        Ok(texts.iter().filter_map(|text| self.0.get(*text)).flatten().copied().collect())
    }
}

/// The place of the highest score.
pub(super) fn highest(scores: &[f32]) -> Option<usize> {
    (0..scores.len()).max_by(|&i, &j| scores[i].total_cmp(&scores[j]))
}

/// Shows clips to a model, asks its questions, and embeds their captions. `progress` receives the number of clips that are done.
///
/// # Errors
/// What the model reports.
pub(super) fn answers(
    embedder: &Embedder<'_>,
    to: &Preprocess,
    asked: &Asked<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<Found> {
    let dim = embedder.model.config.embedding_dim;
    let mut found = Found { dim, ..Found::default() };
    let (mut texts, mut held) = (Texts::default(), Vec::new());
    let mut captions: Vec<String> = Vec::with_capacity(asked.clips);
    let all: Vec<usize> = (0..asked.clips).collect();
    for part in all.chunks(PART) {
        let scenes: Vec<Scene> = part.iter().map(|&index| asked.world.scene(asked.key(index))).collect();
        let of = |(&index, scene): (&usize, &Scene)| match asked.questions {
            true => questions(asked.world, scene, asked.wordings, asked.key(index)),
            false => Vec::new(),
        };
        let own: Vec<Vec<Question>> = part.iter().zip(&scenes).map(of).collect();
        let pairs: Vec<(usize, &str)> = (0..part.len())
            .map(|clip| (clip, ""))
            .chain(own.iter().enumerate().flat_map(|(clip, list)| list.iter().map(move |q| (clip, q.text.as_str()))))
            .collect();
        let frames = scenes.first().map_or(0, |scene| scene.poses.len());
        let seen = clips(asked.world, &scenes, to)?;
        let rows = embedder.asked(&seen, [part.len(), frames, to.size as usize], &pairs)?;
        found.clips.extend_from_slice(&rows[..part.len() * dim]);
        let long = |(&index, scene): (&usize, &Scene)| {
            caption(asked.world, scene, Length::Long, asked.wordings, asked.key(index))
        };
        captions.extend(part.iter().zip(&scenes).map(long));
        let own = part.iter().zip(own).flat_map(|(&clip, own)| own.into_iter().map(move |question| (clip, question)));
        for ((clip, question), row) in own.zip(rows[part.len() * dim..].chunks_exact(dim.max(1))) {
            let candidates: Vec<&str> =
                std::iter::once(&question.answer).chain(&question.others).map(String::as_str).collect();
            let rows = texts.rows(embedder, &candidates)?;
            scores(row, &rows, &mut held);
            let of = found.kinds.entry(question.kind).or_default();
            let hit = hit_at(&held, 0, 1);
            if let Some(first) = highest(&held).filter(|_| hit == 0.0 && of.missed.len() < MISSED) {
                of.missed.push((clip, of.questions.len(), candidates[first].to_owned()));
            }
            of.hits.push(hit);
            of.chances.push(1.0 / held.len().max(1) as f64);
            of.candidates = of.candidates.max(held.len());
            of.questions.push(question);
        }
        progress(part.last().map_or(0, |last| last + 1));
    }
    found.captions = embedder.texts(&captions)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_of_one_purpose_are_none_of_another_whatever_the_seed() {
        let purposes = [
            Purpose::Train,
            Purpose::Validate,
            Purpose::Suite,
            Purpose::Floors,
            Purpose::WorldPrediction,
            Purpose::Elsewhere(0),
            Purpose::Elsewhere(3),
        ];
        for (i, one) in purposes.iter().enumerate() {
            assert!(purposes[..i].iter().all(|other| other.key(7, 1) != one.key(7, 1)));
        }
    }
}
