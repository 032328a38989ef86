//! A demonstration on held-out pictures and clips: zero-shot classification, text search and questions over the unseen vendor of
//! emoji-vendors, as a table and as an HTML page.

mod clips;
mod clips_page;
mod page;
mod rank;
mod sheet;

use std::time::Instant;

use serde::Serialize;
use vljepa_data::emoji::{Concept, ConceptId, EmojiVendors};
use vljepa_data::{DataError, Rgb8Image, Rgba8Image};
use vljepa_model::CutTexts;

use vljepa_embed::folder::ModelFolder;
use vljepa_embed::rows::{best, softmax};
use vljepa_embed::{Embeddings, Model};

use crate::error::{Error, Result};

pub use clips::{Answered, ClipSearch, Clips};
use rank::place;

/// The vendor whose drawings are held out from training.
const VENDOR: &str = "fluent-3d";
/// Number of ranked labels shown with a picture.
const LABELS: usize = 5;
/// Number of pictures shown for a search.
const FOUND: usize = 8;
/// Number of searches by held-out wording shown for each pool.
const SEARCHES: usize = 8;

/// Example searches without known right answers.
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

/// R@1 and R@5 of another method on the same pools, as fractions. The values are fixed: no code in this repository
/// computes them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Baseline {
    /// Name of the method.
    pub name: &'static str,
    /// Share of pictures whose right label is first.
    pub r1: f64,
    /// Share of pictures whose right label is among the first five.
    pub r5: f64,
}

/// The scores of one cell of the suite; all rates are fractions.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    /// Cell of the suite, e.g. `seen_concept_unseen_vendor`.
    pub cell: &'static str,
    /// A title for people.
    pub title: &'static str,
    /// Number of pictures.
    pub n: usize,
    /// Number of names that each picture is compared with.
    pub candidates: usize,
    /// Share of pictures whose right label is first.
    pub r1: f64,
    /// Share of pictures whose right label is among the first five.
    pub r5: f64,
    /// R@1 of guessing.
    pub chance_r1: f64,
    /// R@5 of guessing.
    pub chance_r5: f64,
    /// Number of held-out wordings that are searched for among the pictures of the cell.
    pub t2i_n: usize,
    /// Share of these searches whose picture is first.
    pub t2i_r1: f64,
    /// Share of these searches whose picture is among the first five.
    pub t2i_r5: f64,
    /// Other methods on the same cell; `floors` in JSON.
    #[serde(rename = "floors")]
    pub baselines: Vec<Baseline>,
}

/// A picture and its best labels.
#[derive(Clone, Debug)]
pub struct Named {
    /// The right name.
    pub truth: String,
    /// Whether drawings of the same thing by other designers were in training.
    pub seen: bool,
    /// Rank of the right name among the candidates, from 1.
    pub place: usize,
    /// The best names with their softmax scores.
    pub labels: Vec<(String, f64)>,
}

/// A search and the pictures that it found.
#[derive(Clone, Debug)]
pub struct Search {
    /// The text that was searched for.
    pub text: String,
    /// The name of the right picture and its rank from 1; `None` for example searches.
    pub truth: Option<(String, usize)>,
    /// The pictures found, best first: index, and whether it is right.
    pub found: Vec<(usize, bool)>,
}

/// Times in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Timing {
    /// Time to embed the texts.
    pub texts: f64,
    /// Time to embed the pictures.
    pub pictures: f64,
}

/// The results that the report shows.
#[derive(Debug)]
pub struct Demo {
    /// The adapter that computed.
    pub adapter: String,
    /// The path of the model's folder, or `compact model`.
    pub model: String,
    /// Number of parameters of the model.
    pub parameters: u64,
    /// Size of the weights in bytes.
    pub weight_bytes: u64,
    /// Side of the model's input in pixels.
    pub image_size: usize,
    /// The scores, one row per cell.
    pub scores: Vec<Score>,
    /// All pictures of both pools.
    pub pictures: Vec<Named>,
    /// Searches by held-out wordings.
    pub searches: Vec<Search>,
    /// Example searches without known right answers.
    pub free: Vec<Search>,
    /// What happens in clips, where a model that takes questions has looked at some.
    pub clips: Option<Clips>,
    /// Times of embedding.
    pub timing: Timing,
    /// Names and wordings that were cut to the model's longest text, if any.
    pub cut: Option<CutTexts>,
    /// Name, author and licence of the drawings.
    pub credit: String,
    /// All pictures in one image of [`sheet::COLUMNS`] columns.
    sheet: Rgb8Image,
}

/// A cell of the suite.
struct Cell {
    name: &'static str,
    title: &'static str,
    seen: bool,
    /// The indices of its pictures.
    range: std::ops::Range<usize>,
    baselines: Vec<Baseline>,
}

/// The baselines with figures `[r1, r5]` in per cent.
fn baselines(figures: [[f64; 2]; 3]) -> Vec<Baseline> {
    let names = ["32×32 pixels", "DINOv2-S", "PyTorch ViT, 20 min"];
    let baseline = |(name, [r1, r5]): (_, [f64; 2])| Baseline { name, r1: r1 / 100.0, r5: r5 / 100.0 };
    names.into_iter().zip(figures).map(baseline).collect()
}

impl Demo {
    /// Embeds the drawings of the unseen vendor, their names and their held-out wordings, and ranks them.
    ///
    /// # Errors
    /// A set without the vendor or with empty pools, and errors of reading and embedding.
    pub fn run(model: &Model, folder: &ModelFolder, set: &EmojiVendors) -> Result<Self> {
        Self::run_with(model, folder, set, &mut |_, _, _| ())
    }

    /// [`Self::run`]; `note` receives the kind of item being embedded, the number done and the total.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_with(
        model: &Model,
        folder: &ModelFolder,
        set: &EmojiVendors,
        note: &mut dyn FnMut(&'static str, usize, usize),
    ) -> Result<Self> {
        let (seen, unseen) = (&set.pools().seen, &set.pools().unseen);
        let cells = [
            Cell {
                name: "seen_concept_unseen_vendor",
                title: "known things, unknown designer",
                seen: true,
                range: 0..seen.len(),
                baselines: baselines([[16.7, 31.6], [29.8, 52.4], [35.6, 63.1]]),
            },
            Cell {
                name: "unseen_concept_unseen_vendor",
                title: "unknown things, unknown designer",
                seen: false,
                range: seen.len()..seen.len() + unseen.len(),
                baselines: baselines([[5.3, 16.7], [15.3, 31.3], [17.3, 39.3]]),
            },
        ];
        let ids: Vec<ConceptId> = seen.iter().chain(unseen).copied().collect();
        let concepts: Vec<&Concept> = ids.iter().filter_map(|&id| set.concept(id)).collect();
        let drawings = drawings(set, &ids)?;

        let start = Instant::now();
        let names: Vec<String> = concepts.iter().map(|c| c.label.clone()).collect();
        // The row of each concept's held-out wording, if it has one.
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
        let name_rows = rows(0..names.len());
        let wording_count = wordings.iter().flatten().count();
        let wording_rows = rows(names.len()..names.len() + wording_count);
        let free_rows = rows(names.len() + wording_count..total);

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
            clips: None,
            timing,
            cut,
            credit: credit(set),
            sheet: sheet::sheet(&drawings)?,
        };
        for cell in &cells {
            let inside: Vec<usize> = cell.range.clone().collect();
            demo.classify(cell, &rows.select(&inside), &name_rows.select(&inside), &names, model.scale())?;
            demo.search(cell, &rows.select(&inside), &wordings, &wording_rows, &concepts, &rows)?;
        }
        for (i, text) in FREE.iter().enumerate() {
            let found = best(&free_rows.cosines(i, &rows)?, FOUND).into_iter().map(|m| (m.index, false)).collect();
            demo.free.push(Search { text: (*text).to_owned(), truth: None, found });
        }
        Ok(demo)
    }

    /// Ranks the names for each picture of a cell and adds the row of its scores.
    fn classify(
        &mut self,
        cell: &Cell,
        pictures: &Embeddings,
        name_rows: &Embeddings,
        names: &[String],
        scale: f32,
    ) -> Result<()> {
        let n = pictures.rows();
        let mut hits = [0; 2];
        for i in 0..n {
            let cosines = pictures.cosines(i, name_rows)?;
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
            baselines: cell.baselines.clone(),
        });
        Ok(())
    }

    /// Adds the scores of searches by held-out wording among the pictures of a cell. The first searches are repeated
    /// among all pictures, for the report.
    fn search(
        &mut self,
        cell: &Cell,
        inside: &Embeddings,
        wordings: &[Option<usize>],
        wording_rows: &Embeddings,
        concepts: &[&Concept],
        all: &Embeddings,
    ) -> Result<()> {
        let (mut n, mut hits) = (0, [0; 2]);
        for i in cell.range.clone() {
            let (Some(row), Some(text)) = (wordings[i], concepts[i].heldout.first()) else { continue };
            let cosines = wording_rows.cosines(row, inside)?;
            count(&mut hits, place(&cosines, i - cell.range.start));
            n += 1;
            if n <= SEARCHES {
                let cosines = wording_rows.cosines(row, all)?;
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
        Ok(())
    }

    /// Number of pictures embedded per second.
    pub fn pictures_per_second(&self) -> f64 {
        self.pictures.len() as f64 / self.timing.pictures.max(1e-9)
    }
}

/// Adds a rank to the hits at 1 and at 5.
fn count(hits: &mut [usize; 2], place: usize) {
    hits[0] += usize::from(place == 1);
    hits[1] += usize::from(place <= 5);
}

/// The drawings of the unseen vendor for concepts.
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

/// Name, author and licence of the unseen vendor.
fn credit(set: &EmojiVendors) -> String {
    let vendor = set.vendors().iter().find(|v| v.id == VENDOR);
    vendor.map(|v| format!("{} by {}, {}", v.name, v.author, v.license)).unwrap_or_default()
}
