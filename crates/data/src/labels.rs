//! Label lists: text files with one label a line.

use std::collections::HashMap;
use std::path::Path;

use crate::DataError;
use crate::file::read_limited;

/// Largest label file.
const MAX_BYTES: u64 = 64 << 20;

/// Reads a label file: UTF-8, one label a line, white space around it ignored, blank lines skipped. Lines end with LF, CRLF or
/// CR. There are no
/// comments: `#1` is a label. Fails on a list without labels and on a label that occurs twice.
pub fn read_labels(path: impl AsRef<Path>) -> Result<Vec<String>, DataError> {
    read_numbered_labels(path).map(|(labels, _)| labels)
}

/// [`read_labels`], and the number of the line of each label, from 1.
pub fn read_numbered_labels(path: impl AsRef<Path>) -> Result<(Vec<String>, Vec<usize>), DataError> {
    let path = path.as_ref();
    let bytes = read_limited(path, MAX_BYTES).map_err(|error| match error {
        DataError::NotRegular { path, what } => {
            let what = if what == "folder" { "is a folder" } else { "is not a regular file" };
            DataError::content(path, format!("{what}; name a text file with one label or answer a line"))
        }
        DataError::TooLong { path, bytes, max } => {
            DataError::content(path, format!("{bytes} bytes, a list has at most {max}; is this the right file?"))
        }
        other => other,
    })?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = lines(&String::from_utf8_lossy(&e.as_bytes()[..valid])).count();
        DataError::content(path, format!("line {line} is not UTF-8 text; save the list as UTF-8"))
    })?;
    numbered(&path.display().to_string(), lines(&text))
}

/// The lines of a text, whichever way they end.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// Checks labels from anywhere as [`read_labels`] does; `origin` is what errors call the list.
pub fn parse_labels<'a>(origin: &str, lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>, DataError> {
    numbered(origin, lines).map(|(labels, _)| labels)
}

fn numbered<'a>(
    origin: &str,
    lines: impl IntoIterator<Item = &'a str>,
) -> Result<(Vec<String>, Vec<usize>), DataError> {
    let (mut labels, mut numbers) = (Vec::new(), Vec::new());
    let mut first_lines = HashMap::new();
    for (line, label) in (1..).zip(lines) {
        let label = label.trim_start_matches('\u{feff}').trim();
        if label.is_empty() {
            continue;
        }
        if let Some(first) = first_lines.insert(label.to_owned(), line) {
            return Err(DataError::DuplicateLabel {
                origin: origin.to_owned(),
                label: label.to_owned(),
                first,
                second: line,
            });
        }
        labels.push(label.to_owned());
        numbers.push(line);
    }
    if labels.is_empty() {
        return Err(DataError::content(origin, "the list is empty; write one label or answer a line"));
    }
    Ok((labels, numbers))
}
