//! Reading a configuration's file, the source's own keys included, and saying where in it a fault is.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use vljepa_data::read_limited;

use crate::config::{TrainConfig, at_line, cut_paths, located};
use crate::error::{Result, TrainError};
use crate::sources;

/// Largest configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// The settings that are paths, beside those of the source.
const PATHS: [&str; 9] = [
    "output",
    "model.config",
    "model.x_encoder",
    "model.features",
    "model.folder",
    "model.y_encoder",
    "model.still_stem",
    "model.query_tokenizer",
    "decoder.config",
];

/// A configuration's file, kept to say where in it a fault is.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    text: String,
    /// Keys of paths.
    paths: Vec<String>,
}

impl ConfigFile {
    /// Reads the text of a file.
    pub fn open(path: &Path) -> Result<Self> {
        let fault = |what: String| TrainError::Config { path: path.into(), what };
        // Asked before opening: a pipe waits for its writer, and a device may never end.
        let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => fault("there is no such file; name the TOML file of a run".into()),
            _ => TrainError::io(path, "reading")(error),
        })?;
        if !meta.is_file() {
            return Err(fault("is not a regular file; a training configuration is a TOML file".into()));
        }
        if meta.len() > MAX_BYTES {
            return Err(fault("is too long for a training configuration".into()));
        }
        let bytes = read_limited(path, MAX_BYTES)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| fault("is not UTF-8 text; a training configuration is a TOML file".into()))?;
        Ok(Self { path: path.into(), text, paths: Vec::new() })
    }

    /// Reads and checks a file; see [`TrainConfig::read`].
    pub fn read(path: &Path) -> Result<(Self, TrainConfig)> {
        let mut file = Self::open(path)?;
        let fault = |what: String| TrainError::Config { path: path.into(), what };
        let mut config = TrainConfig::parse(&file.text).map_err(fault)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let model = &mut config.model;
        let decoder = config.decoder.as_mut().map(|decoder| &mut decoder.config);
        let files = [&mut model.config, &mut model.query_tokenizer].into_iter().chain(decoder);
        let weights = [&mut model.x_encoder, &mut model.folder, &mut model.y_encoder, &mut model.still_stem];
        let folders = weights.into_iter().chain([&mut model.features]);
        for slot in files.chain(folders).flatten().chain([&mut config.output]) {
            *slot = base.join(&*slot);
        }
        config.data.base = base.into();
        let own = sources::paths(&config)?.iter().map(|key| format!("data.{key}"));
        file.paths = PATHS.iter().map(|&key| key.to_owned()).chain(own).collect();
        Ok((file, config))
    }

    /// What is written in it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Says which of its keys are paths.
    pub fn paths_are<const N: usize>(&mut self, keys: [&str; N]) {
        self.paths = keys.map(str::to_owned).to_vec();
    }

    /// What is written in it, for a model card: absolute paths of its settings are cut to their last parts.
    pub fn public_text(&self) -> String {
        cut_paths(&self.text, &self.paths)
    }

    /// Gives the fault of a setting its file and line; leaves other errors as they are.
    pub fn locate(&self, error: TrainError) -> TrainError {
        match error {
            TrainError::Setting { key, what } => {
                TrainError::Config { path: self.path.clone(), what: at_line(&self.text, &key, what) }
            }
            other => other,
        }
    }
}

/// Why the folder of a run cannot be at `path`, if so.
pub(super) fn no_folder(path: &Path) -> Option<String> {
    let there = path.ancestors().find(|p| p.is_symlink() || p.exists())?;
    (!there.is_dir()).then(|| format!("{} is not a folder; name a folder for the run", there.display()))
}

impl TrainConfig {
    /// Reads and checks a file. Paths in it become relative to its folder.
    ///
    /// # Errors
    /// [`TrainError::Config`] with the line or key, [`TrainError::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        Ok(ConfigFile::read(path)?.1)
    }

    /// Parses and checks the text of a configuration; paths stay as they are.
    ///
    /// # Errors
    /// One line: where and what.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| located(text, &error))?;
        sources::check(&config, text)?;
        match config.problem() {
            Some((key, what)) => Err(at_line(text, &key, what)),
            None => Ok(config),
        }
    }
}
