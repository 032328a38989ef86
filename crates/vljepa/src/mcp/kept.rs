//! What is kept between calls: the rows of files that were seen, and streams that were not watched to their end.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vljepa_embed::files::Stamp;

use super::clips::{Cut, Rows};
use super::told::Sentence;
use crate::stream::Stream;

/// Streams that are kept to go on with.
const MOST_STREAMS: usize = 16;

/// What rows depend on beside the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RowsKey {
    path: PathBuf,
    stamp: Stamp,
    query: Option<String>,
    cut: [Option<u64>; 4],
}

impl RowsKey {
    /// `query`: what was asked; `cut`: which clips were seen.
    pub fn new(path: &Path, stamp: Stamp, query: Option<&str>, cut: &Cut) -> Self {
        let [window, stride] = [0, 1].map(|at| cut.windows.map(|windows| windows[at]));
        let cut = [window, stride, cut.start, cut.end].map(|time| time.map(f64::to_bits));
        Self { path: path.to_path_buf(), stamp, query: query.map(str::to_owned), cut }
    }
}

/// Rows of files, of which those that were not asked for the longest go first.
#[derive(Debug)]
pub(super) struct KeptRows {
    rows: HashMap<RowsKey, (Arc<Rows>, u64)>,
    bytes: usize,
    /// Most bytes.
    most: usize,
    /// Number of the last use.
    uses: u64,
}

impl KeptRows {
    pub fn new(most: usize) -> Self {
        Self { rows: HashMap::new(), bytes: 0, most, uses: 0 }
    }

    pub fn get(&mut self, key: &RowsKey) -> Option<Arc<Rows>> {
        self.uses += 1;
        let (rows, last) = self.rows.get_mut(key)?;
        *last = self.uses;
        Some(Arc::clone(rows))
    }

    pub fn put(&mut self, key: RowsKey, rows: Arc<Rows>) {
        self.uses += 1;
        self.bytes += size(&key, &rows);
        if let Some((before, _)) = self.rows.insert(key.clone(), (rows, self.uses)) {
            self.bytes -= size(&key, &before);
        }
        while self.bytes > self.most
            && let Some(oldest) = self.rows.iter().min_by_key(|(_, (_, last))| *last).map(|(key, _)| key.clone())
            && let Some((rows, _)) = self.rows.remove(&oldest)
        {
            self.bytes -= size(&oldest, &rows);
        }
    }
}

/// Bytes of rows, with what is kept beside them.
fn size(key: &RowsKey, rows: &Rows) -> usize {
    let beside = key.path.as_os_str().len() + key.query.as_ref().map_or(0, String::len) + 256;
    4 * rows.rows.as_slice().len() + 24 * rows.moments.len() + beside
}

/// A stream that was not watched to its end.
#[derive(Clone, Debug)]
pub(super) struct KeptStream {
    pub key: StreamKey,
    pub stream: Stream,
    /// Number and time of the next frame.
    pub next: (u64, f64),
    /// The sentence that was told last, and since when it tells.
    pub told: Option<(f64, Sentence)>,
}

/// What a stream depends on beside the model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StreamKey {
    pub path: PathBuf,
    pub stamp: Stamp,
    pub texts: [Vec<String>; 2],
    pub query: Option<String>,
    pub numbers: [Option<f64>; 4],
}

/// Streams to go on with, of which the one that was left the longest ago goes first. One that was gone on with stays too: its call may come again.
#[derive(Debug, Default)]
pub(super) struct KeptStreams(VecDeque<KeptStream>);

impl KeptStreams {
    /// The stream that was left at `time`, in seconds.
    pub fn get(&self, key: &StreamKey, time: f64) -> Option<KeptStream> {
        self.place(key, time).map(|at| self.0[at].clone())
    }

    pub fn put(&mut self, kept: KeptStream) {
        if let Some(before) = self.place(&kept.key, kept.next.1) {
            self.0.remove(before);
        } else if self.0.len() >= MOST_STREAMS {
            self.0.pop_front();
        }
        self.0.push_back(kept);
    }

    fn place(&self, key: &StreamKey, time: f64) -> Option<usize> {
        // Times are told to the millisecond.
        self.0.iter().position(|kept| kept.key == *key && (kept.next.1 - time).abs() < 1e-3)
    }
}

#[cfg(test)]
mod tests {
    use vljepa_embed::Embeddings;

    use super::*;

    fn key(name: &str) -> RowsKey {
        RowsKey::new(name.as_ref(), (1, 2), None, &Cut::WHOLE)
    }

    fn rows(values: usize) -> Arc<Rows> {
        let rows = Embeddings::from_unit_rows(4, vec![0.5; values]);
        Arc::new(Rows { rows, moments: Vec::new(), notes: Vec::new() })
    }

    #[test]
    fn rows_that_were_not_asked_for_go_first() {
        let (mut kept, third) = (KeptRows::new(13_000), 1000);
        for name in ["a", "b", "c"] {
            kept.put(key(name), rows(third));
        }
        assert!(kept.get(&key("a")).is_some());
        kept.put(key("d"), rows(third));
        assert!(kept.get(&key("b")).is_none());
        assert!(["a", "c", "d"].iter().all(|name| kept.get(&key(name)).is_some()));
        kept.put(key("d"), rows(4));
        let sum: usize = kept.rows.iter().map(|(key, (rows, _))| size(key, rows)).sum();
        assert!(kept.bytes == sum && sum <= 13_000, "{} {sum}", kept.bytes);
        // Another cut or another state of the file is another entry.
        let cut = Cut { start: Some(1.0), ..Cut::WHOLE };
        assert!(kept.get(&RowsKey::new("a".as_ref(), (1, 2), None, &cut)).is_none());
        assert!(kept.get(&RowsKey { stamp: (1, 3), ..key("a") }).is_none());
    }
}
