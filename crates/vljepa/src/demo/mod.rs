//! What the project does, on held-out pictures: zero-shot classification and text search over the unseen vendor of
//! emoji-vendors, as a table and as a page.

mod page;

use std::time::Instant;

use serde::Serialize;
use vljepa_data::emoji::{Concept, ConceptId, EmojiVendors};
use vljepa_data::{DataError, Rgb8Image, Rgba8Image};
use vljepa_model::CutTexts;

use vljepa_embed::folder::ModelFolder;
use vljepa_embed::rows::{best, softmax};
use vljepa_embed::{Embeddings, Model};

use crate::error::{Error, Result};

/// The vendor whose drawings are in no training set.
const VENDOR: &str = "fluent-3d";
/// Ranked labels beside a picture.
const LABELS: usize = 5;
/// Pictures of one search.
const FOUND: usize = 8;
/// Held-out wordings searched for in the report, from each pool.
const SEARCHES: usize = 8;

/// Searches of the authors' choice; there is no list of right answers.
const FREE: [&str; 8] = [
    "something to drink",
    "a dangerous animal",
    "things you need in the rain",
    "being in love",
    "music",
    "vehicle on rails",
    "sleepy",
    "winter sports",
];

/// R@1 and R@5 of another method on the same pools, fractions: measured once elsewhere; nothing in this repository makes them
/// again.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Floor {
    /// Method.
    pub name: &'static str,
    /// First label right.
    pub r1: f64,
    /// Right label among the first five.
    pub r5: f64,
}

/// One row of the score table; all figures are fractions.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    /// Cell of the suite, e.g. `seen_concept_unseen_vendor`.
    pub cell: &'static str,
    /// What it asks, for people.
    pub title: &'static str,
    /// Pictures.
    pub n: usize,
    /// Names that each is held against.
    pub candidates: usize,
    /// First label right.
    pub r1: f64,
    /// Right label among the first five.
    pub r5: f64,
    /// R@1 of guessing.
    pub chance_r1: f64,
    /// R@5 of guessing.
    pub chance_r5: f64,
    /// Held-out wordings searched for among the pictures of the cell.
    pub t2i_n: usize,
    /// Their picture first.
    pub t2i_r1: f64,
    /// Their picture among the first five.
    pub t2i_r5: f64,
    /// What other methods reach.
    pub floors: Vec<Floor>,
}

/// One picture and what the model called it.
#[derive(Clone, Debug)]
pub struct Named {
    /// The concept's name.
    pub truth: String,
    /// Whether its concept was trained on, in other designs.
    pub seen: bool,
    /// Place of the right name among the candidates, from 1.
    pub place: usize,
    /// The best names with their softmax scores.
    pub labels: Vec<(String, f64)>,
}

/// One search.
#[derive(Clone, Debug)]
pub struct Search {
    /// What was searched for.
    pub text: String,
    /// The concept it is a wording of and its place, from 1; `None` for free texts.
    pub truth: Option<(String, usize)>,
    /// Indices of pictures, best first, and whether each is right.
    pub found: Vec<(usize, bool)>,
}

/// Where the time went, seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Timing {
    /// Embedding of the texts.
    pub texts: f64,
    /// Embedding of the pictures.
    pub pictures: f64,
}

/// Everything that the report shows.
#[derive(Debug)]
pub struct Demo {
    /// Adapter that computed.
    pub adapter: String,
    /// The model's folder, or `compact model`.
    pub model: String,
    /// Parameters of the model.
    pub parameters: u64,
    /// Bytes of its weights.
    pub weight_bytes: u64,
    /// Side of the pictures that it sees.
    pub image_size: usize,
    /// The score table.
    pub scores: Vec<Score>,
    /// Every picture of both pools.
    pub pictures: Vec<Named>,
    /// Searches with held-out wordings.
    pub searches: Vec<Search>,
    /// Searches of our choice.
    pub free: Vec<Search>,
    /// Where the time went.
    pub timing: Timing,
    /// Names and wordings that were cut to the model's longest text.
    pub cut: Option<CutTexts>,
    /// Who drew the pictures, and under which licence.
    pub credit: String,
    /// The pictures in a sheet of [`page::COLUMNS`] columns.
    sheet: Rgb8Image,
}

struct Cell {
    name: &'static str,
    title: &'static str,
    seen: bool,
    /// Indices into the pictures.
    range: std::ops::Range<usize>,
    floors: Vec<Floor>,
}

fn floors(figures: [[f64; 2]; 3]) -> Vec<Floor> {
    let names = ["32×32 pixels", "DINOv2-S", "PyTorch ViT, 20 min"];
    let floor = |(name, [r1, r5]): (_, [f64; 2])| Floor { name, r1: r1 / 100.0, r5: r5 / 100.0 };
    names.into_iter().zip(figures).map(floor).collect()
}

impl Demo {
    /// Embeds the drawings of the unseen vendor, their names and their held-out wordings, and ranks them. `note` is told
    /// what is being done and how many of how many are.
    ///
    /// # Errors
    /// A set without that vendor or with empty pools, and what reading and embedding report.
    pub fn run(
        model: &Model,
        folder: &ModelFolder,
        set: &EmojiVendors,
        mut note: impl FnMut(&'static str, usize, usize),
    ) -> Result<Self> {
        let (seen, unseen) = (&set.pools().seen, &set.pools().unseen);
        let cells = [
            Cell {
                name: "seen_concept_unseen_vendor",
                title: "known things, unknown designer",
                seen: true,
                range: 0..seen.len(),
                floors: floors([[16.7, 31.6], [29.8, 52.4], [35.6, 63.1]]),
            },
            Cell {
                name: "unseen_concept_unseen_vendor",
                title: "unknown things, unknown designer",
                seen: false,
                range: seen.len()..seen.len() + unseen.len(),
                floors: floors([[5.3, 16.7], [15.3, 31.3], [17.3, 39.3]]),
            },
        ];
        let ids: Vec<ConceptId> = seen.iter().chain(unseen).copied().collect();
        let concepts: Vec<&Concept> = ids.iter().filter_map(|&id| set.concept(id)).collect();
        let drawings = drawings(set, &ids)?;

        let start = Instant::now();
        let names: Vec<String> = concepts.iter().map(|c| c.label.clone()).collect();
        let wordings: Vec<Option<usize>> = {
            let mut next = 0..;
            concepts.iter().map(|c| if c.heldout.is_empty() { None } else { next.next() }).collect()
        };
        let mut texts = names.clone();
        texts.extend(concepts.iter().filter_map(|c| c.heldout.first().cloned()));
        texts.extend(FREE.map(String::from));
        let total = texts.len();
        let (texts, cut) = model.embed_texts_with(&texts, &mut |n| note("texts", n, total))?;
        let mut timing = Timing { texts: start.elapsed().as_secs_f64(), pictures: 0.0 };
        let rows = |range: std::ops::Range<usize>| texts.select(&range.collect::<Vec<_>>());
        let names_at = rows(0..names.len());
        let worded = wordings.iter().flatten().count();
        let wordings_at = rows(names.len()..names.len() + worded);
        let free_at = rows(names.len() + worded..total);

        let start = Instant::now();
        let rows = model.embed_pictures_with(&drawings, None, &mut |n| note("pictures", n, drawings.len()))?;
        timing.pictures = start.elapsed().as_secs_f64();

        let mut demo = Self {
            adapter: crate::info::adapter_name(model.device()),
            model: model.origin().to_owned(),
            parameters: model.config().parameters(),
            weight_bytes: folder.weight_bytes(),
            image_size: model.config().image_size(),
            scores: Vec::new(),
            pictures: Vec::new(),
            searches: Vec::new(),
            free: Vec::new(),
            timing,
            cut,
            credit: credit(set),
            sheet: page::sheet(&drawings)?,
        };
        for cell in &cells {
            let inside: Vec<usize> = cell.range.clone().collect();
            demo.classify(cell, &rows.select(&inside), &names_at.select(&inside), &names, model.scale());
            demo.search(cell, &rows.select(&inside), &wordings, &wordings_at, &concepts, &rows);
        }
        for (i, text) in FREE.iter().enumerate() {
            let found = best(&free_at.cosines(i, &rows), FOUND).into_iter().map(|m| (m.index, false)).collect();
            demo.free.push(Search { text: (*text).to_owned(), truth: None, found });
        }
        Ok(demo)
    }

    /// Names the pictures of one cell and opens its row of the table.
    fn classify(&mut self, cell: &Cell, pictures: &Embeddings, names_at: &Embeddings, names: &[String], scale: f32) {
        let n = pictures.rows();
        let mut hits = [0; 2];
        for i in 0..n {
            let cosines = pictures.cosines(i, names_at);
            count(&mut hits, place(&cosines, i));
            let scores = softmax(&cosines, scale);
            let labels = best(&cosines, LABELS)
                .into_iter()
                .map(|m| (names[cell.range.start + m.index].clone(), scores[m.index]))
                .collect();
            self.pictures.push(Named {
                truth: names[cell.range.start + i].clone(),
                seen: cell.seen,
                place: place(&cosines, i),
                labels,
            });
        }
        let mean = |hits: usize| hits as f64 / n.max(1) as f64;
        let chance = |k: usize| k.min(n) as f64 / n.max(1) as f64;
        self.scores.push(Score {
            cell: cell.name,
            title: cell.title,
            n,
            candidates: n,
            r1: mean(hits[0]),
            r5: mean(hits[1]),
            chance_r1: chance(1),
            chance_r5: chance(5),
            t2i_n: 0,
            t2i_r1: 0.0,
            t2i_r5: 0.0,
            floors: cell.floors.clone(),
        });
    }

    /// Scores held-out wordings against the pictures of one cell, and shows the first of them against all pictures.
    fn search(
        &mut self,
        cell: &Cell,
        inside: &Embeddings,
        wordings: &[Option<usize>],
        wordings_at: &Embeddings,
        concepts: &[&Concept],
        all: &Embeddings,
    ) {
        let (mut n, mut hits) = (0, [0; 2]);
        for i in cell.range.clone() {
            let (Some(row), Some(text)) = (wordings[i], concepts[i].heldout.first()) else { continue };
            let cosines = wordings_at.cosines(row, inside);
            count(&mut hits, place(&cosines, i - cell.range.start));
            n += 1;
            if n <= SEARCHES {
                let cosines = wordings_at.cosines(row, all);
                // A wording may fit several concepts; each that lists it is right.
                let right = |index: usize| concepts[index].heldout.contains(text);
                let found = best(&cosines, FOUND).into_iter().map(|m| (m.index, right(m.index))).collect();
                let truth = Some((concepts[i].label.clone(), place(&cosines, i)));
                self.searches.push(Search { text: text.clone(), truth, found });
            }
        }
        if let Some(score) = self.scores.last_mut().filter(|_| n > 0) {
            (score.t2i_n, score.t2i_r1, score.t2i_r5) = (n, hits[0] as f64 / n as f64, hits[1] as f64 / n as f64);
        }
    }

    /// Pictures embedded in a second.
    pub fn pictures_per_second(&self) -> f64 {
        self.pictures.len() as f64 / self.timing.pictures.max(1e-9)
    }

    /// The report: one HTML page that needs no other file. `seconds` is how long everything took; `more` is HTML that the
    /// foot says after the version, such as how to go on from here.
    ///
    /// # Errors
    /// When the pictures cannot be encoded.
    pub fn page(&self, seconds: f64, more: &str) -> Result<String> {
        page::render(self, seconds, more)
    }
}

/// Counts a place among the first, and among the first five.
fn count(hits: &mut [usize; 2], place: usize) {
    hits[0] += usize::from(place == 1);
    hits[1] += usize::from(place <= 5);
}

/// Place of the true candidate, from 1; candidates with the same cosine count as before it.
fn place(cosines: &[f32], truth: usize) -> usize {
    cosines.iter().filter(|&&c| c >= cosines[truth]).count().max(1)
}

fn drawings(set: &EmojiVendors, ids: &[ConceptId]) -> Result<Vec<Rgba8Image>> {
    let fail = |reason: String| Error::from(DataError::Content { path: set.dir().to_path_buf(), reason });
    let vendor =
        set.vendor(VENDOR).ok_or_else(|| fail(format!("has no drawings of \"{VENDOR}\", which the demo shows")))?;
    if ids.is_empty() {
        return Err(fail("the pools of concepts are empty".into()));
    }
    let draw = |&id: &ConceptId| {
        set.picture(vendor, id)?
            .ok_or_else(|| fail(format!("\"{VENDOR}\" has no drawing of concept {} of the pools", id.0)))
    };
    ids.iter().map(draw).collect()
}

fn credit(set: &EmojiVendors) -> String {
    let vendor = set.vendors().iter().find(|v| v.id == VENDOR);
    vendor.map(|v| format!("{} by {}, {}", v.name, v.author, v.license)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one_and_ties_go_against_us() {
        assert_eq!(place(&[0.5, 0.9, 0.5], 1), 1);
        assert_eq!(place(&[0.5, 0.9, 0.5], 0), 3);
        assert_eq!(place(&[f32::NAN, 0.1], 0), 1);
    }
}
