//! The names in a run's folder, and whether there is room for them.

use std::path::{Path, PathBuf};

use vljepa_embed::check_apart;

use crate::config::TrainConfig;
use crate::error::{Result, TrainError};

/// The folder of checkpoints.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// The log: one object a line.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// The folder of the trained model.
pub(crate) const MODEL: &str = "model";
/// The fingerprints of the model cards that the run wrote, a line each.
pub(crate) const RECORD: &str = "cards.sha256";
/// The lock of the process that writes into the folder.
pub(crate) const LOCK: &str = "run.lock";

/// Checks before long work that what a run writes has room in its folder and replaces nothing that it reads. `file` is the
/// run's configuration, `data` the files that its source names.
pub(crate) fn check_places(file: &Path, data: &[PathBuf], config: &TrainConfig) -> Result<()> {
    let output = &config.output;
    let fault = |path: PathBuf, what: &str| {
        Err(TrainError::Invalid(format!("{}: {what}; choose another `output`", path.display())))
    };
    for name in [CHECKPOINTS, MODEL] {
        let path = output.join(name);
        if (path.exists() || path.is_symlink()) && !path.is_dir() {
            return fault(path, "is no folder, and the run writes one there");
        }
    }
    for name in [METRICS, RECORD, LOCK] {
        let path = output.join(name);
        if (path.exists() || path.is_symlink()) && !path.is_file() {
            return fault(path, "is no regular file, and the run writes one there");
        }
        if path.is_file() {
            let model = [&config.model.config, &config.model.query_tokenizer].into_iter().flatten();
            check_apart(&path, model.chain(data).map(PathBuf::as_path).chain([file]))?;
        }
    }
    let model = output.join(MODEL);
    let same = |folder: &&PathBuf| matches!((folder.canonicalize(), model.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if [&config.model.folder, &config.model.y_encoder].into_iter().flatten().any(|folder| same(&folder)) {
        return fault(model, "the run reads this model and would replace it");
    }
    Ok(())
}
