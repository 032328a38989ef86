//! The `emoji-vendors` suite: recognising and finding drawings by designers and of things that were not trained on.

use serde::Serialize;
use vljepa_data::Preprocess;
use vljepa_data::emoji::{ConceptId, EmojiVendors, Split, VendorId};
use vljepa_embed::Embedder;

use crate::error::{Result, TrainError};
use crate::metrics::{Cell, Sums, chance};

/// The four cells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cells {
    /// Trained concepts, a design that was not.
    pub seen_concept_unseen_vendor: Cell,
    /// Neither was trained.
    pub unseen_concept_unseen_vendor: Cell,
    /// Both were: says how well training fits.
    pub seen_concept_seen_vendor: Cell,
    /// A trained design of concepts that were not.
    pub unseen_concept_seen_vendor: Cell,
}

/// The figures of the suite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EmojiVendorsReport {
    /// `emoji-vendors`.
    pub suite: &'static str,
    /// Whose drawings are in which cells.
    pub vendors: Vendors,
    /// The pools of the published floors: 450 seen and 150 unseen concepts, first in hash order.
    pub cells: Cells,
    /// Every concept of the split as candidate, every drawing that the vendors have as query.
    pub full: Cells,
    /// The queries of `full` whose concept is in Unicode's group Symbols, which designs share more than others.
    pub symbols: Cells,
}

/// Whose drawings are in which cells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Vendors {
    /// Trained on.
    pub seen: Vec<String>,
    /// Not trained on.
    pub unseen: Vec<String>,
}

/// How the suite is run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EmojiVendorsOptions {
    /// Vendors of the cells `…_seen_vendor`.
    pub seen: Vec<String>,
    /// Vendors of the cells `…_unseen_vendor`.
    pub unseen: Vec<String>,
}

impl Default for EmojiVendorsOptions {
    /// Noto and Twemoji against Fluent 3-D.
    fn default() -> Self {
        let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Self { seen: names(&["noto", "twemoji"]), unseen: names(&["fluent-3d"]) }
    }
}

/// Rows of one vendor's drawings of some concepts.
pub(super) struct Gallery {
    concepts: Vec<ConceptId>,
    rows: Vec<f32>,
}

/// Everything embedded once, for any number of cells.
pub(super) struct Suite<'a> {
    set: &'a EmojiVendors,
    dim: usize,
    /// Label embeddings of all concepts.
    labels: Vec<f32>,
    /// Of the first held-out wording of each concept that has one.
    wordings: Vec<Option<Vec<f32>>>,
}

impl<'a> Suite<'a> {
    /// Embeds the labels, and the held-out wordings where they are asked for.
    pub fn new(embedder: &Embedder<'_>, set: &'a EmojiVendors, with_wordings: bool) -> Result<Self> {
        let dim = embedder.model.config.embedding_dim;
        let labels: Vec<&str> = set.concepts().iter().map(|c| c.label.as_str()).collect();
        let labels = embedder.texts(&labels)?;
        let mut wordings = vec![None; set.concepts().len()];
        if with_wordings {
            let some: Vec<(usize, &str)> =
                set.concepts().iter().enumerate().filter_map(|(i, c)| Some((i, c.heldout.first()?.as_str()))).collect();
            let texts: Vec<&str> = some.iter().map(|(_, t)| *t).collect();
            let rows = embedder.texts(&texts)?;
            for ((i, _), row) in some.iter().zip(rows.chunks_exact(dim)) {
                wordings[*i] = Some(row.to_vec());
            }
        }
        Ok(Self { set, dim, labels, wordings })
    }

    /// A vendor's drawings of those of `concepts` that it has.
    pub fn gallery(
        &self,
        embedder: &Embedder<'_>,
        preprocess: &Preprocess,
        vendor: VendorId,
        concepts: &[ConceptId],
    ) -> Result<Gallery> {
        let concepts: Vec<ConceptId> = concepts.iter().copied().filter(|&c| self.set.has_picture(vendor, c)).collect();
        let mut rows = Vec::with_capacity(concepts.len() * self.dim);
        for part in concepts.chunks(embedder.batch.max(1)) {
            let mut pictures = Vec::with_capacity(part.len());
            for &concept in part {
                pictures.extend(self.set.picture(vendor, concept)?);
            }
            rows.extend(embedder.pictures(&pictures, preprocess)?);
        }
        Ok(Gallery { concepts, rows })
    }

    /// One cell: the drawings in `galleries` of concepts that `query` accepts, against the names of `candidates`.
    pub fn cell(&self, galleries: &[Gallery], candidates: &[ConceptId], query: &dyn Fn(ConceptId) -> bool) -> Cell {
        let dim = self.dim;
        let row = |rows: &[f32], i: usize| rows[i * dim..(i + 1) * dim].to_vec();
        let names: Vec<f32> = candidates.iter().flat_map(|c| row(&self.labels, c.0 as usize)).collect();
        let place = |list: &[ConceptId], c: ConceptId| list.iter().position(|&x| x == c);
        let (mut to_text, mut to_picture) = (Sums::default(), Sums::default());
        let mut shown = 0;
        for gallery in galleries {
            let inside: Vec<usize> =
                (0..gallery.concepts.len()).filter(|&i| place(candidates, gallery.concepts[i]).is_some()).collect();
            let concepts: Vec<ConceptId> = inside.iter().map(|&i| gallery.concepts[i]).collect();
            let pictures: Vec<f32> = inside.iter().flat_map(|&i| row(&gallery.rows, i)).collect();
            shown += concepts.len();
            let (mut queries, mut truth) = (Vec::new(), Vec::new());
            let (mut texts, mut text_truth) = (Vec::new(), Vec::new());
            for (i, &concept) in concepts.iter().enumerate().filter(|(_, c)| query(**c)) {
                queries.extend_from_slice(&pictures[i * dim..(i + 1) * dim]);
                truth.extend(place(candidates, concept));
                if let Some(wording) = &self.wordings[concept.0 as usize] {
                    texts.extend_from_slice(wording);
                    text_truth.push(i);
                }
            }
            to_text.add(&queries, &names, dim, &truth);
            to_picture.add(&texts, &pictures, dim, &text_truth);
        }
        let (forth, back) = (to_text.mean(), to_picture.mean());
        let over = |n: usize, value: f64| (n > 0).then_some(value);
        Cell {
            n: forth.n,
            candidates: candidates.len(),
            r1: over(forth.n, forth.r1),
            r5: over(forth.n, forth.r5),
            chance_r1: chance(candidates.len(), 1),
            chance_r5: chance(candidates.len(), 5),
            t2i_n: back.n,
            t2i_candidates: shown.checked_div(galleries.len()).unwrap_or(0),
            t2i_r1: over(back.n, back.r1),
            t2i_r5: over(back.n, back.r5),
        }
    }
}

fn vendors(set: &EmojiVendors, names: &[String]) -> Result<Vec<VendorId>> {
    let find = |name: &String| {
        set.vendor(name).ok_or_else(|| {
            let known = set.vendors().iter().map(|v| v.id.as_str()).collect::<Vec<_>>().join(", ");
            TrainError::Invalid(format!("{}: no vendor \"{name}\"; there are {known}", set.dir().display()))
        })
    };
    names.iter().map(find).collect()
}

/// Runs the suite; see [`evaluate_with`].
///
/// # Errors
/// As [`evaluate_with`].
pub fn evaluate(
    embedder: &Embedder<'_>,
    preprocess: &Preprocess,
    set: &EmojiVendors,
    options: &EmojiVendorsOptions,
) -> Result<EmojiVendorsReport> {
    evaluate_with(embedder, preprocess, set, options, &mut |_| ())
}

/// Runs the suite and calls `progress` with the name of what is embedded next: the texts, then each vendor.
///
/// # Errors
/// Vendors that the set does not have, pictures that cannot be read, and what the model reports.
pub fn evaluate_with(
    embedder: &Embedder<'_>,
    preprocess: &Preprocess,
    set: &EmojiVendors,
    options: &EmojiVendorsOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<EmojiVendorsReport> {
    progress("texts");
    let suite = Suite::new(embedder, set, true)?;
    let seen: Vec<ConceptId> = set.of_split(Split::Train).collect();
    let unseen: Vec<ConceptId> = set.of_split(Split::Unseen).collect();
    let all: Vec<ConceptId> = seen.iter().chain(&unseen).copied().collect();
    let mut galleries = |names: &[String]| -> Result<Vec<Gallery>> {
        let mut out = Vec::new();
        for (vendor, name) in vendors(set, names)?.into_iter().zip(names) {
            progress(name);
            out.push(suite.gallery(embedder, preprocess, vendor, &all)?);
        }
        Ok(out)
    };
    let (known, new) = (galleries(&options.seen)?, galleries(&options.unseen)?);
    let cells = |seen: &[ConceptId], unseen: &[ConceptId], query: &dyn Fn(ConceptId) -> bool| Cells {
        seen_concept_unseen_vendor: suite.cell(&new, seen, query),
        unseen_concept_unseen_vendor: suite.cell(&new, unseen, query),
        seen_concept_seen_vendor: suite.cell(&known, seen, query),
        unseen_concept_seen_vendor: suite.cell(&known, unseen, query),
    };
    let symbol = |id: ConceptId| set.concept(id).is_some_and(|c| c.group == "Symbols");
    let pools = set.pools();
    Ok(EmojiVendorsReport {
        suite: "emoji-vendors",
        vendors: Vendors { seen: options.seen.clone(), unseen: options.unseen.clone() },
        cells: cells(&pools.seen, &pools.unseen, &|_| true),
        full: cells(&seen, &unseen, &|_| true),
        symbols: cells(&seen, &unseen, &symbol),
    })
}
