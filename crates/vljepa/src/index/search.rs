//! Searching indices: every row is compared, in one pass for several queries.

use std::collections::BinaryHeap;
use std::path::PathBuf;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use rayon::prelude::*;
use vljepa_embed::files::stamp;
use vljepa_embed::rows::{Embeddings, Match, best_of, dot};
use vljepa_embed::visuals::Moment;

use super::file::Index;
use crate::error::{Error, Hint, Result};

/// Queries of one pass: their cosines with every row are in memory together.
const QUERIES: usize = 16;
/// Rows that a thread takes at a time.
const ROWS: usize = 4096;
/// How far the square of a row's length may be from 1.
const UNIT: f32 = 1e-3;
/// Cosines that differ by no more are the same: two readings of one picture may differ so much by rounding.
const SAME: f32 = 1e-4;
/// Clips whose times are nearer than this touch, in seconds.
const GAP: f64 = 1e-6;

/// A picture, or a part of a video, that a search has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The number of the index among those that were searched.
    pub index: usize,
    /// The file.
    pub path: PathBuf,
    /// Whether the file is unchanged since it was embedded.
    pub fresh: bool,
    /// The part of the video; `None` where the row shows the file as a whole.
    pub moment: Option<Moment>,
    /// Where the best of the clips that were merged begins and ends; the same as `moment` without merging.
    pub best: Option<Moment>,
    /// Cosine with what was searched for, -1..1: that of the best clip.
    pub cosine: f32,
}

/// What a search gives.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The most results of a query.
    pub top: usize,
    /// Whether neighbouring clips of a video are one moment: around its best clip those that follow each other without a gap and lie above
    /// the middle between that clip's cosine and the mean of the rows of its index that the filter lets pass, or within 0.0001 of the
    /// former.
    pub merge: bool,
    /// Which rows are looked at.
    pub filter: Filter,
}

/// Which rows a search looks at; by default all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    paths: Option<GlobSet>,
    after: Option<f64>,
    before: Option<f64>,
}

impl Filter {
    /// Only files whose path below the indexed folder matches one of the patterns, with `*`, `?`, `**`, `[a-z]` and `{a,b}`. A `*` also
    /// stands for separators: `*.mp4` matches in every folder.
    ///
    /// # Errors
    /// A pattern that cannot be read, or none that is not empty.
    pub fn paths(self, patterns: &[String]) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            if pattern.is_empty() {
                return Err(Error::argument("path", "an empty pattern matches nothing; leave it out"));
            }
            let glob = GlobBuilder::new(pattern).build();
            set.add(glob.map_err(|e| Error::argument("path", format!("{pattern:?}: {}", e.kind())))?);
        }
        let paths = set.build().map_err(|e| Error::argument("path", e.to_string()))?;
        Ok(Self { paths: (!patterns.is_empty()).then_some(paths), ..self })
    }

    /// Only clips that begin at or after `after` and end at or before `before`, in seconds of their video. Pictures and videos that were
    /// embedded as a whole have no times and are left out then.
    ///
    /// # Errors
    /// A time that is negative or not a number, and an end that is not after the beginning.
    pub fn times(self, after: Option<f64>, before: Option<f64>) -> Result<Self> {
        for time in [after, before].into_iter().flatten() {
            if !time.is_finite() || time < 0.0 {
                return Err(Error::argument("time", format!("{time}: seconds are expected, 0 or later")));
            }
        }
        if let (Some(after), Some(before)) = (after, before)
            && before <= after
        {
            let reason = format!("no clip lies between {after} s and {before} s; give an end after the beginning");
            return Err(Error::argument("time", reason));
        }
        Ok(Self { after, before, ..self })
    }

    fn is_open(&self) -> bool {
        self.paths.is_none() && self.after.is_none() && self.before.is_none()
    }

    /// Which rows of an index pass; `None`: all.
    fn passing(&self, index: &Index) -> Option<Vec<bool>> {
        if self.is_open() {
            return None;
        }
        let table = &index.table;
        let of_file = |file| self.paths.as_ref().is_none_or(|paths| paths.is_match(table.path(file)));
        let files: Vec<bool> = (0..table.files()).into_par_iter().map(of_file).collect();
        let in_time = |row| {
            if self.after.is_none() && self.before.is_none() {
                return true;
            }
            table.moment(row).is_some_and(|moment| {
                self.after.is_none_or(|after| moment.start >= after)
                    && self.before.is_none_or(|before| moment.end <= before)
            })
        };
        Some((0..table.rows()).into_par_iter().map(|row| files[table.file_of(row)] && in_time(row)).collect())
    }
}

/// For each query the best rows of all indices together, best first. The `index` of what is found counts in `indices`.
///
/// # Errors
/// Queries of another length than the rows of an index, and rows that are not of unit length.
pub fn search(indices: &[Index], queries: &Embeddings, wanted: &Wanted) -> Result<Vec<Vec<Found>>> {
    search_each(indices, &vec![queries; indices.len()], wanted)
}

/// As [`search`], with queries of its own for each index: what is searched for may be read as the files of the index were.
///
/// # Errors
/// As [`search`]; another number of queries for one index than for another, or none for some.
pub fn search_each(indices: &[Index], queries: &[&Embeddings], wanted: &Wanted) -> Result<Vec<Vec<Found>>> {
    let count = queries.first().map_or(0, |queries| queries.rows());
    if queries.len() != indices.len() || queries.iter().any(|queries| queries.rows() != count) {
        return Err(Error::argument(
            "queries",
            format!("each of {} indices needs the same number of them", indices.len()),
        ));
    }
    let mut found: Vec<Vec<Found>> = vec![Vec::new(); count];
    for (number, (index, queries)) in indices.iter().zip(queries).enumerate() {
        let passing = wanted.filter.passing(index);
        for first in (0..queries.rows()).step_by(QUERIES) {
            let range = first..queries.rows().min(first + QUERIES);
            let cosines = index.cosines(queries, range.clone())?;
            for (i, found) in found[range.clone()].iter_mut().enumerate() {
                let column = Column { cosines: &cosines, queries: range.len(), query: i, passing: passing.as_deref() };
                let best = match wanted.merge {
                    true => index.moments(&column, wanted.top),
                    false => {
                        best_of(column.matches(), wanted.top).into_iter().map(|m| (m, m.index..m.index + 1)).collect()
                    }
                };
                found.extend(best.into_iter().map(|(best, rows)| index.found(number, best, rows)));
            }
        }
    }
    for found in &mut found {
        // Stable: of equal ones the first index comes first.
        found.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
        found.truncate(wanted.top);
    }
    Ok(found)
}

fn is_unit(row: &[f32]) -> bool {
    // A length that is no number is none of 1 either.
    (dot(row, row) - 1.0).abs() <= UNIT
}

/// The cosines of one query with every row.
struct Column<'a> {
    /// `[rows, queries]`.
    cosines: &'a [f32],
    queries: usize,
    query: usize,
    passing: Option<&'a [bool]>,
}

impl Column<'_> {
    fn at(&self, row: usize) -> f32 {
        self.cosines[row * self.queries + self.query]
    }

    fn passes(&self, row: usize) -> bool {
        self.passing.is_none_or(|passing| passing[row])
    }

    /// The rows that pass, in order.
    fn matches(&self) -> Vec<Match> {
        let rows = self.cosines.len() / self.queries;
        (0..rows).filter(|row| self.passes(*row)).map(|index| Match { index, cosine: self.at(index) }).collect()
    }
}

/// A match in a heap: the best one is on top.
#[derive(PartialEq)]
struct Ranked(Match);

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.before(&self.0)
    }
}

impl Index {
    /// The cosines of some queries with every row, `[rows, queries]`.
    fn cosines(&self, queries: &Embeddings, range: std::ops::Range<usize>) -> Result<Vec<f32>> {
        let (dim, count) = (self.table.dim(), range.len());
        if queries.dim() != dim {
            let reason =
                format!("rows of {dim} values, and {} of what is searched for: two models made them", queries.dim());
            return Err(Error::content(&self.path, reason).hint(Hint::ModelOfIndex));
        }
        let mut cosines = vec![0.0; self.table.rows() * count];
        let parts = cosines.par_chunks_mut(ROWS * count).zip(self.table.embeddings().par_chunks(ROWS * dim));
        let bad = parts.enumerate().find_map_any(|(part, (cosines, rows))| {
            for (i, (cosines, row)) in cosines.chunks_exact_mut(count).zip(rows.chunks_exact(dim)).enumerate() {
                if !is_unit(row) {
                    return Some(part * ROWS + i);
                }
                for (cosine, query) in cosines.iter_mut().zip(range.clone()) {
                    *cosine = dot(queries.row(query), row);
                }
            }
            None
        });
        match bad {
            Some(row) => Err(self.not_unit(row)),
            None => Ok(cosines),
        }
    }

    /// Checks that every row is of unit length.
    ///
    /// # Errors
    /// The first row found that is not.
    pub(super) fn check_lengths(&self) -> Result<()> {
        let rows = self.table.embeddings().par_chunks(self.table.dim());
        match rows.position_any(|row| !is_unit(row)) {
            Some(row) => Err(self.not_unit(row)),
            None => Ok(()),
        }
    }

    fn not_unit(&self, row: usize) -> Error {
        let path = self.table.path(self.table.file_of(row));
        let reason = format!("not a whole index: the embedding of {path:?} (row {row}) is not of unit length");
        Error::content(&self.path, reason).hint(Hint::RebuildIndex)
    }

    /// The best moments: each with its best row, and the rows that it covers.
    fn moments(&self, column: &Column<'_>, top: usize) -> Vec<(Match, std::ops::Range<usize>)> {
        let matches = column.matches();
        let mean = matches.iter().map(|m| f64::from(m.cosine)).sum::<f64>() / matches.len().max(1) as f64;
        let (mut taken, mut found) = (vec![false; self.table.rows()], Vec::new());
        let mut heap: BinaryHeap<Ranked> = matches.into_iter().map(Ranked).collect();
        while found.len() < top
            && let Some(Ranked(best)) = heap.pop()
        {
            if taken[best.index] {
                continue;
            }
            let middle = ((f64::from(best.cosine) + mean) / 2.0) as f32;
            let joins = |from: usize, to: usize| {
                let touch = match (self.table.moment(from.min(to)), self.table.moment(from.max(to))) {
                    (Some(earlier), Some(later)) => later.start <= earlier.end + GAP,
                    _ => false,
                };
                let of_one = self.table.file_of(from) == self.table.file_of(to);
                let near = column.at(to) > middle || best.cosine - column.at(to) <= SAME;
                touch && of_one && !taken[to] && column.passes(to) && near
            };
            let (mut first, mut last) = (best.index, best.index);
            while first > 0 && joins(first, first - 1) {
                first -= 1;
            }
            while last + 1 < self.table.rows() && joins(last, last + 1) {
                last += 1;
            }
            taken[first..=last].fill(true);
            found.push((best, first..last + 1));
        }
        found
    }

    fn found(&self, index: usize, best: Match, rows: std::ops::Range<usize>) -> Found {
        let table = &self.table;
        let path = self.made.root.join(table.path(table.file_of(best.index)));
        let moments = rows.filter_map(|row| table.moment(row));
        let moment = moments.reduce(|a, b| Moment { start: a.start.min(b.start), end: a.end.max(b.end) });
        let fresh = stamp(&path).is_ok_and(|now| now == table.stamp(table.file_of(best.index)));
        Found { index, path, fresh, moment, best: table.moment(best.index), cosine: best.cosine }
    }
}
