//! Where the rows of a new index come from: the index that was there, or the files.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use vljepa_embed::files::stamp;
use vljepa_embed::partial::{OrderedRows, Partial};
use vljepa_embed::visuals::{Noted, Skipped};

use super::entry::Entry;
use super::table::Table;
use crate::error::Result;

/// Where the row of each file of a new index comes from.
pub(super) struct Rows<'a> {
    /// For each file the number of its first row in the index that was there, and its entry.
    known: Vec<Option<(usize, &'a Entry)>>,
}

/// Where a row is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In the index that was there, with this number.
    Old(usize),
    /// The next of the rows that were embedded.
    Next,
}

impl<'a> Rows<'a> {
    pub fn new(entries: &'a [Entry], root: &Path, files: &[PathBuf]) -> Self {
        let mut row = 0;
        let with_row = entries.iter().map(|entry| {
            let first = row;
            row += entry.rows();
            (entry.path.as_str(), (first, entry))
        });
        let by_path: HashMap<&str, (usize, &Entry)> = with_row.collect();
        let known = |path: &PathBuf| {
            let now = stamp(path).ok().filter(|(_, modified)| *modified > 0)?;
            let entry = Entry::of(root, path, now).ok()?;
            by_path.get(entry.path.as_str()).copied().filter(|(_, old)| old.is_still(&entry))
        };
        Self { known: files.iter().map(known).collect() }
    }

    /// The files whose rows are to be computed.
    pub fn fresh(&self, files: &[PathBuf]) -> Vec<PathBuf> {
        files.iter().zip(&self.known).filter(|(_, known)| known.is_none()).map(|(path, _)| path.clone()).collect()
    }

    pub fn reused(&self) -> usize {
        self.known.iter().flatten().count()
    }

    /// The entries of the new index in their order, and where the rows of each are.
    pub fn entries(
        &self,
        root: &Path,
        files: &[PathBuf],
        partial: Option<&Partial>,
        left_out: &[Skipped],
        notes: &[Noted],
    ) -> Result<(Vec<Entry>, Vec<Place>)> {
        let noted: HashSet<&PathBuf> = notes.iter().map(|noted| &noted.path).collect();
        let mut without = left_out.iter().map(|s| &s.path).peekable();
        let mut stamps = partial.into_iter().flat_map(Partial::stamps);
        let mut of = partial.into_iter().flat_map(Partial::of).peekable();
        let mut number = 0;
        let (mut entries, mut places) = (Vec::new(), Vec::new());
        for (path, known) in files.iter().zip(&self.known) {
            if let Some((row, entry)) = known {
                entries.push((*entry).clone());
                places.extend((*row..row + entry.rows()).map(Place::Old));
                continue;
            }
            let own = std::iter::from_fn(|| of.next_if(|row| row.file == number)).collect::<Vec<_>>();
            number += 1;
            let stamp = stamps.next().flatten().unwrap_or_default();
            if without.next_if_eq(&path).is_none() {
                let clips = own.iter().filter_map(|row| row.moment).collect();
                entries.push(Entry { noted: noted.contains(path), clips, ..Entry::of(root, path, stamp)? });
                places.extend(own.iter().map(|_| Place::Next));
            }
        }
        Ok((entries, places))
    }
}

/// Reads the rows of a new index, as bytes.
pub(super) struct Values<'a> {
    old: Option<&'a Table>,
    fresh: Option<OrderedRows<'a>>,
    places: std::vec::IntoIter<Place>,
    /// The present row, of which `at` bytes are read.
    row: Vec<u8>,
    at: usize,
    /// Bytes of a row.
    width: usize,
}

impl<'a> Values<'a> {
    /// Rows of `dim` values, from the index that was there and those that were embedded, in the order of `places`.
    pub fn new(old: Option<&'a Table>, fresh: Option<OrderedRows<'a>>, places: Vec<Place>, dim: usize) -> Self {
        Self { old, fresh, places: places.into_iter(), row: Vec::new(), at: 0, width: 4 * dim }
    }
}

impl Read for Values<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.row.len() {
            match (self.places.next(), self.old, &mut self.fresh) {
                (None, ..) => return Ok(0),
                (Some(Place::Old(row)), Some(old), _) => {
                    let values = &old.embeddings()[row * old.dim()..][..old.dim()];
                    self.row.clear();
                    self.row.extend(values.iter().flat_map(|v| v.to_le_bytes()));
                }
                (Some(Place::Next), _, Some(fresh)) => {
                    self.row.resize(self.width, 0);
                    fresh.read_exact(&mut self.row)?;
                }
                _ => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            }
            self.at = 0;
        }
        let some = out.len().min(self.row.len() - self.at);
        out[..some].copy_from_slice(&self.row[self.at..self.at + some]);
        self.at += some;
        Ok(some)
    }
}
