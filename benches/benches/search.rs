//! A search of an index: every row of a large file compared with a query, where it lies.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use vljepa::embed::Embeddings;
use vljepa::embed::visuals::{Moment, Reading};
use vljepa::index::{Entry, Index, Made, Wanted, search, write_index};
use vljepa_benches::{Case, Error, Harness, Result, Work, shapes};

/// Values of a row.
const DIM: usize = 256;
/// Clips of each film: an hour, one every two seconds.
const CLIPS: usize = 1800;

/// Rows of unit length that need no memory: pseudo-random signs with equal magnitude.
struct Rows {
    state: u64,
    bytes: u64,
}

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let values = (out.len() / 4).min((self.bytes / 4) as usize);
        let magnitude = (DIM as f32).powf(-0.5);
        for value in out.as_chunks_mut::<4>().0.iter_mut().take(values) {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value_of = if self.state >> 63 == 0 { magnitude } else { -magnitude };
            *value = value_of.to_le_bytes();
        }
        self.bytes -= 4 * values as u64;
        Ok(4 * values)
    }
}

/// An index of films, which is removed in the end.
struct Films {
    index: [Index; 1],
    _folder: tempfile::TempDir,
}

impl Films {
    fn new(rows: usize) -> Result<Self> {
        let written = |source| Error::Write { path: "an index".to_owned(), source };
        let folder = tempfile::tempdir().map_err(written)?;
        let path = folder.path().join("films.idx");
        Self::write(&path, rows)?;
        Ok(Self { index: [Index::read(&path)?], _folder: folder })
    }

    fn write(path: &Path, rows: usize) -> Result<()> {
        let made = Made {
            model: "0".repeat(64),
            root: PathBuf::from("films"),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            reading: Reading::default(),
            settings: serde_json::Value::Null,
            frame_folders: false,
            mixed: false,
        };
        let clip = |i: usize| Moment { start: 2.0 * i as f64, end: 2.0 * i as f64 + 4.0 };
        let film = |first: usize| Entry {
            path: format!("{}/{first}.mp4", first % 97),
            size: 1,
            modified: 1,
            noted: false,
            clips: (0..CLIPS.min(rows - first)).map(clip).collect(),
        };
        let entries: Vec<Entry> = (0..rows).step_by(CLIPS).map(film).collect();
        write_index(path, &made, &entries, DIM, &mut Rows { state: 7, bytes: 4 * (rows * DIM) as u64 })?;
        Ok(())
    }
}

fn main() -> ExitCode {
    let mut harness = Harness::new("search");
    let rows = if harness.small() { 5_000 } else { 1_000_000 };
    for (name, texts, merge) in [("one_text", 1, false), ("one_text_moments", 1, true), ("ten_texts", 10, false)] {
        let shape = shapes::text(&[texts, rows, DIM]);
        let case = Case { name: name.to_owned(), shape, work: Work::Items((texts * rows) as f64) };
        let queries = vec![(DIM as f32).powf(-0.5); texts * DIM];
        let wanted = Wanted { top: 10, merge, ..Wanted::default() };
        harness.case(
            case,
            |_| Ok((Films::new(rows)?, Embeddings::from_unit_rows(DIM, queries.clone()))),
            |_, (films, queries), _| search(&films.index, queries, &wanted).map(|_| ()).map_err(Error::from),
        );
    }
    harness.finish()
}
