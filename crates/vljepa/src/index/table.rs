//! The tensors of an index, read where they lie: files, what rows show of them, and the rows.

use std::ops::Range;
use std::path::{Component, Path};

use rayon::prelude::*;
use vljepa_embed::files::Mapped;
use vljepa_embed::visuals::Moment;
use vljepa_model::weights::{Dtype, SafeTensors, WeightSource};

use super::entry::Entry;

/// Tensors of an index: where each file's path ends in `paths`, in bytes.
pub(super) const PATH_ENDS: &str = "path_ends";
/// UTF-8 of all paths, one after the other; each relative to the folder, with `/` between its parts.
pub(super) const PATHS: &str = "paths";
/// Bytes of each file.
pub(super) const SIZES: &str = "sizes";
/// When each file was changed, in milliseconds since 1970.
pub(super) const MODIFIED: &str = "modified";
/// 1 where something was to be known of the file when it was embedded, else 0.
pub(super) const NOTED: &str = "noted";
/// The number of each row's file.
pub(super) const FILE: &str = "file";
/// When the part that a row shows begins and ends, in seconds; both NaN where it shows the file as a whole.
pub(super) const START: &str = "start";
pub(super) const END: &str = "end";
/// The rows.
pub(super) const EMBEDDINGS: &str = "embeddings";

/// The tensors of an index and the bytes that they lie in.
#[derive(Debug)]
pub(super) struct Table {
    map: Mapped,
    files: usize,
    rows: usize,
    dim: usize,
    path_ends: Range<usize>,
    paths: Range<usize>,
    sizes: Range<usize>,
    modified: Range<usize>,
    noted: Range<usize>,
    file: Range<usize>,
    start: Range<usize>,
    end: Range<usize>,
    embeddings: Range<usize>,
    /// The rows, where they cannot be used as they lie.
    copied: Option<Vec<f32>>,
}

/// Element `i` of width `N`.
fn element<const N: usize>(bytes: &[u8], i: usize) -> [u8; N] {
    bytes.as_chunks::<N>().0[i]
}

impl Table {
    /// Finds the tensors and checks everything but the rows' values: those are looked at by each search.
    ///
    /// # Errors
    /// What is wrong, in words that follow "not a whole index".
    pub fn new(map: Mapped) -> Result<Self, String> {
        let file = SafeTensors::parse("index", &map).map_err(|e| e.to_string())?;
        let base = map.as_ptr() as usize;
        let find = |name: &str, dtype: Dtype, dims: usize| {
            let tensor = file.tensor(name).filter(|t| t.dtype == dtype && t.shape.len() == dims);
            let tensor = tensor.ok_or_else(|| format!("there is no tensor `{name}` of {} in it", dtype.name()))?;
            let start = tensor.bytes.as_ptr() as usize - base;
            Ok::<_, String>((tensor.shape.to_vec(), start..start + tensor.bytes.len()))
        };
        let (files, path_ends) = find(PATH_ENDS, Dtype::U64, 1)?;
        let (rows, file_numbers) = find(FILE, Dtype::U32, 1)?;
        let (files, rows) = (files[0], rows[0]);
        let column = |name: &str, dtype: Dtype, length: usize| match find(name, dtype, 1)? {
            (shape, range) if shape == [length] => Ok(range),
            (shape, _) => Err(format!("`{name}` has the shape {shape:?}, {length} values are expected")),
        };
        let (shape, embeddings) = find(EMBEDDINGS, Dtype::F32, 2)?;
        if shape[0] != rows || shape[1] == 0 {
            return Err(format!("{rows} rows of files, and embeddings of {shape:?}"));
        }
        let (_, paths) = find(PATHS, Dtype::U8, 1)?;
        let (sizes, modified) = (column(SIZES, Dtype::U64, files)?, column(MODIFIED, Dtype::U64, files)?);
        let noted = column(NOTED, Dtype::U8, files)?;
        let (start, end) = (column(START, Dtype::F64, rows)?, column(END, Dtype::F64, rows)?);
        let dim = shape[1];
        let in_place =
            cfg!(target_endian = "little") && bytemuck::try_cast_slice::<u8, f32>(&map[embeddings.clone()]).is_ok();
        let copy = || map[embeddings.clone()].as_chunks::<4>().0.iter().map(|v| f32::from_le_bytes(*v)).collect();
        let copied = (!in_place).then(copy);
        let table = Self {
            files,
            rows,
            dim,
            path_ends,
            paths,
            sizes,
            modified,
            noted,
            file: file_numbers,
            start,
            end,
            embeddings,
            copied,
            map,
        };
        table.check_paths()?;
        table.check_rows()?;
        Ok(table)
    }

    fn check_paths(&self) -> Result<(), String> {
        let text = std::str::from_utf8(&self.map[self.paths.clone()]).map_err(|e| format!("its paths: {e}"))?;
        let ends = self.map[self.path_ends.clone()].as_chunks::<8>().0;
        let end = |i: usize| usize::try_from(u64::from_le_bytes(ends[i])).unwrap_or(usize::MAX);
        (0..self.files).into_par_iter().try_for_each(|i| {
            let start = if i == 0 { 0 } else { end(i - 1) };
            let path =
                text.get(start..end(i)).ok_or_else(|| format!("the path of file {i} is not within its paths"))?;
            let plain = |c| matches!(c, Component::Normal(_));
            // `components` leaves out doubled separators and `.`; neither is written here.
            let whole = path.split('/').all(|part| !part.is_empty() && part != ".");
            if !whole || !Path::new(path).components().all(plain) {
                return Err(format!("{path:?} is no path below its folder"));
            }
            Ok(())
        })?;
        let last = if self.files == 0 { 0 } else { end(self.files - 1) };
        if last != text.len() {
            return Err(format!("its paths end at byte {last} of {}", text.len()));
        }
        Ok(())
    }

    fn check_rows(&self) -> Result<(), String> {
        let (mut before, mut next) = (None, 0);
        for row in 0..self.rows {
            let (file, begins) = (self.file_of(row), Some(self.file_of(row)) != before);
            if begins && file != next || !begins && file + 1 != next {
                return Err(format!("row {row} is of file {file}, where one of file {next} is expected"));
            }
            let (start, end) = self.times(row);
            let whole = start.is_nan() && end.is_nan();
            let right = if whole { begins } else { start.is_finite() && end.is_finite() && start <= end };
            if !right {
                return Err(format!("row {row} begins at {start} s and ends at {end} s"));
            }
            if !begins && self.moment(row - 1).is_none() {
                return Err(format!("row {row} follows one of the same file as a whole"));
            }
            next = file + 1;
            before = Some(file);
        }
        match next == self.files {
            true => Ok(()),
            false => Err(format!("{} files, and rows of {next}", self.files)),
        }
    }

    /// Number of files.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> usize {
        self.map.len()
    }

    fn u64(&self, column: &Range<usize>, i: usize) -> u64 {
        u64::from_le_bytes(element(&self.map[column.clone()], i))
    }

    /// The path of a file, relative to the folder.
    pub fn path(&self, file: usize) -> &str {
        let end = |i: usize| self.u64(&self.path_ends, i) as usize;
        let start = if file == 0 { 0 } else { end(file - 1) };
        std::str::from_utf8(&self.map[self.paths.clone()][start..end(file)]).unwrap_or_default()
    }

    /// Size and time of a file when it was embedded.
    pub fn stamp(&self, file: usize) -> (u64, u64) {
        (self.u64(&self.sizes, file), self.u64(&self.modified, file))
    }

    /// The file of a row.
    pub fn file_of(&self, row: usize) -> usize {
        u32::from_le_bytes(element(&self.map[self.file.clone()], row)) as usize
    }

    fn times(&self, row: usize) -> (f64, f64) {
        let time = |column: &Range<usize>| f64::from_le_bytes(element(&self.map[column.clone()], row));
        (time(&self.start), time(&self.end))
    }

    /// The part of the video that a row shows; `None` where it shows the file as a whole.
    pub fn moment(&self, row: usize) -> Option<Moment> {
        let (start, end) = self.times(row);
        (!start.is_nan()).then_some(Moment { start, end })
    }

    /// The rows, `[rows, dim]`.
    pub fn embeddings(&self) -> &[f32] {
        match &self.copied {
            Some(copied) => copied,
            None => bytemuck::try_cast_slice(&self.map[self.embeddings.clone()]).unwrap_or_default(),
        }
    }

    /// Every file with the parts that its rows show, in order.
    pub fn entries(&self) -> Vec<Entry> {
        let mut row = 0;
        let entry = |file| {
            let (size, modified) = self.stamp(file);
            let noted = self.map[self.noted.clone()][file] != 0;
            let mut clips = Vec::new();
            while row < self.rows && self.file_of(row) == file {
                clips.extend(self.moment(row));
                row += 1;
            }
            Entry { path: self.path(file).to_owned(), size, modified, noted, clips }
        };
        (0..self.files).map(entry).collect()
    }
}
