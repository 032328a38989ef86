//! A parser under test, and sound input out of the workspace.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::mutate::Shape;

/// Ends a case that would only wait.
pub struct Stop;

/// Feeds one input.
pub type Case = Box<dyn FnMut(&[u8])>;

/// A parser, and how it is fed.
pub struct Target {
    pub name: &'static str,
    pub about: &'static str,
    pub shape: Shape,
    /// What a case may hold at once.
    pub megabytes: usize,
    /// Sound input.
    pub seeds: fn() -> Result<Vec<Vec<u8>>>,
    /// What feeds an input, with an empty folder for its files.
    pub make: fn(&Path) -> Result<Case>,
}

/// A folder or file of the workspace.
pub fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Files of the workspace.
pub fn files(paths: &[&str]) -> Result<Vec<Vec<u8>>> {
    paths.iter().map(|path| Ok(std::fs::read(workspace(path))?)).collect()
}

/// Files of the video fixtures.
pub fn clips(names: &[&str]) -> Result<Vec<Vec<u8>>> {
    names.iter().map(|name| Ok(std::fs::read(workspace("crates/data/tests/fixtures/video").join(name))?)).collect()
}
