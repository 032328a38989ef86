//! Standard output for results, standard error for everything else.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use vljepa::embed::visuals::Skipped;

use super::failure::{Failure, Result};

/// Where results go.
pub struct Output {
    /// Whether one JSON document is wanted.
    pub json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// The one JSON document of this run.
    pub fn document(&self, value: &impl Serialize) -> Result {
        // Only numbers that are not finite can fail here.
        let text =
            serde_json::to_string(value).map_err(|e| Failure::message(format!("the result is not JSON: {e}")))?;
        self.text(&(text + "\n"))
    }

    /// Text as it is.
    pub fn text(&self, text: &str) -> Result {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// One line on stderr, whatever it holds; lost if nobody listens.
    pub fn note(&self, line: &str) {
        let _ = writeln!(std::io::stderr(), "{}", printable(line));
    }

    /// A line on stderr for each file that was left out.
    pub fn skipped(&self, skipped: &[Skipped]) {
        for skip in skipped {
            self.note(&format!("skipped: {}", skip.error));
        }
    }

    /// A bar on stderr, shown only on a terminal.
    pub fn progress(&self, what: &'static str, total: usize) -> ProgressBar {
        if !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(total as u64).with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:32} {pos}/{len}  {per_sec}  {eta} left") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    }
}

/// The files that were left out, for a document.
pub fn paths(skipped: &[Skipped]) -> Vec<String> {
    skipped.iter().map(|s| s.path.display().to_string()).collect()
}

/// Text with its control characters escaped: names come from files and servers, and a terminal must not obey them.
pub fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] }).collect()
}

/// Text in columns: every cell but the last of a row is padded to the widest of its column.
pub fn columns(rows: &[Vec<String>]) -> String {
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().enumerate();
        let padded = cells.map(|(c, s)| if c + 1 == row.len() { s.clone() } else { format!("{s:<w$}", w = width(c)) });
        out += &padded.collect::<Vec<_>>().join("  ");
        out.push('\n');
    }
    out
}
