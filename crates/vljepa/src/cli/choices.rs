//! Labels or answers to choose among, and their ranking as text, for `classify` and `ask`.

use std::path::{Path, PathBuf};

use super::output;

/// Labels or answers to choose among.
pub struct Choices {
    pub texts: Vec<String>,
    /// `label` or `answer`.
    what: &'static str,
    /// The file that they were read from, and the line of each.
    file: Option<(PathBuf, Vec<usize>)>,
}

impl Choices {
    /// The texts of `list`, which came from `--{what}s`, else the lines of `file`; `None` without both.
    pub fn read(what: &'static str, list: Option<Vec<String>>, file: Option<&Path>) -> vljepa::Result<Option<Self>> {
        Ok(match (list, file) {
            (Some(texts), _) => Some(Self { texts, what, file: None }),
            (None, Some(path)) => {
                let (texts, lines) = vljepa_data::read_numbered_labels(path)?;
                Some(Self { texts, what, file: Some((path.to_path_buf(), lines)) })
            }
            (None, None) => None,
        })
    }

    /// The source of a text, for messages: file and line, or flag and number.
    pub fn place(&self, index: usize) -> String {
        match &self.file {
            Some((path, lines)) => {
                format!("{}: line {}", path.display(), lines.get(index).copied().unwrap_or_default())
            }
            None => format!("--{what}s: {what} {}", index + 1, what = self.what),
        }
    }
}

/// A line for each ranked item: file (on the first line of its ranking only), score, cosine or logit, name. `cells`
/// gives score, cosine or logit, and name of an item.
pub fn ranking<T>(files: &[&PathBuf], ranked: &[Vec<T>], cells: impl Fn(&T) -> (f64, f32, String)) -> String {
    let mut rows = Vec::new();
    for (file, items) in files.iter().zip(ranked) {
        for (i, item) in items.iter().enumerate() {
            let file = if i == 0 { file.display().to_string() } else { String::new() };
            let (score, value, name) = cells(item);
            rows.push(vec![file, format!("{:5.1} %", 100.0 * score), format!("{value:+.3}"), name]);
        }
    }
    output::columns(&rows)
}
