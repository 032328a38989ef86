//! Output: results on standard output, everything else on standard error.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use vljepa::embed::files::{PassedOver, passed_over};
use vljepa::embed::visuals::{Noted, Progress, Reading, Skipped};

use super::failure::{Failure, Result};

/// Writes results and notes.
pub struct Output {
    /// Whether the result is one JSON document instead of text.
    pub json: bool,
    /// What of folders was passed over, for the document.
    passed: RefCell<Option<PassedOver>>,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json, passed: RefCell::default() }
    }

    /// Prints the result as a JSON document. Half a document is none: a reader that closes its end too early is an error.
    pub fn document(&self, value: &impl Serialize) -> Result {
        // Fails only for values that JSON cannot express.
        let unwritable = |e| Failure::message(format!("the result cannot be written as JSON: {e}"));
        let text = match self.passed.borrow().as_ref() {
            Some(passed) => {
                let mut value = serde_json::to_value(value).map_err(unwritable)?;
                if let Value::Object(fields) = &mut value {
                    fields.insert("passed_over".into(), serde_json::to_value(passed).map_err(unwritable)?);
                }
                serde_json::to_string(&value)
            }
            None => serde_json::to_string(value),
        };
        let text = text.map_err(unwritable)?;
        // JSON escapes the control characters of ASCII; some terminals obey those beyond it too.
        let escape = |c: char| match c {
            '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(c)).chars().collect(),
            c => vec![c],
        };
        let text = text.chars().flat_map(escape).chain(['\n']).collect::<String>();
        self.write(&text).map_err(|failure| match failure {
            Failure::Stdout(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                Failure::message("standard output: it was closed before the JSON document was written")
            }
            other => other,
        })
    }

    /// Prints the result as text, with control characters escaped other than ends of lines and tabs.
    pub fn text(&self, text: &str) -> Result {
        self.write(&text.split_inclusive(['\n', '\t']).map(line).collect::<String>())
    }

    fn write(&self, text: &str) -> Result {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Stdout)
    }

    /// Prints a line on stderr, with control characters escaped; failures are ignored.
    pub fn note(&self, line: &str) {
        let _ = writeln!(std::io::stderr(), "{}", printable(line));
    }

    /// Prints a line on stderr for each file that was left out.
    pub fn skipped(&self, skipped: &[Skipped]) {
        for skip in skipped {
            self.note(&format!("skipped: {}", skip.error));
        }
    }

    /// Prints a line on stderr for each note of a file.
    pub fn noted(&self, notes: &[Noted]) {
        for Noted { path, note } in notes {
            self.note(&format!("{}: {note}", path.display()));
        }
    }

    /// Prints a line on stderr about what of folders was passed over, and puts it into the document.
    pub fn passed_over(&self, passed: &PassedOver) {
        if !passed.is_empty() {
            self.note(&passed_over(passed));
        }
        self.passed.replace(Some(passed.clone()));
    }

    /// A progress bar on stderr; hidden unless stderr is a terminal.
    pub fn progress(&self, what: &'static str, total: usize) -> ProgressBar {
        bar(what, total as u64, "{msg} {bar:32} {pos}/{len}  {per_sec}  {eta} left")
    }
}

/// The progress of work on files, on stderr; hidden unless stderr is a terminal.
pub struct FilesBar {
    bar: ProgressBar,
    begun: Instant,
    /// Whether videos become several rows, whose number is not known before.
    clips: bool,
}

/// Steps of the bar for one file, where files are done by parts.
const PARTS: f64 = 1000.0;

impl FilesBar {
    pub fn new(files: usize, reading: &Reading) -> Self {
        let (begun, clips) = (Instant::now(), reading.sampling.has_windows());
        let total = if clips { files as f64 * PARTS } else { files as f64 };
        let template = match clips {
            true => "{msg} {bar:32} {percent} %  {eta} left",
            false => "{msg} {bar:32} {pos}/{len}  {per_sec}  {eta} left",
        };
        Self { bar: bar("pictures", total as u64, template), begun, clips }
    }

    pub fn set(&self, progress: Progress) {
        if !self.clips {
            return self.bar.set_position(progress.files as u64);
        }
        let speed = progress.rows as f64 / self.begun.elapsed().as_secs_f64().max(1e-3);
        self.bar.set_message(format!("{} clips, {speed:.1}/s", progress.rows));
        self.bar.set_position(((progress.files as f64 + progress.within) * PARTS) as u64);
    }

    /// Prints a line without disturbing the bar.
    pub fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn bar(what: &'static str, total: u64, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    // Cleared when it is dropped, so that an error stands on a line of its own.
    let bar = ProgressBar::new(total).with_message(what).with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// The paths of the files that were left out, for a JSON document.
pub fn paths(skipped: &[Skipped]) -> Vec<String> {
    skipped.iter().map(|s| s.path.display().to_string()).collect()
}

/// The notes of files, for a JSON document.
pub fn notes(notes: &[Noted]) -> Vec<Value> {
    notes.iter().map(|Noted { path, note }| json!({ "input": path.display().to_string(), "note": note })).collect()
}

/// Escapes control characters: names come from files and servers, and must not control the terminal.
pub fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] }).collect()
}

/// A piece of text with the character that ends it, escaped before that.
fn line(piece: &str) -> String {
    let end = piece.len() - usize::from(piece.ends_with(['\n', '\t']));
    printable(&piece[..end]) + &piece[end..]
}

/// Widest column that shorter cells are padded to, in characters.
const MAX_WIDTH: usize = 200;

/// Lays out rows in columns: every cell except the last of a row is padded to the width of its column.
pub fn columns(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    // One cell of a million characters must not widen all others.
    let widths: Vec<usize> = (0..columns).map(|c| width(c).min(MAX_WIDTH)).collect();
    let mut out = String::new();
    for row in &rows {
        for (c, cell) in row.iter().enumerate() {
            out += cell;
            if c + 1 < row.len() {
                // The formatter takes no width above 65,535.
                out.extend(std::iter::repeat_n(' ', widths[c].saturating_sub(cell.chars().count()) + 2));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_control_the_terminal() {
        assert_eq!(line("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\n");
        let rows = [vec!["a\nb".to_owned(), "c\td\u{9b}".to_owned()], vec!["e".into(), "f".into()]];
        assert_eq!(columns(&rows), "a\\nb  c\\td\\u{9b}\ne     f\n");
    }

    #[test]
    fn cells_of_any_length_are_laid_out() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(columns(&[row(["ab", "c"]), row(["d", "e"])]), "ab  c\nd   e\n");
        let long = "x".repeat(70_000);
        let text = columns(&[row([&long, "c"]), row(["d", "e"])]);
        assert_eq!(text, format!("{long}  c\nd{}  e\n", " ".repeat(MAX_WIDTH - 1)));
        assert_eq!(columns(&[]), "");
    }
}
