//! Output: results on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde::Serialize;
use vljepa::embed::visuals::Skipped;

use super::failure::{Failure, Result};

/// Writes results and notes.
pub struct Output {
    /// Whether the result is one JSON document instead of text.
    pub json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints the result as a JSON document. Half a document is none: a reader that closes its end too early is an error.
    pub fn document(&self, value: &impl Serialize) -> Result {
        // Fails only for values that JSON cannot express.
        let text = serde_json::to_string(value)
            .map_err(|e| Failure::message(format!("the result cannot be written as JSON: {e}")))?;
        let lost = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => {
                Failure::message("standard output: it was closed before the JSON document was written")
            }
            _ => Failure::Stdout(error),
        };
        self.text(&(text + "\n")).map_err(|failure| match failure {
            Failure::Stdout(error) => lost(error),
            other => other,
        })
    }

    /// Prints the result as text.
    pub fn text(&self, text: &str) -> Result {
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

    /// A progress bar on stderr; hidden unless stderr is a terminal.
    pub fn progress(&self, what: &'static str, total: usize) -> ProgressBar {
        if !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        // Cleared when it is dropped, so that an error stands on a line of its own.
        let bar = ProgressBar::new(total as u64).with_message(what).with_finish(ProgressFinish::AndClear);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:32} {pos}/{len}  {per_sec}  {eta} left") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    }
}

/// The paths of the files that were left out, for a JSON document.
pub fn paths(skipped: &[Skipped]) -> Vec<String> {
    skipped.iter().map(|s| s.path.display().to_string()).collect()
}

/// Escapes control characters: names come from files and servers, and must not control the terminal.
pub fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] }).collect()
}

/// Widest column that shorter cells are padded to, in characters.
const MAX_WIDTH: usize = 200;

/// Lays out rows in columns: every cell except the last of a row is padded to the width of its column.
pub fn columns(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    // One cell of a million characters must not widen all others.
    let widths: Vec<usize> = (0..columns).map(|c| width(c).min(MAX_WIDTH)).collect();
    let mut out = String::new();
    for row in rows {
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
    fn cells_of_any_length_are_laid_out() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(columns(&[row(["ab", "c"]), row(["d", "e"])]), "ab  c\nd   e\n");
        let long = "x".repeat(70_000);
        let text = columns(&[row([&long, "c"]), row(["d", "e"])]);
        assert_eq!(text, format!("{long}  c\nd{}  e\n", " ".repeat(MAX_WIDTH - 1)));
        assert_eq!(columns(&[]), "");
    }
}
