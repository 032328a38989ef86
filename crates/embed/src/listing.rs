//! What the rows of a file stand for: in the header of a safetensors file, and as JSON lines beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::files::{destination, write_atomically};
use crate::visuals::{Reading, RowOf};

/// The rows of a file.
pub(crate) struct Listing<'a> {
    /// The key of the names in a safetensors header: `input` or `text`.
    pub key: &'static str,
    pub names: &'a [String],
    /// What rows show of files; empty for rows of texts.
    pub of: &'a [RowOf],
    /// How the files were read.
    pub reading: Option<&'a Reading>,
}

/// A line of `F.rows.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    input: &'a str,
    start: Option<f64>,
    end: Option<f64>,
    row: usize,
    reading: &'a Reading,
}

/// The list of the rows in the file `rows`: `F.rows.jsonl` beside `F`.
///
/// # Errors
/// When no file can be written there.
pub fn list_of(rows: &Path) -> Result<PathBuf> {
    let (real, dir) = destination(rows)?;
    let mut name = real.file_name().unwrap_or_default().to_os_string();
    name.push(".rows.jsonl");
    Ok(dir.join(name))
}

impl Listing<'_> {
    fn shows_parts(&self) -> bool {
        self.of.iter().any(|row| row.moment.is_some())
    }

    /// The header of a safetensors file.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = BTreeMap::from([(self.key.to_owned(), json!(self.names).to_string())]);
        if self.shows_parts() {
            let of = |time: fn(&RowOf) -> Option<f64>| json!(self.of.iter().map(time).collect::<Vec<_>>()).to_string();
            metadata.insert("start".into(), of(|row| row.moment.map(|m| m.start)));
            metadata.insert("end".into(), of(|row| row.moment.map(|m| m.end)));
        }
        if let Some(reading) = self.reading.filter(|reading| !reading.is_default()) {
            metadata.insert("reading".into(), json!(reading).to_string());
        }
        metadata
    }

    /// Writes the list beside the file of rows, where rows show parts of videos. One that is there is replaced in any case.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn write_beside(&self, rows: &Path) -> Result<()> {
        let (path, Some(reading)) = (list_of(rows)?, self.reading) else { return Ok(()) };
        if !self.shows_parts() && !path.exists() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for (row, (input, of)) in self.names.iter().zip(self.of).enumerate() {
            let (start, end) = (of.moment.map(|m| m.start), of.moment.map(|m| m.end));
            let line = Line { input, start, end, row, reading };
            serde_json::to_writer(&mut lines, &line).map_err(|e| Error::content(&path, e.to_string()))?;
            lines.push(b'\n');
        }
        write_atomically(&path, &lines)
    }
}
