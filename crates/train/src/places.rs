//! The names in a run's folder, and whether there is room for them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use vljepa_data::manifest::{Place, Row};
use vljepa_embed::{check_all_apart, check_apart, names};

use crate::config::TrainConfig;
use crate::error::{Result, TrainError};

/// The folder of checkpoints.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// The log: one object a line.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// The same for TensorBoard, which looks for this word in names.
pub(crate) const EVENTS: &str = "events.out.tfevents.vljepa";
/// The folder of the trained model.
pub(crate) const MODEL: &str = "model";
/// The fingerprints of the model cards that the run wrote, a line each.
pub(crate) const RECORD: &str = "cards.sha256";
/// The lock of the process that writes into the folder.
pub(crate) const LOCK: &str = "run.lock";

/// The folder of features, where a run has its own.
pub(crate) const FEATURES: &str = "features";
/// What a probe was measured at.
pub(crate) const REPORT: &str = "probe.json";

/// Checks before long work that what a run with `[probe]` writes has room in its folder and replaces nothing that it reads.
/// `files` are its configuration and its manifest.
pub(crate) fn check_probe_places(output: &Path, files: &[&Path], encoder: &Path) -> Result<()> {
    check_room(output, &[CHECKPOINTS, MODEL, FEATURES], &[METRICS, EVENTS, RECORD, LOCK, REPORT], files)?;
    check_model(output, &[encoder])
}

/// Checks before long work that what a run writes has room in its folder and replaces nothing that it reads. `file` is the
/// run's configuration, `data` the files that its source names.
pub(crate) fn check_places(file: &Path, data: &[PathBuf], config: &TrainConfig) -> Result<()> {
    let output = &config.output;
    let decoder = config.decoder.iter().map(|decoder| &decoder.config);
    let model = [&config.model.config, &config.model.query_tokenizer].into_iter().chain(decoder).flatten();
    let read: Vec<&Path> = model.chain(data).map(PathBuf::as_path).chain([file]).collect();
    check_room(output, &[CHECKPOINTS, MODEL], &[METRICS, EVENTS, RECORD, LOCK], &read)?;
    let m = &config.model;
    let folders = [&m.x_encoder, &m.folder, &m.y_encoder, &m.still_stem].into_iter().flatten();
    check_model(output, &folders.map(PathBuf::as_path).collect::<Vec<_>>())
}

fn in_the_way(path: &Path, what: &str) -> Result<()> {
    Err(TrainError::Invalid(format!("{}: {what}; choose another `output`", path.display())))
}

/// Checks that folders and files of these names can be in a run's folder, and that the files are not among those that are `read`.
fn check_room(output: &Path, folders: &[&str], files: &[&str], read: &[&Path]) -> Result<()> {
    for name in folders {
        let path = output.join(name);
        if (path.exists() || path.is_symlink()) && !path.is_dir() {
            return in_the_way(&path, "is no folder, and the run writes one there");
        }
    }
    for name in files {
        let path = output.join(name);
        if (path.exists() || path.is_symlink()) && !path.is_file() {
            return in_the_way(&path, "is no regular file, and the run writes one there");
        }
        if path.is_file() {
            check_apart(&path, read.iter().copied())?;
        }
    }
    Ok(())
}

/// Checks that nothing that a run writes takes the place of the media of `rows`. Of the folder of checkpoints nothing may be among them,
/// for old checkpoints are removed.
pub(crate) fn check_media<'a>(output: &Path, rows: impl IntoIterator<Item = &'a Row>) -> Result<()> {
    let (model, checkpoints) = (output.join(MODEL), output.join(CHECKPOINTS).canonicalize().ok());
    let of_run = [METRICS, RECORD, LOCK, REPORT].map(|name| output.join(name));
    let of_model = [
        names::CONFIG,
        names::WEIGHTS,
        names::TARGET_TOKENIZER,
        names::QUERY_TOKENIZER,
        names::CARD,
        names::PROCESSORS[0],
        names::PROCESSORS[1],
    ];
    let written = of_run.into_iter().chain(of_model.map(|name| model.join(name)));
    let written: Vec<PathBuf> = written.filter(|path| path.exists()).collect();
    if written.is_empty() && checkpoints.is_none() {
        return Ok(());
    }
    let mut seen: HashSet<&Place> = HashSet::new();
    let places: Vec<&Place> = rows.into_iter().map(|row| &row.place).filter(|place| seen.insert(place)).collect();
    check_all_apart(written, places.iter().flat_map(|place| place.files()))?;
    let Some(checkpoints) = checkpoints else { return Ok(()) };
    let is_below = |file: &PathBuf| file.canonicalize().is_ok_and(|file| file.starts_with(&checkpoints));
    match places.iter().flat_map(|place| place.files()).find(is_below) {
        Some(file) => in_the_way(&file, "the run reads it, and removes what is old in this folder"),
        None => Ok(()),
    }
}

/// Checks that the trained model takes the place of none of the folders that are read.
fn check_model(output: &Path, read: &[&Path]) -> Result<()> {
    let model = output.join(MODEL);
    let same = |folder: &&Path| matches!((folder.canonicalize(), model.canonicalize()), (Ok(a), Ok(b)) if a == b);
    match read.iter().any(same) {
        true => in_the_way(&model, "the run reads this model and would replace it"),
        false => Ok(()),
    }
}
