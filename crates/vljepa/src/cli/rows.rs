//! What `embed`, `embed-text` and `index build` share: rows to standard output or to a file, and how far the work is.

use std::path::Path;

use indicatif::ProgressBar;
use serde_json::json;
use vljepa::embed::partial::RowEvent;
use vljepa::embed::{Embeddings, row_file};

use super::failure::{Failure, Result};
use super::output::Output;
use vljepa::embed::folder::AnyFolder;

/// The refusal of a way of pooling for a model that has none to choose.
pub fn one_vector(folder: &AnyFolder, whose: &str) -> Failure {
    Failure::message(format!(
        "{}: a VL-JEPA gives one vector as it was trained to, {whose}; leave it out",
        folder.origin()
    ))
}

/// The line that says what a file of rows holds.
pub fn written(shape: &[usize], path: &Path) -> String {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("{} f32 in {}\n", shape.join(" x "), path.display())
}

/// Writes rows to `file`, or prints them; `what` is what one of `names` is.
pub fn print(rows: &Embeddings, what: &str, names: &[String], file: Option<&Path>, out: &Output) -> Result {
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
        // A row of tokens is a list of vectors.
        let width = rows.shape().last().copied().unwrap_or(1).max(1);
        let row = |i: usize| match rows.shape().len() {
            1 => json!({ what: names[i], "embedding": rows.row(i) }),
            _ => json!({ what: names[i], "embedding": rows.row(i).chunks(width).collect::<Vec<_>>() }),
        };
        return out.document(&json!({ "dim": width, "rows": (0..rows.rows()).map(row).collect::<Vec<_>>() }));
    }
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        let values: Vec<String> = rows.row(i).iter().map(f32::to_string).collect();
        text += &format!("{name}\t{}\n", values.join(" "));
    }
    out.text(&text)
}

/// Shows how far work on `path` is, and says what of an earlier run counts.
pub fn on_event<'a>(path: &'a Path, bar: &'a ProgressBar, out: &'a Output) -> impl FnMut(RowEvent) + 'a {
    move |event| match event {
        // A document says it itself, but for work that is done again.
        RowEvent::Resumed(resumed) if resumed.lost() || !out.json => {
            bar.suspend(|| out.note(&format!("{}: {resumed}", path.display())));
        }
        RowEvent::Resumed(_) => {}
        RowEvent::Done(n) => bar.set_position(n as u64),
    }
}
