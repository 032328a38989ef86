//! Printing and writing rows, and the progress of long runs, for `embed`, `embed-text` and `index build`.

use std::path::Path;

use indicatif::ProgressBar;
use serde_json::json;
use vljepa::embed::folder::AnyFolder;
use vljepa::embed::partial::RowEvent;
use vljepa::embed::visuals::Noted;
use vljepa::embed::{Embeddings, row_file};

use super::failure::{Failure, Result};
use super::output::{self, Output, printable};

/// The failure for `--pool` with a VL-JEPA; `owner` says which models the flag is for.
pub fn one_vector(folder: &AnyFolder, owner: &str) -> Failure {
    Failure::message(format!("{}: a VL-JEPA always gives one vector, {owner}; leave it out", folder.origin()))
}

/// The line that describes a file of rows.
pub fn written(shape: &[usize], path: &Path) -> String {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("{} f32 in {}\n", shape.join(" x "), path.display())
}

/// Writes rows to `file`, or prints them; `what` is `input` or `text`, the kind of the `names`. `notes` are those of files.
pub fn print(
    rows: &Embeddings,
    what: &str,
    names: &[String],
    file: Option<&Path>,
    notes: Option<&[Noted]>,
    out: &Output,
) -> Result {
    if let Some(path) = file {
        row_file::write_rows(path, rows, what, names)?;
        let shape = [&[rows.rows()], rows.shape()].concat();
        if out.json {
            let name = path.display().to_string();
            return out.document(&json!({ "out": name, "shape": shape, "dtype": "f32", format!("{what}s"): names }));
        }
        return out.text(&written(&shape, path));
    }
    if out.json {
        // A row of token vectors is printed as a list of vectors.
        let width = rows.shape().last().copied().unwrap_or(1).max(1);
        let row = |i: usize| match rows.shape().len() {
            1 => json!({ what: names[i], "embedding": rows.row(i) }),
            _ => json!({ what: names[i], "embedding": rows.row(i).chunks(width).collect::<Vec<_>>() }),
        };
        let mut document = json!({ "dim": width, "rows": (0..rows.rows()).map(row).collect::<Vec<_>>() });
        if let Some(notes) = notes {
            document["notes"] = output::notes(notes).into();
        }
        return out.document(&document);
    }
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        let values: Vec<String> = rows.row(i).iter().map(f32::to_string).collect();
        text += &format!("{}\t{}\n", printable(name), values.join(" "));
    }
    out.text(&text)
}

/// Shows the progress of writing `path`, and what is reused of an earlier run.
pub fn on_event<'a>(path: &'a Path, bar: &'a ProgressBar, out: &'a Output) -> impl FnMut(RowEvent) + 'a {
    move |event| match event {
        // The JSON document has these numbers; a note is needed only if work is done again.
        RowEvent::Resumed(resumed) if resumed.lost() || !out.json => {
            bar.suspend(|| out.note(&format!("{}: {resumed}", path.display())));
        }
        RowEvent::Resumed(_) => {}
        RowEvent::Done(n) => bar.set_position(n as u64),
    }
}
