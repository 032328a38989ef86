//! The `sprite-world` suite: questions about clips of unseen designs in unseen wordings, searches, which clip leads from one picture
//! to another, and captions that are nearly right.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;
use vljepa_data::sprite_world::words::{Change, HardNegative, Kind, Length, Wordings, caption, hard_negative};
use vljepa_data::sprite_world::{Action, Pairs, Scene, SpriteOptions, SpriteWorld};
use vljepa_data::{Preprocess, SampleKey};
use vljepa_embed::Embedder;

use super::floors::{self, Accuracies, Floors, changes_alike};
use super::measure::{Asked, Found, OfKind, PART, Purpose, Texts, answers, clips, highest, mean};
use super::text_only::TextOnly;
use crate::cider::{Captioned, cider_d};
use crate::error::{Result, TrainError};
use crate::interval::{Measured, Sampled, intervals};
use crate::metrics::{Place, hit_at, scores};
use crate::random::{self, Stream};

/// Questions of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answered {
    /// Questions.
    pub n: usize,
    /// Those whose answer is ranked first.
    pub accuracy: f64,
    /// Where 95 % of the accuracies over resampled questions lie; null without resamples.
    pub interval: Option<[f64; 2]>,
    /// The accuracy of a guess.
    pub chance: f64,
    /// The accuracy of a baseline that reads question and candidates, and sees no clip. It learns from clips like those that are
    /// trained on: of pairs that are held out it knows nothing.
    pub text_only: f64,
    /// The accuracy of a ridge regression on coarse pictures of three frames, which reads no question.
    pub pixels: f64,
    /// The accuracy of a ridge regression on histograms of the differences between frames.
    pub differences: f64,
}

/// The kinds of questions, by [`Kind::key`]; `unseen_pairs` asks what things do that were never seen doing it,
/// `unseen_concepts` what things do that were never seen.
pub type Cells = BTreeMap<&'static str, Answered>;

/// Searches among clips and their long captions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VideoRetrieval {
    /// Clips, and captions.
    pub n: usize,
    /// Captions whose clip is ranked first.
    pub t2v_r1: f64,
    /// Where 95 % of `t2v_r1` over resampled captions lie.
    pub t2v_interval: Option<[f64; 2]>,
    /// Clips whose caption is ranked first.
    pub v2t_r1: f64,
    /// The middle of the ranks of the clips of captions.
    pub median_rank: f64,
    /// `t2v_r1` of a random order.
    pub chance: f64,
}

/// A choice among a few.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Chosen {
    /// Choices.
    pub n: usize,
    /// Right ones.
    pub accuracy: f64,
    /// Where 95 % of the accuracies over resampled choices lie.
    pub interval: Option<[f64; 2]>,
    /// The accuracy of a guess.
    pub chance: f64,
    /// The accuracy of the choice by coarse pixels alone, where there is such a floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixels: Option<f64>,
}

/// Captions that are nearly right: a hit where both true captions are nearer to the clip than the false one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HardNegatives {
    /// All of them.
    #[serde(flatten)]
    pub all: Chosen,
    /// By what was changed.
    pub by_change: BTreeMap<Change, Chosen>,
}

/// The figures of the suite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpriteWorldReport {
    /// `sprite-world`.
    pub suite: &'static str,
    /// Seed of the clips.
    pub seed: u64,
    /// Questions by kind; empty for a model that takes none.
    pub cells: Cells,
    /// Searches by text and by clip.
    pub retrieval: VideoRetrieval,
    /// Given the pictures before and after, which of four clips lies between them?
    pub world_prediction: Chosen,
    /// Nearly right captions.
    pub hard_negatives: HardNegatives,
    /// The nearest of other clips' captions.
    pub captioning: Captioning,
    /// The first wrong answers of each kind, for people.
    #[serde(skip)]
    pub failures: Vec<Failure>,
}

/// Captions that are chosen for clips, by CIDEr-D against their own ([`cider_d`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Captioning {
    /// Clips.
    pub n: usize,
    /// Captions to choose from: of other clips, in other wordings.
    pub candidates: usize,
    /// The mean score, of at most 10.
    pub cider_d: f64,
    /// Where 95 % of the means over resampled clips lie.
    pub interval: Option<[f64; 2]>,
    /// The mean score of captions drawn at random.
    pub chance: f64,
}

/// A question that got a wrong answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The kind of question, by [`Kind::key`].
    pub kind: &'static str,
    /// The clip.
    pub scene: Scene,
    /// The question.
    pub question: String,
    /// The right answer.
    pub truth: String,
    /// The answer that was ranked first.
    pub said: String,
}

/// How the suite is run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SpriteWorldOptions {
    /// Clips.
    pub clips: usize,
    /// Seed of the clips.
    pub seed: u64,
    /// How often figures are drawn anew for the intervals; 0: no intervals.
    pub resamples: usize,
    /// Which wordings.
    pub wordings: Wordings,
    /// A world of things that were never trained on, for a cell of their own.
    pub unseen: Option<SpriteWorld>,
}

impl Default for SpriteWorldOptions {
    fn default() -> Self {
        Self { clips: 500, seed: 0, resamples: 1000, wordings: Wordings::HeldOut, unseen: None }
    }
}

/// Runs the suite over clips of a world's drawings. `progress` receives the number of clips that are done, of three times
/// [`SpriteWorldOptions::clips`].
///
/// # Errors
/// A world of so few things that none does what is held out; what the model reports, which must take clips as long as the world's.
pub fn evaluate(
    embedder: &Embedder<'_>,
    to: &Preprocess,
    world: &SpriteWorld,
    options: &SpriteWorldOptions,
    progress: &mut dyn FnMut(usize),
) -> Result<SpriteWorldReport> {
    let of = |pairs: Pairs, events: usize| {
        world.with(SpriteOptions { pairs, events, ..*world.options() }).map_err(TrainError::from)
    };
    let mut asked = Asked {
        world,
        wordings: options.wordings,
        seed: options.seed,
        purpose: Purpose::Suite,
        clips: options.clips,
        questions: embedder.queries.is_some(),
    };
    let found = answers(embedder, to, &asked, progress)?;
    let learned = match asked.questions {
        true => TextOnly::learn(world, options.wordings, options.seed),
        false => TextOnly::default(),
    };
    let mut texts = Texts::default();
    let floors = match asked.questions {
        true => {
            let from = Asked { purpose: Purpose::Floors, clips: floors::CLIPS, ..asked };
            Some(Floors::learn(embedder, &mut texts, &from)?)
        }
        false => None,
    };
    let mut below = |asked: &Asked<'_>| match &floors {
        Some(floors) => floors.accuracies(embedder, &mut texts, asked),
        None => Ok(Accuracies::new()),
    };
    let lower = below(&asked)?;
    let cell = |(kind, of): (&Kind, &OfKind)| (kind.key(), answered(of, &learned, lower.get(kind), options));
    let mut cells: Cells = found.kinds.iter().map(cell).collect();
    let hard_negatives = hard_negatives(embedder, &asked, &found, options)?;
    let captioning = captioning(embedder, &asked, &found, options)?;
    let held_out = of(Pairs::HeldOut, 1)?;
    asked.world = &held_out;
    let unseen = answers(embedder, to, &asked, &mut |done| progress(options.clips + done))?;
    if let Some(of) = unseen.kinds.get(&Kind::Action) {
        let lower = below(&asked)?;
        cells.insert("unseen_pairs", answered(of, &learned, lower.get(&Kind::Action), options));
    }
    if let Some(world) = &options.unseen {
        (asked.world, asked.purpose) = (world, Purpose::Suite);
        let unseen = answers(embedder, to, &asked, &mut |done| progress(options.clips + done))?;
        if let Some(of) = unseen.kinds.get(&Kind::Action) {
            let lower = below(&asked)?;
            cells.insert("unseen_concepts", answered(of, &learned, lower.get(&Kind::Action), options));
        }
    }
    let single = of(Pairs::Seen, 1)?;
    (asked.world, asked.purpose) = (&single, Purpose::WorldPrediction);
    let world_prediction =
        world_prediction(embedder, to, &asked, options, &mut |done| progress(2 * options.clips + done))?;
    let retrieval = retrieval(&found, options);
    let of_kind = |(kind, of): (&Kind, &OfKind)| -> Vec<Failure> {
        let failure = |(clip, at, said): &(usize, usize, String)| {
            let question = of.questions.get(*at)?;
            Some(Failure {
                kind: kind.key(),
                scene: world.scene(Purpose::Suite.key(options.seed, *clip as u64)),
                question: question.text.clone(),
                truth: question.answer.clone(),
                said: said.clone(),
            })
        };
        of.missed.iter().filter_map(failure).collect()
    };
    let failures = found.kinds.iter().flat_map(of_kind).collect();
    Ok(SpriteWorldReport {
        suite: "sprite-world",
        seed: options.seed,
        cells,
        retrieval,
        world_prediction,
        hard_negatives,
        captioning,
        failures,
    })
}

fn over(values: &[f64], options: &SpriteWorldOptions) -> Measured {
    let measured = intervals(&[Sampled::Mean(values)], options.resamples, options.seed);
    measured.first().copied().unwrap_or_default()
}

fn answered(of: &OfKind, learned: &TextOnly, lower: Option<&[f64; 2]>, options: &SpriteWorldOptions) -> Answered {
    let [pixels, differences] = lower.copied().unwrap_or_default();
    let Measured { value, interval, .. } = over(&of.hits, options);
    let blind: Vec<f64> = of.questions.iter().map(|question| hit_at(&learned.scores(question), 0, 1)).collect();
    Answered {
        n: of.hits.len(),
        accuracy: value,
        interval,
        chance: of.chance(),
        text_only: blind.iter().sum::<f64>() / blind.len().max(1) as f64,
        pixels,
        differences,
    }
}

fn chosen(hits: &[f64], chance: f64, options: &SpriteWorldOptions) -> Chosen {
    let Measured { value, interval, .. } = over(hits, options);
    Chosen { n: hits.len(), accuracy: value, interval, chance, pixels: None }
}

fn retrieval(found: &Found, options: &SpriteWorldOptions) -> VideoRetrieval {
    let dim = found.dim.max(1);
    let ranks = |queries: &[f32], candidates: &[f32]| -> Vec<(f64, f64)> {
        let mut held = Vec::new();
        let of = |(truth, query): (usize, &[f32])| {
            scores(query, candidates, &mut held);
            // A prediction that is not finite is never found.
            let place = Place::of(&held, |i| i == truth);
            place.map_or((0.0, held.len() as f64), |place| (place.hit(1), place.rank()))
        };
        queries.chunks_exact(dim).enumerate().map(of).collect()
    };
    let (forth, back) = (ranks(&found.captions, &found.clips), ranks(&found.clips, &found.captions));
    let hits = |ranks: &[(f64, f64)]| ranks.iter().map(|(hit, _)| *hit).collect::<Vec<f64>>();
    let places: Vec<f64> = forth.iter().map(|(_, rank)| *rank).collect();
    let first = over(&hits(&forth), options);
    let median = intervals(&[Sampled::Median(&places)], 0, 0).first().map_or(0.0, |measured| measured.value);
    VideoRetrieval {
        n: forth.len(),
        t2v_r1: first.value,
        t2v_interval: first.interval,
        v2t_r1: over(&hits(&back), options).value,
        median_rank: median,
        chance: 1.0 / forth.len().max(1) as f64,
    }
}

fn hard_negatives(
    embedder: &Embedder<'_>,
    asked: &Asked<'_>,
    found: &Found,
    options: &SpriteWorldOptions,
) -> Result<HardNegatives> {
    let mut triples: Vec<(usize, HardNegative)> = Vec::new();
    for index in 0..asked.clips {
        let (key, scene) = (asked.key(index), asked.world.scene(asked.key(index)));
        let of = |change| hard_negative(asked.world, &scene, change, asked.wordings, key);
        triples.extend(Change::ALL.into_iter().filter_map(of).map(|triple| (index, triple)));
    }
    let texts: Vec<&str> =
        triples.iter().flat_map(|(_, triple)| triple.right.iter().chain([&triple.wrong]).map(String::as_str)).collect();
    let rows = embedder.texts(&texts)?;
    let (dim, mut held) = (found.dim, Vec::new());
    let mut by_change: BTreeMap<Change, Vec<f64>> = BTreeMap::new();
    let mut by_clip: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for ((index, triple), rows) in triples.iter().zip(rows.chunks_exact((3 * dim).max(1))) {
        scores(&found.clips[index * dim..(index + 1) * dim], rows, &mut held);
        // The wrong one must be last; where it is tied with the last right ones, as often as in a random order.
        let (wrong, finite) = (held[2], held.iter().all(|score| score.is_finite()));
        let tied = held[..2].iter().filter(|right| **right == wrong).count();
        let is_last = finite && held[..2].iter().all(|right| *right >= wrong);
        let hit = if is_last { 1.0 / (1 + tied) as f64 } else { 0.0 };
        by_change.entry(triple.change).or_default().push(hit);
        by_clip.entry(*index).or_default().push(hit);
    }
    // Three in a random order: the false one is last in one of three.
    const CHANCE: f64 = 1.0 / 3.0;
    let all: Vec<f64> = by_change.values().flatten().copied().collect();
    // The triples of a clip are drawn together.
    let clips: Vec<f64> = by_clip.values().map(|hits| hits.iter().sum::<f64>() / hits.len() as f64).collect();
    let interval = over(&clips, options).interval;
    Ok(HardNegatives {
        all: Chosen { interval, ..chosen(&all, CHANCE, options) },
        by_change: by_change.into_iter().map(|(change, hits)| (change, chosen(&hits, CHANCE, options))).collect(),
    })
}

/// Captions to choose from.
const BANK: usize = 1000;

/// Chooses for each clip the nearest of the captions of other clips in training wordings, and scores it against the captions of all
/// lengths that the clip has.
fn captioning(
    embedder: &Embedder<'_>,
    asked: &Asked<'_>,
    found: &Found,
    options: &SpriteWorldOptions,
) -> Result<Captioning> {
    let told = |key: SampleKey, length: Length, wordings: Wordings| {
        caption(asked.world, &asked.world.scene(key), length, wordings, key)
    };
    let bank: Vec<String> = (0..BANK as u64)
        .into_par_iter()
        .map(|i| told(Purpose::Floors.key(options.seed, i), Length::Medium, Wordings::Train))
        .collect();
    let references: Vec<Vec<String>> = (0..asked.clips)
        .into_par_iter()
        .map(|i| {
            let of = |length| [Wordings::Train, asked.wordings].map(|wordings| told(asked.key(i), length, wordings));
            [Length::Medium, Length::Long].into_iter().flat_map(of).collect()
        })
        .collect();
    let (rows, dim) = (embedder.texts(&bank)?, found.dim.max(1));
    let mut held = Vec::new();
    let nearest = found.clips.chunks_exact(dim).map(|clip| {
        scores(clip, &rows, &mut held);
        highest(&held).unwrap_or(0)
    });
    let score = |chosen: &mut dyn Iterator<Item = usize>| -> Vec<f64> {
        let all: Vec<Captioned> = chosen
            .zip(&references)
            .map(|(i, references)| Captioned { said: bank[i].clone(), references: references.clone() })
            .collect();
        cider_d(&all)
    };
    let chosen = score(&mut nearest.collect::<Vec<_>>().into_iter());
    let mut dice = Stream::new(options.seed, random::Purpose::Text, 0);
    let drawn = score(&mut (0..asked.clips).map(|_| dice.below(BANK)));
    let Measured { value, interval, .. } = over(&chosen, options);
    Ok(Captioning { n: chosen.len(), candidates: BANK, cider_d: value, interval, chance: mean(&drawn) })
}

/// Clips that a choice is among.
const CANDIDATES: usize = 4;

/// The protocol of WorldPrediction: the pictures before and after are shown as the halves of one clip; the nearest of four clips is
/// chosen. What happens in the four could all happen from the picture before; each is shown in other places, drawings and on another
/// background, so that pixels tell little.
fn world_prediction(
    embedder: &Embedder<'_>,
    to: &Preprocess,
    asked: &Asked<'_>,
    options: &SpriteWorldOptions,
    progress: &mut dyn FnMut(usize),
) -> Result<Chosen> {
    let (dim, mut held, mut hits) = (embedder.model.config.embedding_dim, Vec::new(), Vec::new());
    let mut floor: Vec<f64> = Vec::new();
    let all: Vec<usize> = (0..asked.clips).collect();
    for part in all.chunks(PART) {
        let mut shown: Vec<Scene> = Vec::new();
        for &index in part {
            let key = asked.key(index);
            let scene = asked.world.scene(key);
            let others = asked.world.alternatives(&scene, key, CANDIDATES - 1);
            // Whoever comes could be told by that alone: nothing comes in the others.
            let comes = |action: Action| matches!(action, Action::Appear | Action::Enter);
            if !scene.events.iter().all(|e| e.action.leaves_a_trace() && !comes(e.action)) {
                continue;
            }
            let place = |(i, scene): (u64, &Scene)| {
                asked.world.elsewhere(scene, Purpose::Elsewhere(i).key(key.seed, key.index))
            };
            let choices: Vec<Scene> = (0..).zip(std::iter::once(&scene).chain(&others)).filter_map(place).collect();
            if choices.len() == CANDIDATES {
                let ends = |scene: &Scene| {
                    [0, scene.poses.len()].map(|frame| asked.world.picture(scene, frame, floors::SIDE).data)
                };
                let (wanted, own): (_, Vec<_>) = (ends(&scene), choices.iter().map(ends).collect());
                let own: Vec<[&[u8]; 2]> = own.iter().map(|[a, b]| [&a[..], &b[..]]).collect();
                floor.push(hit_at(&changes_alike([&wanted[0], &wanted[1]], &own), 0, 1));
                shown.push(scene.ends());
                shown.extend(choices);
            }
        }
        let frames = asked.world.options().frames;
        let pairs: Vec<(usize, &str)> = (0..shown.len()).map(|clip| (clip, "")).collect();
        if !shown.is_empty() {
            let seen = clips(asked.world, &shown, to)?;
            let rows = embedder.asked(&seen, [shown.len(), frames, to.size as usize], &pairs)?;
            for choice in rows.chunks_exact((dim * (1 + CANDIDATES)).max(1)) {
                scores(&choice[..dim], &choice[dim..], &mut held);
                hits.push(hit_at(&held, 0, 1));
            }
        }
        progress(part.last().map_or(0, |last| last + 1));
    }
    let pixels = Some(floor.iter().sum::<f64>() / floor.len().max(1) as f64);
    Ok(Chosen { pixels, ..chosen(&hits, 1.0 / CANDIDATES as f64, options) })
}
