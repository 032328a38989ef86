//! Writing the file of an index.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use vljepa_embed::files::stream_atomically;
use vljepa_embed::row_file::write_values;
use vljepa_embed::visuals::Moment;
use vljepa_model::weights::{Dtype, safetensors_start};

use super::entry::{Entry, check_files};
use super::made::Made;
use super::table::{EMBEDDINGS, END, FILE, MODIFIED, NOTED, PATH_ENDS, PATHS, SIZES, START};
use crate::error::Result;

/// Writes the file of an index, whole or not at all: what [`Index::build`](super::Index::build) does with the rows that it makes, for rows of
/// `dim` values that `values` gives as bytes of f32, in the order of `entries`.
///
/// # Errors
/// More files than an index holds; errors of writing; values that end early, and values that are not finite.
pub fn write_index(path: &Path, made: &Made, entries: &[Entry], dim: usize, values: &mut dyn Read) -> Result<()> {
    check_files(&made.root, entries.len())?;
    let metadata = made.to_metadata();
    Ok(stream_atomically(path, |file| stream(path, entries, dim, values, &metadata, file))?)
}

fn stream(
    path: &Path,
    entries: &[Entry],
    dim: usize,
    values: &mut dyn Read,
    metadata: &BTreeMap<String, String>,
    out: &mut dyn Write,
) -> vljepa_embed::Result<()> {
    let failed = vljepa_embed::Error::io(path, "writing");
    let (files, rows) = (entries.len(), entries.iter().map(Entry::rows).sum::<usize>());
    let paths: usize = entries.iter().map(|entry| entry.path.len()).sum();
    let start = safetensors_start(
        &[
            (PATH_ENDS, Dtype::U64, &[files]),
            (SIZES, Dtype::U64, &[files]),
            (MODIFIED, Dtype::U64, &[files]),
            (START, Dtype::F64, &[rows]),
            (END, Dtype::F64, &[rows]),
            (EMBEDDINGS, Dtype::F32, &[rows, dim]),
            (FILE, Dtype::U32, &[rows]),
            (NOTED, Dtype::U8, &[files]),
            (PATHS, Dtype::U8, &[paths]),
        ],
        metadata,
    );
    let mut columns = start.map_err(vljepa_embed::Error::model(path.display()))?;
    let mut end = 0u64;
    for entry in entries {
        end += entry.path.len() as u64;
        columns.extend(end.to_le_bytes());
    }
    columns.extend(entries.iter().flat_map(|entry| entry.size.to_le_bytes()));
    columns.extend(entries.iter().flat_map(|entry| entry.modified.to_le_bytes()));
    let times: [fn(&Moment) -> f64; 2] = [|clip| clip.start, |clip| clip.end];
    for time in times {
        for entry in entries {
            match &entry.clips[..] {
                [] => columns.extend(f64::NAN.to_le_bytes()),
                clips => columns.extend(clips.iter().flat_map(|clip| time(clip).to_le_bytes())),
            }
        }
    }
    out.write_all(&columns).map_err(failed)?;
    write_values(path, &[rows, dim], values, out)?;
    columns.clear();
    for (i, entry) in entries.iter().enumerate() {
        columns.extend((0..entry.rows()).flat_map(|_| (i as u32).to_le_bytes()));
    }
    columns.extend(entries.iter().map(|entry| u8::from(entry.noted)));
    entries.iter().for_each(|entry| columns.extend(entry.path.as_bytes()));
    out.write_all(&columns).map_err(vljepa_embed::Error::io(path, "writing"))
}
