//! Checkpoints: a folder each, written beside and renamed into place, with the hash of every file.
//!
//! `checkpoints/step-00001200/` holds `state.json`, `model.safetensors`, `optimizer.safetensors`, `ema.safetensors` and
//! `SHA256SUMS` (the form of `sha256sum -c`); `checkpoints/best/` is that of the best evaluation, where a run keeps it. Killing the program at any moment leaves the last good one readable.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vljepa_data::atomic::{UnderWay, sync_folder_of};
use vljepa_embed::files;
use vljepa_model::json_fault;

use crate::error::{Result, TrainError};

const SUMS: &str = "SHA256SUMS";
const STATE: &str = "state.json";
const TEMPORARY: &str = ".tmp-";
const ASIDE: &str = ".old-";
const BEST: &str = "best";
const FORMAT: u32 = 1;
/// Largest list of hashes, in bytes; it has a line for each of five files.
const MAX_SUMS: u64 = 1 << 16;
/// Largest log or model card, in bytes.
const MAX_TEXT: u64 = 1 << 30;

/// What a checkpoint says of the run, beside tensors. The data order and all randomness follow from the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    /// Version of this format.
    pub format_version: u32,
    /// Steps taken.
    pub step: u64,
    /// The configuration by section, as text: a run resumes only with the same.
    pub identity: BTreeMap<String, String>,
    /// Steps of each parameter that AdamW holds.
    pub optimizer_steps: BTreeMap<String, u64>,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Name of the device that took the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl RunState {
    /// A state of the present format.
    pub fn new(step: u64, identity: BTreeMap<String, String>) -> Self {
        let optimizer_steps = BTreeMap::new();
        Self { format_version: FORMAT, step, identity, optimizer_steps, seconds: 0.0, device: None }
    }
}

/// A checkpoint whose hashes are right.
#[derive(Debug)]
pub struct Loaded {
    /// Its folder.
    pub path: PathBuf,
    /// Its state.
    pub state: RunState,
    files: BTreeMap<String, Vec<u8>>,
}

impl Loaded {
    /// Checks that it is of the run whose identity is `own`; `with` is what such a checkpoint is resumed with.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] when it is of another run, with the keys that differ.
    pub fn check_identity(&self, own: &BTreeMap<String, String>, with: &str) -> Result<()> {
        let theirs = &self.state.identity;
        let keys: BTreeSet<&String> = own.keys().chain(theirs.keys()).collect();
        let changed: Vec<&str> =
            keys.into_iter().filter(|key| theirs.get(*key) != own.get(*key)).map(String::as_str).collect();
        if changed.is_empty() {
            return Ok(());
        }
        Err(TrainError::Invalid(format!(
            "{}: a checkpoint of another run; these differ: {}. Resume with {with}, or start anew in another `output`",
            self.path.display(),
            changed.join(", ")
        )))
    }

    /// The bytes of one of its files.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when it has no such file.
    pub fn file(&self, name: &str) -> Result<&[u8]> {
        match self.files.get(name) {
            Some(bytes) => Ok(bytes),
            None => Err(bad(self.path.join(name), "the file is not in the checkpoint")),
        }
    }
}

/// The checkpoints of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    keep: usize,
}

fn bad(path: impl Into<PathBuf>, what: impl Into<String>) -> TrainError {
    TrainError::Checkpoint { path: path.into(), what: what.into() }
}

/// The newest good checkpoint with what `accept` made of it, and the faults of newer ones ([`Checkpoints::latest`]).
pub type Found<T> = (Option<(Loaded, T)>, Vec<TrainError>);

impl Checkpoints {
    /// The checkpoints in `dir`, of which the newest `keep` stay.
    pub fn new(dir: impl Into<PathBuf>, keep: usize) -> Self {
        Self { dir: dir.into(), keep: keep.max(1) }
    }

    /// Steps and folders, newest first. A folder that is not there has none. What a killed [`Checkpoints::save`] put aside
    /// comes back where nothing took its place.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn list(&self) -> Result<Vec<(u64, PathBuf)>> {
        self.put_back();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(TrainError::io(&self.dir, "reading")(e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(TrainError::io(&self.dir, "reading"))?;
            let name = entry.file_name();
            let step = name.to_str().and_then(|n| n.strip_prefix("step-")).and_then(|n| n.parse().ok());
            if let Some(step) = step {
                found.push((step, entry.path()));
            }
        }
        found.sort_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Writes a checkpoint and removes the oldest beyond the number to keep. An error leaves the others as they were.
    ///
    /// # Errors
    /// [`TrainError::Io`] naming the file.
    pub fn save(&self, state: &RunState, files: &[(&str, Vec<u8>)]) -> Result<PathBuf> {
        let path = self.save_as(&format!("step-{:08}", state.step), state, files)?;
        for (_, old) in self.list()?.into_iter().skip(self.keep) {
            // An old one that cannot be removed does no harm.
            let _ = fs::remove_dir_all(old);
        }
        Ok(path)
    }

    /// Writes the checkpoint of the best evaluation, in the place of the one before. It is none of those that are counted.
    ///
    /// # Errors
    /// [`TrainError::Io`] naming the file.
    pub fn save_best(&self, state: &RunState, files: &[(&str, Vec<u8>)]) -> Result<PathBuf> {
        self.save_as(BEST, state, files)
    }

    /// The checkpoint of the best evaluation.
    ///
    /// # Errors
    /// One that is not there or damaged.
    pub fn best(&self) -> Result<Loaded> {
        self.put_back();
        read(&self.dir.join(BEST), None)
    }

    fn save_as(&self, name: &str, state: &RunState, files: &[(&str, Vec<u8>)]) -> Result<PathBuf> {
        fs::create_dir_all(&self.dir).map_err(TrainError::io(&self.dir, "creating"))?;
        self.sweep();
        let (temporary, path) = (self.dir.join(format!("{TEMPORARY}{name}")), self.dir.join(name));
        let make = || fs::create_dir(&temporary).map(|()| &temporary).map_err(TrainError::io(&temporary, "creating"));
        let (_, under_way) = UnderWay::make(make)?;
        let result = self.write(under_way, &temporary, &path, (state, files));
        if result.is_err() {
            let _ = fs::remove_dir_all(&temporary);
        }
        result?;
        Ok(path)
    }

    fn write(
        &self,
        under_way: UnderWay,
        temporary: &Path,
        path: &Path,
        (state, files): (&RunState, &[(&str, Vec<u8>)]),
    ) -> Result<()> {
        let text = serde_json::to_vec_pretty(state)
            .map_err(|e| TrainError::Invalid(format!("the run's state cannot be written: {e}")))?;
        let mut sums = String::new();
        for (name, bytes) in files.iter().map(|(n, b)| (*n, b.as_slice())).chain([(STATE, text.as_slice())]) {
            sums += &format!("{}  {name}\n", hash(bytes));
            write_synced(&temporary.join(name), bytes)?;
        }
        write_synced(&temporary.join(SUMS), sums.as_bytes())?;
        sync_folder_of(&temporary.join(SUMS));
        // The same step again, after a resume from an older one.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = path.exists().then(|| self.dir.join(format!("{ASIDE}{name}")));
        if let Some(aside) = &aside {
            fs::rename(path, aside).map_err(TrainError::io(path, "renaming"))?;
        }
        if let Err(error) = under_way.settle(|| fs::rename(temporary, path)) {
            self.put_back();
            return Err(TrainError::io(path, "renaming")(error));
        }
        sync_folder_of(path);
        if let Some(aside) = &aside {
            // One that cannot be removed does no harm.
            let _ = fs::remove_dir_all(aside);
        }
        Ok(())
    }

    /// The folders whose name begins with `start`, each with the rest of its name.
    fn starting_with(&self, start: &str) -> Vec<(PathBuf, String)> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let rest = |name: &str| name.strip_prefix(start).map(str::to_owned);
        entries.filter_map(|entry| Some((entry.path(), rest(entry.file_name().to_str()?)?))).collect()
    }

    /// Gives what was put aside its name back, where nothing has taken that.
    fn put_back(&self) {
        for (aside, name) in self.starting_with(ASIDE) {
            let place = self.dir.join(name);
            if !place.exists() {
                let _ = fs::rename(aside, place);
            }
        }
    }

    /// Removes what a killed run left half-written or put aside.
    fn sweep(&self) {
        self.put_back();
        for (left, _) in [TEMPORARY, ASIDE].into_iter().flat_map(|start| self.starting_with(start)) {
            let _ = fs::remove_dir_all(left);
        }
    }

    /// The newest good checkpoint, and what is wrong with newer ones. `accept` looks into a checkpoint whose hashes are
    /// right and may refuse it.
    ///
    /// # Errors
    /// When there are checkpoints and none is good: the newest one's fault. Errors of other kinds than
    /// [`TrainError::Checkpoint`] stop the search.
    pub fn latest<T>(&self, mut accept: impl FnMut(&Loaded) -> Result<T>) -> Result<Found<T>> {
        let mut faults = Vec::new();
        for (step, path) in self.list()? {
            match read(&path, Some(step)).and_then(|loaded| accept(&loaded).map(|value| (loaded, value))) {
                Ok(found) => return Ok((Some(found), faults)),
                Err(fault @ (TrainError::Checkpoint { .. } | TrainError::Io { .. })) => faults.push(fault),
                Err(other) => return Err(other),
            }
        }
        match faults.is_empty() {
            true => Ok((None, faults)),
            false => Err(faults.swap_remove(0)),
        }
    }
}

/// What a file of a checkpoint that is not readable makes of the checkpoint.
fn unreadable(path: &Path, error: vljepa_embed::Error) -> TrainError {
    match error {
        vljepa_embed::Error::Io { path, action, source } => TrainError::Io { path, action, source },
        vljepa_embed::Error::Missing(path) => bad(path, "the file is not there"),
        vljepa_embed::Error::Content { path, reason } => bad(path, reason),
        error => bad(path, error.to_string()),
    }
}

/// The checkpoint in a folder, of this step where one is given.
fn read(path: &Path, step: Option<u64>) -> Result<Loaded> {
    let sums_path = path.join(SUMS);
    let sums = files::read_text(&sums_path, MAX_SUMS).map_err(|e| unreadable(&sums_path, e))?;
    let mut files = BTreeMap::new();
    for (line, text) in sums.lines().enumerate() {
        let Some((sum, name)) = text.split_once("  ").filter(|(_, name)| !name.contains(['/', '\\'])) else {
            return Err(bad(sums_path, format!("line {} is not a hash and a name", line + 1)));
        };
        let file = path.join(name);
        // Hashed before it is held: a file of another size than was written need not fit into memory.
        let (found, length) = files::hash(&file).map_err(|e| unreadable(&file, e))?;
        if found != sum {
            return Err(bad(file, format!("truncated or damaged: its {length} bytes have another hash")));
        }
        let bytes = files::read(&file, length).map_err(|e| unreadable(&file, e))?;
        files.insert(name.to_owned(), bytes);
    }
    let file = path.join(STATE);
    let Some(text) = files.remove(STATE) else {
        return Err(bad(sums_path, format!("{STATE} is not listed")));
    };
    let state: RunState = serde_json::from_slice(&text)
        .map_err(|e| bad(&file, format!("not the state of a run: {}", json_fault(&e.to_string()))))?;
    if state.format_version != FORMAT {
        return Err(bad(file, format!("format version {}, this build reads {FORMAT}", state.format_version)));
    }
    if let Some(step) = step.filter(|step| *step != state.step) {
        return Err(bad(file, format!("says step {}, the folder {step}", state.step)));
    }
    Ok(Loaded { path: path.into(), state, files })
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = fs::File::create(path).map_err(TrainError::io(path, "creating"))?;
    file.write_all(bytes).map_err(TrainError::io(path, "writing"))?;
    file.sync_all().map_err(TrainError::io(path, "writing"))
}

/// A file as text, with � for what is not UTF-8; `None` where there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(meta) if meta.is_file() && meta.len() == 0 => return Ok(Some(String::new())),
        _ => {}
    }
    Ok(Some(String::from_utf8_lossy(&files::read(path, MAX_TEXT)?).into_owned()))
}
