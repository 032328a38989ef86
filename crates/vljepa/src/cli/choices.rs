//! What `classify` and `ask` share: labels or answers to choose among, and how a ranking is shown.

use std::path::{Path, PathBuf};

use super::output;

/// Labels or answers to choose among.
pub struct Choices {
    pub texts: Vec<String>,
    /// What one of them is called.
    what: &'static str,
    /// Where they were read, and the line of each.
    file: Option<(PathBuf, Vec<usize>)>,
}

impl Choices {
    /// Those of the list after `--{what}s`, else those of a file.
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

    /// Where one of them comes from.
    pub fn place(&self, index: usize) -> String {
        match &self.file {
            Some((path, lines)) => {
                format!("{}: line {}", path.display(), lines.get(index).copied().unwrap_or_default())
            }
            None => format!("--{what}s: {what} {}", index + 1, what = self.what),
        }
    }
}

/// Lines of file, score, cosine or logit, and name; the file on the first line of its ranking. `cells` gives the three of one.
pub fn ranking<T>(files: &[&PathBuf], ranked: &[Vec<T>], cells: impl Fn(&T) -> (f64, f32, String)) -> String {
    let mut rows = Vec::new();
    for (file, labels) in files.iter().zip(ranked) {
        for (i, label) in labels.iter().enumerate() {
            let name = if i == 0 { file.display().to_string() } else { String::new() };
            let (score, value, label) = cells(label);
            rows.push(vec![name, format!("{:5.1} %", 100.0 * score), format!("{value:+.3}"), label]);
        }
    }
    output::columns(&rows)
}
