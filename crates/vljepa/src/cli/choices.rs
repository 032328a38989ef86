//! Labels or answers to choose among, and their ranking as text, for `classify` and `ask`.

use std::path::{Path, PathBuf};

use vljepa_model::{Unclear, UnknownWords};

use super::output::{self, Output};

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

/// Words that a note shows, and characters of a text.
const SHOWN: usize = 5;
const SHOWN_CHARACTERS: usize = 40;

fn beginning(text: &str) -> String {
    let mut beginning: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    beginning
}

/// Prints notes if the model does not tell texts apart or does not know words of them. Each names the first such text.
pub fn note_unclear(unclear: &Unclear, choices: &Choices, out: &Output) {
    let (text, what) = (|i: usize| beginning(choices.texts.get(i).map_or("", String::as_str)), choices.what);
    let others = |count: usize, one: &str, many: &str| match count {
        0 | 1 => String::new(),
        2 => format!("; 1 other {what} {one} too"),
        n => format!("; {} other {what}s {many} too", n - 1),
    };
    if let Some(&(later, earlier)) = unclear.same.first() {
        out.note(&format!(
            "{}: \"{}\" has the same tokens as \"{}\" ({}): the model cannot tell them apart and scores them alike{}",
            choices.place(later),
            text(later),
            text(earlier),
            choices.place(earlier),
            others(unclear.same.len(), "repeats the tokens of another", "repeat the tokens of others")
        ));
    }
    let of = |all: bool| unclear.unknown.iter().filter(move |unknown| unknown.all == all);
    if let Some(UnknownWords { index, .. }) = of(true).next() {
        out.note(&format!(
            "{}: the model knows no word of \"{}\", so its score means nothing: say it in other words{}",
            choices.place(*index),
            text(*index),
            others(of(true).count(), "is unknown", "are unknown")
        ));
    }
    if let Some(UnknownWords { index, words, .. }) = of(false).next() {
        let mut shown: Vec<String> = words.iter().take(SHOWN).map(|word| format!("\"{}\"", beginning(word))).collect();
        if words.len() > SHOWN {
            shown.push("…".into());
        }
        out.note(&format!(
            "{}: \"{}\" has words that the model does not know: {}{}",
            choices.place(*index),
            text(*index),
            shown.join(", "),
            others(of(false).count(), "has such words", "have such words")
        ));
    }
}

/// A line for each ranked item: what was looked at (on the first line of its ranking only), score, cosine or logit, name. `cells`
/// gives score, cosine or logit, and name of an item.
pub fn ranking<T>(inputs: &[String], ranked: &[Vec<T>], cells: impl Fn(&T) -> (f64, f32, String)) -> String {
    let mut rows = Vec::new();
    for (input, items) in inputs.iter().zip(ranked) {
        for (i, item) in items.iter().enumerate() {
            let input = if i == 0 { input.clone() } else { String::new() };
            let (score, value, name) = cells(item);
            rows.push(vec![input, format!("{:5.1} %", 100.0 * score), format!("{value:+.3}"), name]);
        }
    }
    output::columns(&rows)
}
