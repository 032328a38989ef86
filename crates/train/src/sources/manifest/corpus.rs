//! What is trained and validated on: the rows of a manifest, and which of them a step sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use vljepa_data::manifest::{Manifest, Place, Row, Split};
use vljepa_data::{Limits, Media, Preprocess};
use vljepa_embed::Embedder;

use super::evaluate::validate;
use super::reader::{Reader, Wanted};
use super::settings::Settings;
use crate::config::{ObjectiveKind, TextKind, TrainConfig};
use crate::data::{Bank, CardText, Identity, Limit, Pair, RowSample, Sample, Source, SourceRows, Stills, Visual};
use crate::error::{Result, TrainError};
use crate::metrics::Validation;
use crate::random::{Purpose, Stream};

/// The most texts that are classes; where a manifest has more, each step embeds its own.
pub const MAX_CLASSES: usize = 1 << 16;

/// The rows of a manifest that are trained and validated on. Samples of a step are different rows, all pictures or all clips, for
/// a picture is one frame to the model and a clip several; an epoch shows each row at most once: what fills no batch of its kind is left out. The classes are the texts of the training
/// rows.
#[derive(Debug)]
pub struct Corpus {
    rows: Vec<Row>,
    validation: Vec<Row>,
    settings: Settings,
    reader: Reader,
    /// The training rows that are pictures, then those that are clips.
    kinds: [Vec<u32>; 2],
    /// The texts that differ, sorted; none where they are too many.
    classes: Vec<String>,
    asks: bool,
    hash: String,
}

impl Corpus {
    /// Looks at the files of all rows that are trained or validated on: whether they are there, and pictures or clips.
    ///
    /// # Errors
    /// [`TrainError::Setting`] when nothing is there to train on, for files that cannot be opened, and for an objective that the
    /// rows do not allow.
    pub fn new(manifest: &Manifest, settings: Settings, config: &TrainConfig) -> Result<Self> {
        let fault = |what: String| TrainError::setting("data.manifest", format!("`data.manifest`: {what}"));
        let of = |split| -> Vec<Row> { manifest.of(split).cloned().collect() };
        let (rows, validation) = (of(Split::Train), of(Split::Validation));
        if rows.is_empty() {
            let name = manifest.path().display();
            return Err(fault(format!(
                "{name}: no row is of the split {}, there is nothing to train on",
                Split::Train
            )));
        }
        let is_clip = |row: &Row| row.is_clip().map_err(|error| fault(error.to_string()));
        let clips = rows.par_iter().map(is_clip).collect::<Result<Vec<bool>>>()?;
        validation.par_iter().try_for_each(|row| is_clip(row).map(drop))?;
        let mut kinds = [Vec::new(), Vec::new()];
        (0u32..).zip(&clips).for_each(|(i, &is_clip)| kinds[usize::from(is_clip)].push(i));
        let texts: BTreeSet<&String> = rows.iter().flat_map(|row| &row.targets).collect();
        let fits = texts.len() <= MAX_CLASSES;
        check_objective(config, &rows, &kinds, texts.len())?;
        let classes = if fits { texts.into_iter().cloned().collect() } else { Vec::new() };
        let asks = rows.iter().any(|row| row.query.is_some());
        let hash = hash(manifest, &rows).map_err(|error| fault(error.to_string()))?;
        let reader = Reader::new(&settings);
        Ok(Self { rows, validation, settings, reader, kinds, classes, asks, hash })
    }

    /// The rows of the training split, in their order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows of the validation split, in their order.
    pub fn validation(&self) -> &[Row] {
        &self.validation
    }

    /// The rows that a step sees, as indices into [`Self::rows`], and their number of frames. A function of seed and step alone.
    pub fn drawn(&self, seed: u64, step: u64, batch: usize) -> (Vec<u32>, usize) {
        let batches = self.kinds.each_ref().map(|rows| rows.len() / batch.max(1));
        let epoch = step / self.steps_of_epoch(batch);
        let turn = (step % self.steps_of_epoch(batch)) as usize;
        // Batches of pictures and of clips take turns in a random order.
        let slot = match batches {
            [_, 0] | [0, _] => turn,
            [pictures, clips] => Stream::new(seed, Purpose::Turn, epoch).permutation(pictures + clips)[turn] as usize,
        };
        let kind = usize::from(slot >= batches[0]);
        let (rows, first) = (&self.kinds[kind], slot - kind * batches[0]);
        let order = Stream::new(seed, Purpose::Order, epoch).permutation(rows.len());
        let drawn = order.into_iter().skip(first * batch).take(batch).map(|i| rows[i as usize]).collect();
        (drawn, if kind == 0 { 1 } else { self.frames() })
    }

    fn steps_of_epoch(&self, batch: usize) -> u64 {
        let batches: usize = self.kinds.iter().map(|rows| rows.len() / batch.max(1)).sum();
        batches.max(1) as u64
    }

    /// Frames of a clip.
    pub fn frames(&self) -> usize {
        self.settings.frames.unwrap_or(1)
    }

    /// The class of a text.
    fn class(&self, text: &str) -> Option<u32> {
        self.classes.binary_search_by(|class| class.as_str().cmp(text)).ok().map(|i| i as u32)
    }
}

/// Refuses an objective that the rows do not allow.
fn check_objective(config: &TrainConfig, rows: &[Row], kinds: &[Vec<u32>; 2], texts: usize) -> Result<()> {
    let bank = config.objective.kind == ObjectiveKind::Bank;
    if bank && texts > MAX_CLASSES {
        let what = format!(
            "`objective.kind` \"bank\" tells a text from all others, at most {MAX_CLASSES}, and the manifest has {texts}; take \
             \"batch\""
        );
        return Err(TrainError::setting("objective.kind", what));
    }
    if let Some(row) = rows.iter().find(|row| bank && row.targets.len() > 1) {
        let what = format!(
            "`objective.kind` \"bank\" tells the right text from all others, and {} has {} right ones; take \"batch\"",
            row.origin(),
            row.targets.len()
        );
        return Err(TrainError::setting("objective.kind", what));
    }
    let fitted = |row: &&Row| row.query.is_some() || row.targets.len() > 1;
    if config.head_fit.is_some() && (!kinds[1].is_empty() || rows.iter().any(|row| fitted(&row))) {
        let what = "`head_fit` needs rows that are pictures with one text each and no query; leave it out";
        return Err(TrainError::setting("head_fit", what));
    }
    Ok(())
}

/// What a run depends on: the training rows with the sizes of their files. Where the manifest lies does not matter.
fn hash(manifest: &Manifest, rows: &[Row]) -> Result<String, vljepa_data::DataError> {
    let folder = manifest.path().parent().unwrap_or(Path::new(""));
    let places: BTreeMap<String, &Place> = rows.iter().map(|row| (row.place.name(), &row.place)).collect();
    let sizes = places.par_iter().map(|(name, place)| Ok((name, place.stamp()?.0)));
    let sizes = sizes.collect::<Result<BTreeMap<&String, u64>, vljepa_data::DataError>>()?;
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for row in rows {
        let name = row.place.name();
        let size = sizes.get(&name).copied().unwrap_or_default();
        let relative = Path::new(&name).strip_prefix(folder).unwrap_or(Path::new(&name));
        add(relative.to_string_lossy().as_bytes());
        add(&size.to_le_bytes());
        for time in [row.start, row.end] {
            add(&time.map_or_else(Vec::new, |time| time.to_le_bytes().to_vec()));
        }
        add(row.query.as_deref().unwrap_or_default().as_bytes());
        add(&(row.targets.len() as u64).to_le_bytes());
        row.targets.iter().for_each(|text| add(text.as_bytes()));
        add(&row.weight.to_le_bytes());
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Bank for Corpus {
    fn classes(&self) -> usize {
        self.classes.len()
    }

    fn text(&self, class: usize, _: TextKind) -> String {
        self.classes.get(class).cloned().unwrap_or_default()
    }
}

impl Source for Corpus {
    fn samples(&self, seed: u64, step: u64, batch: usize, to: &Preprocess) -> Result<Vec<Sample>> {
        let (drawn, frames) = self.drawn(seed, step, batch);
        let rows: Vec<(u32, &Row)> = drawn.into_iter().filter_map(|i| Some((i, self.rows.get(i as usize)?))).collect();
        let pixels = self.reader.read(&Wanted { rows: &rows, frames, seed, step }, to)?;
        let samples = self.row_samples(seed, step, batch).into_iter().zip(pixels);
        let with_pixels = samples.map(|((mut sample, _), pixels)| {
            sample.visual.pixels = pixels;
            sample
        });
        Ok(with_pixels.collect())
    }

    fn rows(&self) -> Option<SourceRows<'_>> {
        Some(SourceRows { train: &self.rows, validation: &self.validation, frames: self.frames() })
    }

    fn row_samples(&self, seed: u64, step: u64, batch: usize) -> Vec<RowSample<'_>> {
        let (drawn, frames) = self.drawn(seed, step, batch);
        let mut dice = Stream::new(seed, Purpose::Text, step);
        let mut sample = |row: &Row| {
            let target = row.targets.get(dice.below(row.targets.len())).cloned().unwrap_or_default();
            let (query, class, weight) = (row.query.clone(), self.class(&target), row.weight);
            let pair = Pair { query, class, targets: vec![target], weight, ..Pair::default() };
            Sample::new(Visual { frames, pixels: Vec::new() }, pair, row.origin())
        };
        let rows = drawn.into_iter().filter_map(|i| self.rows.get(i as usize));
        rows.map(|row| (sample(row), row)).collect()
    }

    fn limit(&self) -> Option<Limit> {
        let [pictures, clips] = self.kinds.each_ref().map(Vec::len);
        let (most, there, or) = match (pictures, clips) {
            (pictures, 0) => (pictures, format!("there are {pictures} pictures to train on"), ""),
            (0, clips) => (clips, format!("there are {clips} clips to train on"), ""),
            (pictures, clips) => (
                pictures.min(clips),
                format!("there are {pictures} pictures and {clips} clips to train on, which are not mixed in a step"),
                if pictures < clips { ", or leave the pictures out" } else { ", or leave the clips out" },
            ),
        };
        let why = format!("{there}: samples of a step are different ones, so take at most {most}{or}");
        Some(Limit { most, why })
    }

    fn steps_per_epoch(&self, batch: usize) -> Option<u64> {
        Some(self.steps_of_epoch(batch))
    }

    fn bank(&self) -> Option<&dyn Bank> {
        (!self.classes.is_empty()).then_some(self)
    }

    fn asks(&self) -> bool {
        self.asks
    }

    fn queries(&self) -> Vec<String> {
        let queries: BTreeSet<&String> = self.rows.iter().filter_map(|row| row.query.as_ref()).collect();
        queries.into_iter().cloned().collect()
    }

    fn texts(&self, _: &[TextKind]) -> Vec<String> {
        match self.classes.is_empty() {
            true => self.rows.iter().flat_map(|row| row.targets.iter().cloned()).collect(),
            false => self.classes.clone(),
        }
    }

    fn stills(&self) -> Stills<'_> {
        let [pictures, _] = &self.kinds;
        Box::new(pictures.iter().filter_map(|&i| self.rows.get(i as usize)).map(|row| {
            let fault = |error: vljepa_data::DataError| TrainError::Invalid(format!("{}: {error}", row.origin()));
            let media: Media = row.place.media().map_err(fault)?;
            let class = row.targets.first().and_then(|text| self.class(text)).unwrap_or_default();
            Ok((media.picture(&Limits::default()).map_err(fault)?, class))
        }))
    }

    fn validate(&self, embedder: &Embedder<'_>, preprocess: &Preprocess) -> Result<Validation> {
        validate(embedder, preprocess, &self.validation)
    }

    fn identity(&self) -> Result<Identity> {
        let settings = serde_json::to_value(&self.settings);
        let settings = settings.map_err(|e| TrainError::Invalid(format!("the settings cannot be written: {e}")))?;
        let serde_json::Value::Object(settings) = settings else {
            return Err(TrainError::Invalid("the settings are no table".into()));
        };
        Ok(Identity { settings, parts: [("rows".to_owned(), self.hash.clone())].into() })
    }

    fn card(&self) -> CardText {
        let [pictures, clips] = self.kinds.each_ref().map(Vec::len);
        let texts = if self.classes.is_empty() { "many".to_owned() } else { self.classes.len().to_string() };
        let data = format!(
            "a manifest: {pictures} pictures and {clips} clips with {texts} texts; its owner knows the licences"
        );
        let figures = format!("The {} rows of the manifest's split {}.", self.validation.len(), Split::Validation);
        CardText { data, figures }
    }
}
