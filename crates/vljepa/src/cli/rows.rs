//! Printing and writing rows, and the progress of long runs, for `embed`, `embed-text` and `index build`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vljepa::embed::folder::AnyFolder;
use vljepa::embed::partial::RowEvent;
use vljepa::embed::visuals::{Embedded, Moment, Noted, RowOf};
use vljepa::embed::{Embeddings, row_file};

use super::failure::{Failure, Result};
use super::output::{self, FilesBar, Output, printable};

/// The failure for `--pool` with a VL-JEPA; `owner` says which models the flag is for.
pub fn one_vector(folder: &AnyFolder, owner: &str) -> Failure {
    Failure::message(format!("{}: a VL-JEPA always gives one vector, {owner}; leave it out", folder.origin()))
}

/// The line that describes a file of rows.
pub fn written(shape: &[usize], path: &Path) -> String {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("{} f32 in {}\n", shape.join(" x "), path.display())
}

/// Seconds of a video as people read them: "12.5 s to 16.5 s".
pub fn times(moment: &Moment) -> String {
    let seconds = |time: f64| (time * 1000.0).round() / 1000.0;
    format!("{} s to {} s", seconds(moment.start), seconds(moment.end))
}

/// What each row stands for, in one text.
pub fn labels(of: &[RowOf], files: &[PathBuf]) -> Vec<String> {
    let label = |(name, row): (String, &RowOf)| match &row.moment {
        Some(moment) => format!("{name} {}", times(moment)),
        None => name,
    };
    row_file::names(of, files).into_iter().zip(of).map(label).collect()
}

/// What a row stands for, as the beginning of a JSON object.
pub fn object(of: &RowOf, files: &[PathBuf]) -> Map<String, Value> {
    let name = files.get(of.file).map(|file| file.display().to_string());
    let mut object = Map::from_iter([("input".to_owned(), json!(name))]);
    if let Some(Moment { start, end }) = of.moment {
        object.extend([("start".to_owned(), json!(start)), ("end".to_owned(), json!(end))]);
    }
    object
}

/// Prints the rows of files, with the notes of these.
pub fn print_files(embedded: &Embedded, files: &[PathBuf], notes: &[Noted], out: &Output) -> Result {
    let Embedded { rows, of, .. } = embedded;
    if !out.json {
        return print_text(rows, &labels(of, files), out);
    }
    let row = |(i, of): (usize, &RowOf)| {
        let mut row = object(of, files);
        row.insert("embedding".into(), values(rows, i));
        row
    };
    let list: Vec<_> = of.iter().enumerate().map(row).collect();
    out.document(&json!({ "dim": width(rows), "rows": list, "notes": output::notes(notes) }))
}

fn width(rows: &Embeddings) -> usize {
    rows.shape().last().copied().unwrap_or(1).max(1)
}

/// A row as JSON; one of token vectors is a list of vectors.
fn values(rows: &Embeddings, i: usize) -> Value {
    match rows.shape().len() {
        1 => json!(rows.row(i)),
        _ => json!(rows.row(i).chunks(width(rows)).collect::<Vec<_>>()),
    }
}

fn print_text(rows: &Embeddings, names: &[String], out: &Output) -> Result {
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        let values: Vec<String> = rows.row(i).iter().map(f32::to_string).collect();
        text += &format!("{}\t{}\n", printable(name), values.join(" "));
    }
    out.text(&text)
}

/// Writes rows of texts to `file`, or prints them.
pub fn print_texts(rows: &Embeddings, texts: &[String], file: Option<&Path>, out: &Output) -> Result {
    if let Some(path) = file {
        row_file::write_rows(path, rows, "text", texts)?;
        let shape = [&[rows.rows()], rows.shape()].concat();
        if out.json {
            let name = path.display().to_string();
            return out.document(&json!({ "out": name, "shape": shape, "dtype": "f32", "texts": texts }));
        }
        return out.text(&written(&shape, path));
    }
    if out.json {
        let row = |i: usize| json!({ "text": texts[i], "embedding": values(rows, i) });
        return out.document(&json!({ "dim": width(rows), "rows": (0..rows.rows()).map(row).collect::<Vec<_>>() }));
    }
    print_text(rows, texts, out)
}

/// Shows the progress of writing `path`, and what is reused of an earlier run.
pub fn on_event<'a>(path: &'a Path, bar: &'a FilesBar, out: &'a Output) -> impl FnMut(RowEvent) + 'a {
    move |event| match event {
        // The JSON document has these numbers; a note is needed only if work is done again.
        RowEvent::Resumed(resumed) if resumed.lost() || !out.json => {
            bar.suspend(|| out.note(&format!("{}: {resumed}", path.display())));
        }
        RowEvent::Resumed(_) => {}
        RowEvent::Done(progress) => bar.set(progress),
    }
}
