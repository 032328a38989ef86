//! What the rules look at and what they report: files, findings and exceptions.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub const ALLOW_FILE: &str = "xtask/tidy-allow.txt";

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// From the root of the repository.
    pub path: String,
    /// From 1; 0 for the whole file.
    pub line: usize,
    pub message: String,
}

impl Finding {
    pub fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// What the rules found.
#[derive(Debug, Default)]
pub struct Report {
    pub warnings: Vec<Finding>,
    pub failures: Vec<Finding>,
}

/// The files of the repository by path from its root, with `/` between parts.
#[derive(Debug, Default)]
pub struct Tree {
    /// Files of text.
    pub texts: BTreeMap<String, String>,
    /// Other files, with their size in bytes.
    pub binaries: BTreeMap<String, u64>,
}

/// Exceptions, by rule and path.
#[derive(Debug, Default)]
pub struct Allowed {
    /// The line that states each.
    lines: BTreeMap<(String, String), usize>,
    /// Those that a rule asked for.
    used: RefCell<BTreeSet<(String, String)>>,
}

impl Allowed {
    /// Lines of `RULE PATH REASON`; a line that lacks one of them, or whose file is gone, is a failure.
    pub fn parse(text: &str, tree: &Tree, report: &mut Report) -> Self {
        let mut lines = BTreeMap::new();
        for (i, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.splitn(3, char::is_whitespace);
            let (Some(rule), Some(path), Some(_reason)) = (words.next(), words.next(), words.next()) else {
                report.failures.push(Finding::new(ALLOW_FILE, i + 1, "a line is: RULE PATH REASON"));
                continue;
            };
            if !tree.texts.contains_key(path) {
                report.failures.push(Finding::new(ALLOW_FILE, i + 1, format!("there is no file {path}")));
            }
            lines.insert((rule.to_owned(), path.to_owned()), i + 1);
        }
        Self { lines, used: RefCell::default() }
    }

    /// Whether this breach of a rule is excused; ask only where there is one.
    pub fn holds(&self, rule: &str, path: &str) -> bool {
        let key = (rule.to_owned(), path.to_owned());
        let excused = self.lines.contains_key(&key);
        if excused {
            self.used.borrow_mut().insert(key);
        }
        excused
    }

    /// Exceptions that excuse nothing: warnings, so that mending a file never fails.
    pub fn report_unused(&self, report: &mut Report) {
        let used = self.used.borrow();
        for ((rule, path), line) in self.lines.iter().filter(|(key, _)| !used.contains(key)) {
            report.warnings.push(Finding::new(ALLOW_FILE, *line, format!("`{rule} {path}` is not needed: remove it")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_needs_a_reason_and_a_file() {
        let mut tree = Tree::default();
        tree.texts.insert("a.rs".into(), String::new());
        let mut report = Report::default();
        let text = "# a comment\n\nlength a.rs one table\nlength a.rs\nlength gone.rs was long\n";
        let allowed = Allowed::parse(text, &tree, &mut report);
        assert!(allowed.holds("length", "a.rs"));
        assert!(!allowed.holds("op", "a.rs"));
        allowed.report_unused(&mut report);
        assert_eq!(report.warnings.iter().map(|f| f.line).collect::<Vec<_>>(), [5], "the first is used");
        assert_eq!(report.failures.iter().map(|f| f.line).collect::<Vec<_>>(), [4, 5]);
    }
}
