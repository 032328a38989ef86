//! `tidy`: the rules of the repository that a compiler does not check.
//!
//! `scan` tells code from comments, `text` holds the rules for one file, `tree` those for files together.

mod scan;
mod text;
mod tree;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Result, Verb, failed, no_options, process, workspace};

/// The verb.
pub const VERB: Verb = Verb {
    name: "tidy",
    about: "The rules of the repository that a compiler does not check.",
    help: HELP,
    run: |args| {
        no_options(args)?;
        run()
    },
};

const HELP: &str = "\
Usage: cargo xtask tidy

File length (500 lines warn, 800 fail), a README in every package, no panics in library code, no ignored tests, who may
name wgpu and who image and archive crates, the direction of dependencies, headers and includes of shaders, every
kernel in the table, every operator with its twin and its test, committed binaries of at most 40 MB, white space.
Exceptions, each with its reason, are in xtask/tidy-allow.txt.
";

const ALLOW_FILE: &str = "xtask/tidy-allow.txt";

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    /// From 1; 0 for the whole file.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
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
    warnings: Vec<Finding>,
    failures: Vec<Finding>,
}

/// The files of the repository by path from its root, with `/` between parts.
#[derive(Debug, Default)]
pub struct Tree {
    /// Files of text.
    texts: BTreeMap<String, String>,
    /// Other files, with their size in bytes.
    binaries: BTreeMap<String, u64>,
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
    fn parse(text: &str, tree: &Tree, report: &mut Report) -> Self {
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
    fn holds(&self, rule: &str, path: &str) -> bool {
        let key = (rule.to_owned(), path.to_owned());
        let excused = self.lines.contains_key(&key);
        if excused {
            self.used.borrow_mut().insert(key);
        }
        excused
    }

    /// Exceptions that excuse nothing: warnings, so that mending a file never fails.
    fn report_unused(&self, report: &mut Report) {
        let used = self.used.borrow();
        for ((rule, path), line) in self.lines.iter().filter(|(key, _)| !used.contains(key)) {
            report.warnings.push(Finding::new(ALLOW_FILE, *line, format!("`{rule} {path}` is not needed: remove it")));
        }
    }
}

/// Prints what is found; failures make it fail.
pub fn run() -> Result {
    let report = inspect()?;
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    for failure in &report.failures {
        eprintln!("{failure}");
    }
    match report.failures.len() {
        0 => Ok(()),
        1 => Err(failed("1 place is not tidy; it is listed above")),
        n => Err(failed(format!("{n} places are not tidy; they are listed above"))),
    }
}

fn inspect() -> Result<Report> {
    let tree = read(&workspace::root())?;
    let workspace = workspace::load()?;
    let mut report = Report::default();
    let allow = tree.texts.get(ALLOW_FILE).map_or("", String::as_str);
    let allowed = Allowed::parse(allow, &tree, &mut report);
    for (path, text) in &tree.texts {
        text::check(path, text, &allowed, &mut report);
    }
    tree::check(&tree, &workspace, &allowed, &mut report);
    allowed.report_unused(&mut report);
    report.warnings.sort();
    report.failures.sort();
    Ok(report)
}

/// Reads the files that git tracks or would track; without git, all but build outputs.
fn read(root: &Path) -> Result<Tree> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let paths = match process::output(&mut git) {
        Ok(list) => list.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect(),
        Err(_) => {
            let mut paths = Vec::new();
            walk(root, "", &mut paths);
            paths
        }
    };
    let mut tree = Tree::default();
    for path in paths {
        // A file that was deleted, and the deletion not committed, is still listed.
        let Ok(bytes) = fs::read(root.join(&path)) else { continue };
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => {
                tree.texts.insert(path, text);
            }
            Ok(text) => {
                tree.binaries.insert(path, text.len() as u64);
            }
            Err(error) => {
                tree.binaries.insert(path, error.as_bytes().len() as u64);
            }
        }
    }
    Ok(tree)
}

fn walk(root: &Path, below: &str, paths: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let outputs =
            matches!(name.as_str(), "target" | ".git") || (below.is_empty() && (name == "data" || name == "runs"));
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !outputs => walk(root, &path, paths),
            Ok(kind) if kind.is_file() => paths.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let report = inspect().unwrap();
        let lines: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }

    #[test]
    fn the_tree_is_the_same_without_git_but_for_ignored_files() {
        let dir = tempfile::tempdir().unwrap();
        for (path, bytes) in
            [("a/b.rs", &b"fn f() {}\n"[..]), ("a/c.bin", b"\x00\x01"), ("target/x.rs", b""), ("data/y.rs", b"")]
        {
            let file = dir.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        let tree = read(dir.path()).unwrap();
        assert_eq!(tree.texts.keys().collect::<Vec<_>>(), ["a/b.rs"]);
        assert_eq!(tree.binaries.get("a/c.bin"), Some(&2));
    }

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
