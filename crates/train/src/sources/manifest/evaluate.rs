//! Measures a model on the rows of a manifest: classification, retrieval both ways, answers to questions. Each figure has an
//! interval, by resampling the rows with replacement, and the floors that it must beat.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;
use vljepa_data::Preprocess;
use vljepa_data::manifest::{Manifest, Row, Split};
use vljepa_embed::Embedder;

use crate::error::{Result, TrainError};
use crate::interval::{Measured, Sampled, intervals, median};
use crate::metrics::{Cell, NamedCell, Place, Validation, chance_of, scores};

/// Pairs of texts that are listed as taken for each other.
const CONFUSIONS: usize = 20;

/// How a manifest is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestOptions {
    /// The part of the data.
    pub split: Split,
    /// How often the rows are drawn anew for the intervals; 0: no intervals.
    pub resamples: usize,
    /// Seed of these draws.
    pub seed: u64,
}

impl Default for ManifestOptions {
    fn default() -> Self {
        Self { split: Split::Test, resamples: 1000, seed: 0 }
    }
}

/// Which text a picture or clip shows, among all texts of the part of the data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classification {
    /// Rows without a query.
    pub rows: usize,
    /// Texts that differ.
    pub texts: usize,
    /// Share of rows whose right text is first.
    pub top1: Measured,
    /// Share of rows with a right text among the first five.
    pub top5: Measured,
    /// Of each text in how many of its rows it, or another right one, came first; where rows have one text each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_text: Vec<OfText>,
    /// Texts that came first where another was right, the most frequent pairs first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub confusions: Vec<Confusion>,
}

/// How often a text was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfText {
    /// The text.
    pub text: String,
    /// Its rows.
    pub rows: usize,
    /// Those that it was first for; a part of one where texts are tied.
    pub right: f64,
}

/// A text that was given for another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    /// The right text.
    pub text: String,
    /// The text that came first.
    pub taken_for: String,
    /// Rows.
    pub rows: usize,
}

/// A search of one thing among others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retrieval {
    /// What is searched with.
    pub queries: usize,
    /// What each is searched among.
    pub candidates: usize,
    /// Share whose right one is first.
    pub r1: Measured,
    /// Among the first five.
    pub r5: Measured,
    /// Among the first ten.
    pub r10: Measured,
    /// Median of the first right one's rank.
    pub median_rank: Measured,
}

/// Answers to questions: each among the answers that the same question has, or where that is one among all texts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Questions {
    /// Rows with a query.
    pub rows: usize,
    /// Queries that differ.
    pub questions: usize,
    /// Share of rows whose right answer is first.
    pub accuracy: Measured,
}

/// What was measured. Parts without rows are left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ManifestReport {
    /// "manifest".
    pub suite: &'static str,
    /// The part of the data.
    pub split: Split,
    /// Its rows.
    pub rows: usize,
    /// Draws of the intervals.
    pub resamples: usize,
    /// Their seed.
    pub seed: u64,
    /// Rows with a query, for a model that takes none: they are not measured.
    pub unasked: usize,
    /// Of rows without a query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classification: Option<Classification>,
    /// From a picture or clip to its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visual_to_text: Option<Retrieval>,
    /// From a text to a picture or clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_to_visual: Option<Retrieval>,
    /// Of rows with a query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub questions: Option<Questions>,
}

/// Measures a model on a part of a manifest. `preprocess` has the side of the pictures. `progress` receives the number of rows
/// that are done.
///
/// # Errors
/// A part without rows, the first row whose file cannot be read, and what embedding reports.
pub fn evaluate(
    embedder: &Embedder<'_>,
    preprocess: &Preprocess,
    manifest: &Manifest,
    options: &ManifestOptions,
    progress: &mut dyn FnMut(usize),
) -> Result<ManifestReport> {
    let rows: Vec<&Row> = manifest.of(options.split).collect();
    if rows.is_empty() {
        let there: BTreeSet<&str> = manifest.rows().iter().map(|row| row.split.name()).collect();
        let there: Vec<&str> = there.into_iter().collect();
        return Err(TrainError::Invalid(format!(
            "{}: no row is of the split {}; there are {}",
            manifest.path().display(),
            options.split,
            there.join(", ")
        )));
    }
    let ranked = Ranked::of(embedder, preprocess, &rows, progress)?;
    let sampled = |lists: &[Sampled<'_>]| intervals(lists, options.resamples, options.seed);
    let (visual_to_text, text_to_visual) = (ranked.visual_to_text(&sampled), ranked.text_to_visual(&sampled));
    Ok(ManifestReport {
        suite: "manifest",
        split: options.split,
        rows: rows.len(),
        resamples: options.resamples,
        seed: options.seed,
        unasked: ranked.unasked,
        classification: visual_to_text.as_ref().map(|retrieval| ranked.classification(retrieval)),
        visual_to_text,
        text_to_visual,
        questions: ranked.questions(&sampled),
    })
}

/// Figures on the validation part during a run.
pub(super) fn validate(embedder: &Embedder<'_>, preprocess: &Preprocess, rows: &[Row]) -> Result<Validation> {
    if rows.is_empty() {
        return Ok(Validation::default());
    }
    let rows: Vec<&Row> = rows.iter().collect();
    let ranked = Ranked::of(embedder, preprocess, &rows, &mut |_| ())?;
    let plain = |lists: &[Sampled<'_>]| intervals(lists, 0, 0);
    let named = |key: &str, title: &str, cell| NamedCell { key: key.into(), title: title.into(), cell };
    let mut cells = Vec::new();
    if let (Some(there), Some(back)) = (ranked.visual_to_text(&plain), ranked.text_to_visual(&plain)) {
        let cell = Cell {
            n: there.queries,
            candidates: there.candidates,
            r1: Some(there.r1.value),
            r5: Some(there.r5.value),
            chance_r1: there.r1.chance,
            chance_r5: there.r5.chance,
            t2i_n: back.queries,
            t2i_candidates: back.candidates,
            t2i_r1: Some(back.r1.value),
            t2i_r5: Some(back.r5.value),
        };
        cells.push(named("validation", "validation rows", cell));
    }
    if let Some(asked) = ranked.questions(&plain) {
        let cell = Cell {
            n: asked.rows,
            candidates: ranked.most_answers(),
            r1: Some(asked.accuracy.value),
            chance_r1: asked.accuracy.chance,
            ..Cell::default()
        };
        cells.push(named("questions", "validation questions", cell));
    }
    Ok(Validation(cells))
}

/// A row with a query.
struct Asked {
    place: Option<Place>,
    /// Of the answers that it was held against, how many are right, and how many there are.
    right: usize,
    candidates: usize,
    /// Whether what is right most often for this question is right for the row.
    majority: bool,
}

/// Where the right ones stand.
struct Ranked<'a> {
    /// The texts that differ, of rows without a query, sorted.
    texts: Vec<&'a str>,
    /// The right texts of each such row, as indices.
    right: Vec<Vec<usize>>,
    /// Of each such row the place of its right text.
    visuals: Vec<Option<Place>>,
    /// The text that came first.
    first: Vec<usize>,
    /// Of each text the place of its row, and how many are right.
    back: Vec<(Option<Place>, usize)>,
    asked: Vec<Asked>,
    questions: usize,
    unasked: usize,
}

/// Makes intervals of lists that are resampled together.
type Resample<'f> = dyn Fn(&[Sampled<'_>]) -> Vec<Measured> + 'f;

impl<'a> Ranked<'a> {
    fn of(
        embedder: &Embedder<'_>,
        preprocess: &Preprocess,
        rows: &[&'a Row],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self> {
        let dim = embedder.model.config.embedding_dim;
        let (mut plain, mut asked): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.query.is_none());
        let mut unasked = 0;
        if embedder.queries.is_none() {
            unasked = asked.len();
            asked.clear();
        }
        // Pictures and clips have batches of their own.
        plain.sort_by_cached_key(|row| row.is_clip().unwrap_or_default());
        let distinct = |rows: &[&'a Row]| -> Vec<&'a str> {
            let texts: BTreeSet<&str> = rows.iter().flat_map(|row| row.targets.iter().map(String::as_str)).collect();
            texts.into_iter().collect()
        };
        let texts = distinct(&plain);
        let of_texts = embedder.texts(&texts)?;
        let of_rows = embedder.rows(&plain, None, preprocess, progress)?;
        let right: Vec<Vec<usize>> = plain.iter().map(|row| indices(&row.targets, &texts)).collect();
        let of_visual = |held: &mut Vec<f32>, (row, right): (&[f32], &Vec<usize>)| {
            scores(row, &of_texts, held);
            let best = held.iter().enumerate().filter(|(_, score)| score.is_finite()).max_by(|a, b| a.1.total_cmp(b.1));
            (Place::of(held, |i| right.binary_search(&i).is_ok()), best.map_or(0, |(i, _)| i))
        };
        let (visuals, first) = of_rows.par_chunks_exact(dim).zip(&right).map_init(Vec::new, of_visual).unzip();
        let mut shown_by = vec![Vec::new(); texts.len()];
        right.iter().enumerate().for_each(|(row, right)| right.iter().for_each(|&text| shown_by[text].push(row)));
        let of_text = |held: &mut Vec<f32>, (text, right): (&[f32], &Vec<usize>)| {
            scores(text, &of_rows, held);
            (Place::of(held, |i| right.binary_search(&i).is_ok()), right.len())
        };
        let back = of_texts.par_chunks_exact(dim).zip(&shown_by).map_init(Vec::new, of_text).collect();
        let mut ranked = Self { texts, right, visuals, first, back, asked: Vec::new(), questions: 0, unasked };
        let mut queries: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        asked.iter().for_each(|row| queries.entry(row.query.as_deref().unwrap_or_default()).or_default().push(row));
        ranked.questions = queries.len();
        let (all, mut done) = (distinct(&asked), plain.len());
        let of_all = embedder.texts(&all)?;
        let everywhere = most_frequent(&asked);
        // Each question's own answers; none where it has one, which stands among those of all.
        let (mut own_answers, mut predicted) = (Vec::new(), Vec::new());
        let mut of_question: Vec<(usize, &Row)> = Vec::with_capacity(asked.len());
        for (query, mut rows) in queries {
            let own = distinct(&rows);
            let question = (own.len() > 1).then(|| {
                let of_own = rows_of(&of_all, &indices(&own, &all), dim);
                (own, of_own, most_frequent(&rows))
            });
            rows.sort_by_cached_key(|row| row.is_clip().unwrap_or_default());
            predicted.extend(embedder.rows(&rows, Some(query), preprocess, &mut |n| progress(done + n))?);
            done += rows.len();
            of_question.extend(rows.into_iter().map(|row| (own_answers.len(), row)));
            own_answers.push(question);
        }
        let of_asked = |held: &mut Vec<f32>, (&(question, row), predicted): (&(usize, &Row), &[f32])| {
            let (answers, of_answers, frequent) = match own_answers.get(question) {
                Some(Some((own, of_own, frequent))) => (own, of_own, *frequent),
                _ => (&all, &of_all, everywhere),
            };
            let right = indices(&row.targets, answers);
            scores(predicted, of_answers, held);
            Asked {
                place: Place::of(held, |i| right.binary_search(&i).is_ok()),
                right: right.len(),
                candidates: answers.len(),
                majority: row.targets.iter().any(|text| Some(text.as_str()) == frequent),
            }
        };
        ranked.asked =
            of_question.par_iter().zip(predicted.par_chunks_exact(dim)).map_init(Vec::new, of_asked).collect();
        Ok(ranked)
    }

    /// The share of rows for which one of the `k` texts that are right most often is right.
    fn majority(&self, k: usize) -> f64 {
        let mut counts = vec![0_usize; self.texts.len()];
        self.right.iter().flatten().for_each(|&text| counts[text] += 1);
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|&text| std::cmp::Reverse(counts[text]));
        order.truncate(k);
        let hit = self.right.iter().filter(|right| right.iter().any(|text| order.contains(text))).count();
        hit as f64 / self.right.len().max(1) as f64
    }

    fn visual_to_text(&self, resample: &Resample<'_>) -> Option<Retrieval> {
        let right = self.right.iter().map(Vec::len);
        let places: Vec<(Option<Place>, usize)> = self.visuals.iter().copied().zip(right).collect();
        let mut found = retrieval(&places, self.texts.len(), resample)?;
        for (k, measured) in [(1, &mut found.r1), (5, &mut found.r5), (10, &mut found.r10)] {
            measured.majority = Some(self.majority(k));
        }
        Some(found)
    }

    fn text_to_visual(&self, resample: &Resample<'_>) -> Option<Retrieval> {
        retrieval(&self.back, self.visuals.len(), resample)
    }

    fn classification(&self, found: &Retrieval) -> Classification {
        let mut by_text = Vec::new();
        let mut pairs: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        if self.right.iter().all(|right| right.len() == 1) {
            by_text = self.texts.iter().map(|text| OfText { text: (*text).to_owned(), rows: 0, right: 0.0 }).collect();
            for ((right, place), &first) in self.right.iter().zip(&self.visuals).zip(&self.first) {
                for &text in right {
                    by_text[text].rows += 1;
                    by_text[text].right += place.map_or(0.0, |place| place.hit(1));
                    if text != first && place.is_none_or(|place| place.hit(1) < 1.0) {
                        *pairs.entry((text, first)).or_default() += 1;
                    }
                }
            }
        }
        let mut confusions: Vec<Confusion> = pairs
            .into_iter()
            .map(|((text, first), rows)| Confusion {
                text: self.texts[text].to_owned(),
                taken_for: self.texts[first].to_owned(),
                rows,
            })
            .collect();
        confusions.sort_by_key(|confusion| std::cmp::Reverse(confusion.rows));
        confusions.truncate(CONFUSIONS);
        Classification {
            rows: found.queries,
            texts: found.candidates,
            top1: found.r1,
            top5: found.r5,
            by_text,
            confusions,
        }
    }

    fn questions(&self, resample: &Resample<'_>) -> Option<Questions> {
        if self.asked.is_empty() {
            return None;
        }
        let mean = |of: &dyn Fn(&Asked) -> f64| self.asked.iter().map(of).sum::<f64>() / self.asked.len() as f64;
        let hits: Vec<f64> = self.asked.iter().map(|asked| asked.place.map_or(0.0, |place| place.hit(1))).collect();
        let mut accuracy = resample(&[Sampled::Mean(&hits)]).first().copied().unwrap_or_default();
        accuracy.chance = mean(&|asked| chance_of(asked.candidates, asked.right, 1));
        accuracy.majority = Some(mean(&|asked| f64::from(u8::from(asked.majority))));
        Some(Questions { rows: self.asked.len(), questions: self.questions, accuracy })
    }

    /// The most answers that a question was held against.
    fn most_answers(&self) -> usize {
        self.asked.iter().map(|asked| asked.candidates).max().unwrap_or_default()
    }
}

/// The places of `texts` in the sorted list `all`, sorted.
fn indices(texts: &[impl AsRef<str>], all: &[&str]) -> Vec<usize> {
    let mut found: Vec<usize> = texts.iter().filter_map(|text| all.binary_search(&text.as_ref()).ok()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Some of the rows of `all`, `[_, dim]`.
fn rows_of(all: &[f32], rows: &[usize], dim: usize) -> Vec<f32> {
    rows.iter().flat_map(|row| all[row * dim..(row + 1) * dim].iter().copied()).collect()
}

/// The text that is right for most of `rows`; of several the first by its letters.
fn most_frequent<'a>(rows: &[&'a Row]) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    rows.iter().flat_map(|row| &row.targets).for_each(|text| *counts.entry(text).or_default() += 1);
    let most = counts.values().copied().max()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(text, _)| text)
}

/// The figures of places among `candidates`, each with how many are right; `None` without any.
fn retrieval(places: &[(Option<Place>, usize)], candidates: usize, resample: &Resample<'_>) -> Option<Retrieval> {
    if places.is_empty() {
        return None;
    }
    let hits =
        |k: usize| -> Vec<f64> { places.iter().map(|(place, _)| place.map_or(0.0, |place| place.hit(k))).collect() };
    let (one, five, ten) = (hits(1), hits(5), hits(10));
    let ranks: Vec<f64> = places.iter().map(|(place, _)| place.map_or(candidates as f64, Place::rank)).collect();
    let lists = [Sampled::Mean(&one), Sampled::Mean(&five), Sampled::Mean(&ten), Sampled::Median(&ranks)];
    let Ok([mut r1, mut r5, mut r10, mut median_rank]) = <[Measured; 4]>::try_from(resample(&lists)) else {
        return None;
    };
    let at = |k: usize| {
        let sum: f64 = places.iter().map(|(_, right)| chance_of(candidates, *right, k)).sum();
        sum / places.len() as f64
    };
    (r1.chance, r5.chance, r10.chance) = (at(1), at(5), at(10));
    let mut expected: Vec<f64> = places.iter().map(|(_, right)| (candidates + 1) as f64 / (right + 1) as f64).collect();
    median_rank.chance = median(&mut expected);
    Some(Retrieval { queries: places.len(), candidates, r1, r5, r10, median_rank })
}
