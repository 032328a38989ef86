//! What a run with `[probe]` starts from: its file, checked against the encoder's folder and the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use vljepa_data::manifest::{Manifest, Row, Split, Viewing};
use vljepa_embed::features::{FeatureCache, RowFeatures};
use vljepa_embed::folder::VisionFolder;

use super::file::{ConfigFile, no_folder};
use super::frozen::open_encoder;
use crate::config::{at_line, located};
use crate::error::{Result, TrainError};
use crate::places::{check_media, check_probe_places};
use crate::probe::{Example, ProbeRun};

/// A run's file and what it says, all that needs no device.
#[derive(Debug)]
pub(crate) struct ProbeStart {
    pub file: ConfigFile,
    pub run: ProbeRun,
    /// The encoder.
    pub encoder: VisionFolder,
    /// Frames and views of each clip.
    pub viewing: Viewing,
    /// Names of the classes, sorted.
    pub labels: Vec<String>,
    /// The rows of each part, in the order of [`Split::ALL`].
    pub parts: [RowPart; 3],
}

/// The rows of a part of the manifest with their classes.
#[derive(Debug, Default)]
pub(crate) struct RowPart {
    pub rows: Vec<Row>,
    pub examples: Vec<Example>,
}

/// Parses and checks the text of a configuration; paths stay as they are.
fn parse(text: &str) -> Result<ProbeRun, String> {
    let run: ProbeRun = toml::from_str(text).map_err(|error| located(text, &error))?;
    match run.problem() {
        Some((key, what)) => Err(at_line(text, &key, what)),
        None => Ok(run),
    }
}

impl ProbeStart {
    /// Reads and checks; `output` stands in place of the file's.
    pub fn read(path: &Path, output: Option<&Path>) -> Result<Self> {
        let mut file = ConfigFile::open(path)?;
        let mut run = parse(file.text()).map_err(|what| TrainError::Config { path: path.into(), what })?;
        file.paths_are(["output", "model.x_encoder", "data.manifest", "model.features"]);
        let base = path.parent().unwrap_or(Path::new(""));
        for slot in [&mut run.output, &mut run.model.x_encoder, &mut run.data.manifest]
            .into_iter()
            .chain(&mut run.model.features)
        {
            *slot = base.join(&*slot);
        }
        if let Some(output) = output {
            match no_folder(output) {
                Some(what) => return Err(TrainError::Invalid(what)),
                None => run.output = output.into(),
            }
        }
        check_probe_places(&run.output, &[path, &run.data.manifest], &run.model.x_encoder)?;
        match Self::find(&run) {
            Ok((encoder, viewing, labels, parts)) => Ok(Self { file, run, encoder, viewing, labels, parts }),
            Err(error) => Err(file.locate(error)),
        }
    }

    #[allow(clippy::type_complexity)]
    fn find(run: &ProbeRun) -> Result<(VisionFolder, Viewing, Vec<String>, [RowPart; 3])> {
        for (key, folder) in [("output", Some(&run.output)), ("model.features", run.model.features.as_ref())] {
            if let Some(what) = folder.and_then(|folder| no_folder(folder)) {
                return Err(TrainError::setting(key, format!("`{key}`: {what}")));
            }
        }
        let encoder = open_encoder(&run.model.x_encoder)?;
        let config = encoder.config();
        let frames = run.data.frames.unwrap_or(config.frames_per_clip);
        let tubelet = config.tubelet_size.max(1);
        if frames > 1 && !frames.is_multiple_of(tubelet) {
            let near = frames.div_ceil(tubelet) * tubelet;
            let what =
                format!("`data.frames` ({frames}) is not a multiple of the encoder's tubelet ({tubelet}); take {near}");
            return Err(TrainError::setting("data.frames", what));
        }
        let viewing = Viewing { frames, segments: run.data.segments, crops: run.data.crops };
        let fault = |what: String| TrainError::setting("data.manifest", format!("`data.manifest`: {what}"));
        let manifest = Manifest::open(&run.data.manifest).map_err(|error| fault(error.to_string()))?;
        let (labels, parts) = classes(&manifest).map_err(fault)?;
        check_media(&run.output, manifest.rows())?;
        let [train, validation, _] = &parts;
        let heads = run.probe.grid().len();
        if heads > 1 && validation.rows.is_empty() {
            return Err(fault(format!(
                "{}: no row is of the split {}, by which the best of {heads} heads is chosen; mark some rows, or give one \
                 learning rate and one weight decay",
                manifest.path().display(),
                Split::Validation.name()
            )));
        }
        if run.batch > train.rows.len() {
            let what = format!("`batch` is {}, and there are {} clips to train on", run.batch, train.rows.len());
            return Err(TrainError::setting("batch", what));
        }
        Ok((encoder, viewing, labels, parts))
    }

    /// The features folder: the run's own where none is named.
    pub fn features(&self) -> std::path::PathBuf {
        self.run.model.features.clone().unwrap_or_else(|| self.run.output.join(crate::places::FEATURES))
    }

    /// What the encoder makes of the rows; every file is read once for its hash.
    ///
    /// # Errors
    /// Files that cannot be read; each names its row.
    pub fn stored(&self) -> Result<RowFeatures> {
        let cache = FeatureCache::open(&self.features())?;
        let rows: Vec<&Row> = self.rows().collect();
        Ok(RowFeatures::new(cache, &rows, self.viewing, self.encoder.preprocess(), &self.encoder.hash())?)
    }

    /// The rows of all parts.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.parts.iter().flat_map(|part| &part.rows)
    }

    /// What is to be known of the rows and does not stop the run.
    pub fn notes(&self) -> Vec<String> {
        let asked = self.rows().filter(|row| row.query.is_some()).count();
        let mut notes = Vec::new();
        if asked > 0 {
            notes.push(format!("{asked} rows have a query, which a probe does not see"));
        }
        let [train, validation, test] = &self.parts;
        for (part, name) in [(validation, "validation"), (test, "test")] {
            let have: BTreeSet<u32> = part.examples.iter().map(|example| example.class).collect();
            if !part.rows.is_empty() && have.len() < self.labels.len() {
                let missing = (0u32..).zip(&self.labels).filter(|(class, _)| !have.contains(class));
                let missing: Vec<&str> = missing.map(|(_, label)| label.as_str()).collect();
                let (count, first) = (missing.len(), missing.first().copied().unwrap_or_default());
                notes.push(format!("{count} classes have no {name} clip, the first is \"{first}\""));
            }
        }
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        train.examples.iter().for_each(|example| *counts.entry(example.class).or_default() += 1);
        if let (Some(least), Some(most)) = (counts.values().min(), counts.values().max()) {
            let clips = train.rows.len();
            let each = if least == most { least.to_string() } else { format!("{least} to {most}") };
            notes.push(format!("{clips} clips of {} classes to train on, {each} a class", self.labels.len()));
        }
        notes
    }
}

/// The classes of a manifest, and its rows by part.
fn classes(manifest: &Manifest) -> Result<(Vec<String>, [RowPart; 3]), String> {
    let one = |row: &Row| match &row.targets[..] {
        [target] => Ok(target.clone()),
        targets => Err(format!(
            "{}: {} targets; a probe learns one class a row, so give one target",
            row.origin(),
            targets.len()
        )),
    };
    let mut labels: Vec<String> = manifest.of(Split::Train).map(one).collect::<Result<_, _>>()?;
    labels.sort();
    labels.dedup();
    let name = manifest.path().display();
    if labels.len() < 2 {
        return Err(format!(
            "{name}: the rows to train on have {} classes; a probe tells two or more apart (a class is a row's target)",
            labels.len()
        ));
    }
    let part = |split: Split| -> Result<RowPart, String> {
        let mut part = RowPart::default();
        for row in manifest.of(split) {
            let target = one(row)?;
            let class = labels.binary_search(&target).map_err(|_| {
                format!("{}: class \"{target}\" of the split {} has no row to train on", row.origin(), split.name())
            })?;
            part.examples.push(Example { class: class as u32, weight: row.weight, origin: row.origin() });
            part.rows.push(row.clone());
        }
        Ok(part)
    };
    let parts = [part(Split::Train)?, part(Split::Validation)?, part(Split::Test)?];
    Ok((labels, parts))
}
