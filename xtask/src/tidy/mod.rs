//! `tidy`: the rules of the repository that a compiler does not check.
//!
//! `scan` tells code from comments, `parse` and `modules` read what files import; `text` holds the rules for one file,
//! `tree`, `floors` and `words` those for files together.

mod floors;
mod modules;
mod parse;
mod report;
mod scan;
mod text;
mod tree;
mod words;

use std::fs;
use std::path::Path;
use std::process::Command;

use report::{ALLOW_FILE, Allowed, Report, Tree};

use crate::verb::{Result, Verb, failed, no_options};
use crate::{process, workspace};

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
name wgpu and who image and archive crates, the direction of dependencies between packages and, by the floors of
xtask/tidy-floors.txt, between the modules of one, no files that import each other, no flags and verbs of the command in
library code, headers and includes of shaders, every kernel in the table, every operator with its twin and its test,
committed binaries of at most 48 MB, white space. Exceptions, each with its reason, are in xtask/tidy-allow.txt.
";

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
}
