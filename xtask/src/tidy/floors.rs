//! The floors of packages: a module imports only from floors below its own. And without any table: no files import each
//! other in a circle.
//!
//! The tables are in `xtask/tidy-floors.txt`. A heading is a folder; each line below it is a floor, the lowest first, with
//! the names of the modules on it. `self` stands for the folder's own file (`lib.rs`, `mod.rs`), where that declares things
//! itself and others import them; a file that only re-exports is on no floor.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::modules::{Import, Modules};
use super::report::{Finding, Report, Tree};

const TABLES: &str = "xtask/tidy-floors.txt";
/// A folder's own file, in a table.
const OWN: &str = "self";

/// One heading and what stands below it.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    folder: String,
    line: usize,
    /// Floor and line of each name.
    floors: BTreeMap<String, (usize, usize)>,
}

fn tables(text: &str, report: &mut Report) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for (i, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(folder) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            tables.push(Table { folder: folder.to_owned(), line: i, floors: BTreeMap::new() });
            continue;
        }
        let Some(table) = tables.last_mut() else {
            report.failures.push(Finding::new(TABLES, i, "a floor before the first heading: [folder]"));
            continue;
        };
        for name in line.split_whitespace() {
            if table.floors.insert(name.to_owned(), (i, i)).is_some() {
                report.failures.push(Finding::new(TABLES, i, format!("{name} is listed twice")));
            }
        }
    }
    tables
}

/// Applies both rules to the packages, each known by its folder.
pub fn check(tree: &Tree, packages: &[String], report: &mut Report) {
    let tables = tables(tree.texts.get(TABLES).map_or("", String::as_str), report);
    let mut known = BTreeSet::new();
    for package in packages {
        let src = format!("{package}/src");
        let modules = Modules::read(tree, &src);
        let imports = modules.imports();
        let below = format!("{src}/");
        let ours = tables.iter().filter(|table| table.folder == src || table.folder.starts_with(&below));
        let ours: Vec<&Table> = ours.collect();
        if !ours.iter().any(|table| table.folder == src) {
            report.failures.push(Finding::new(TABLES, 0, format!("there is no table for {src}")));
        }
        for table in ours {
            known.insert(table.line);
            let prefix: Vec<&str> = table.folder[src.len()..].split('/').filter(|name| !name.is_empty()).collect();
            floors(table, &prefix, &modules, &imports, &mut report.failures);
        }
        report.failures.extend(circles(&modules, &imports));
    }
    for table in tables.iter().filter(|table| !known.contains(&table.line)) {
        let found = Finding::new(TABLES, table.line, format!("there is no package with the folder {}", table.folder));
        report.failures.push(found);
    }
}

/// The name of a module in the table of the folder `prefix`; `None` where it is outside of that.
fn place<'a>(names: &'a [String], prefix: &[&str]) -> Option<&'a str> {
    let inside = names.len() >= prefix.len() && names.iter().zip(prefix).all(|(name, want)| name == want);
    inside.then(|| names.get(prefix.len()).map_or(OWN, String::as_str))
}

fn floors(table: &Table, prefix: &[&str], modules: &Modules, imports: &[Import], found: &mut Vec<Finding>) {
    let listed = |name: &str| table.floors.get(name).map(|(floor, _)| *floor);
    let mut there: BTreeSet<&str> = BTreeSet::new();
    for module in &modules.all {
        let Some(name) = place(&module.names, prefix) else { continue };
        let new = there.insert(name);
        if new && name != OWN && listed(name).is_none() {
            found.push(Finding::new(
                &module.file,
                0,
                format!("{name} is on no floor of [{}] in {TABLES}", table.folder),
            ));
        }
    }
    for (name, (_, line)) in &table.floors {
        if !there.contains(name.as_str()) {
            found.push(Finding::new(TABLES, *line, format!("{} has no module {name}", table.folder)));
        }
    }
    // One finding for each file and each module that it may not import: the first line.
    let mut seen = BTreeSet::new();
    let mut imports: Vec<&Import> = imports.iter().collect();
    imports.sort_by_key(|import| import.line);
    for import in imports {
        let (from, to) = (&modules.all[import.from], &modules.all[import.to]);
        let (Some(a), Some(b)) = (place(&from.names, prefix), place(&to.names, prefix)) else { continue };
        // What is not listed either only re-exports or was reported above.
        if a == b || (import.module && b == OWN) {
            continue;
        }
        let Some(upper) = listed(a) else { continue };
        let path = &import.path;
        let message = match listed(b) {
            Some(lower) if lower < upper => continue,
            Some(lower) if lower == upper => format!("`{path}`: {b} stands on the same floor as {a}"),
            Some(_) => format!("`{path}`: {b} stands on a higher floor than {a}"),
            None if b == OWN => format!("`{path}` is declared in {}, which stands on no floor", to.file),
            None => continue,
        };
        if seen.insert((import.from, b)) {
            found.push(Finding::new(&from.file, import.line, message));
        }
    }
}

/// The shortest circle through each file that is in one and in no circle found before.
fn circles(modules: &Modules, imports: &[Import]) -> Vec<Finding> {
    let mut edges: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
    for import in imports.iter().filter(|import| !import.module) {
        edges.entry(import.from).or_default().entry(import.to).or_insert(import.line);
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for start in 0..modules.all.len() {
        if seen.contains(&start) {
            continue;
        }
        let Some(circle) = shortest(start, &edges) else { continue };
        let line = edges.get(&start).and_then(|to| to.get(circle.get(1)?)).copied().unwrap_or(0);
        let files: Vec<&str> = circle.iter().map(|at| modules.all[*at].file.as_str()).collect();
        found.push(Finding::new(files[0], line, format!("files import each other: {}", files.join(" → "))));
        seen.extend(circle);
    }
    found
}

/// The files of a shortest circle, its start at both ends.
fn shortest(start: usize, edges: &BTreeMap<usize, BTreeMap<usize, usize>>) -> Option<Vec<usize>> {
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(at) = open.pop_front() {
        for next in edges.get(&at).into_iter().flatten().map(|(next, _)| *next) {
            if next == start {
                let mut circle = vec![start, at];
                while let Some(earlier) = circle.last().and_then(|last| before.get(last)) {
                    circle.push(*earlier);
                }
                // A circle of two: the start alone has nothing before it.
                circle.reverse();
                circle.push(start);
                circle.dedup();
                return Some(circle);
            }
            if next != start && !before.contains_key(&next) {
                before.insert(next, at);
                open.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failures of a package `a` with these files and these tables.
    fn failures(table: &str, files: &[(&str, &str)]) -> Vec<String> {
        let texts = files.iter().map(|(path, text)| (format!("a/src/{path}"), (*text).to_owned()));
        let mut tree = Tree { texts: texts.collect(), ..Tree::default() };
        tree.texts.insert(TABLES.to_owned(), table.to_owned());
        let mut report = Report::default();
        check(&tree, &["a".to_owned()], &mut report);
        report.failures.sort();
        report.failures.iter().map(ToString::to_string).collect()
    }

    const LIB: (&str, &str) = ("lib.rs", "mod low;\nmod mid;\nmod other;\npub use low::Low;\n");
    const LOW: (&str, &str) = ("low.rs", "pub struct Low;\n");
    const TABLE: &str = "# comment\n[a/src]\nlow\nmid other\n";

    #[test]
    fn looking_down_is_fine() {
        let mid = ("mid.rs", "use crate::Low;\nuse super::low;\nfn f() { low::Low; crate::low::Low }\n");
        let other = ("other.rs", "#[cfg(test)]\nmod tests { use crate::mid::f; }\n");
        assert!(failures(TABLE, &[LIB, LOW, mid, other]).is_empty());
    }

    #[test]
    fn the_same_floor_and_higher_ones_are_refused() {
        let mid = ("mid.rs", "pub fn f() {}\n");
        let other = ("other.rs", "use crate::{low, mid::{f}};\n");
        assert_eq!(
            failures(TABLE, &[LIB, LOW, mid, other]),
            ["a/src/other.rs:1: `crate::mid::f`: mid stands on the same floor as other"]
        );
        let low = ("low.rs", "pub struct Low;\nfn g() { super::mid::f() }\n");
        assert_eq!(
            failures(TABLE, &[LIB, low, mid, ("other.rs", "")]),
            ["a/src/low.rs:2: `super::mid::f`: mid stands on a higher floor than low"]
        );
        // The module itself counts as well.
        let low = ("low.rs", "pub struct Low;\nuse crate::mid;\n");
        assert_eq!(failures(TABLE, &[LIB, low, mid, ("other.rs", "")]).len(), 1);
    }

    #[test]
    fn tables_and_modules_agree() {
        let files = [LIB, LOW, ("mid.rs", ""), ("other.rs", "")];
        assert_eq!(
            failures("[a/src]\nlow\nmid\n", &files),
            ["a/src/other.rs: other is on no floor of [a/src] in xtask/tidy-floors.txt"]
        );
        assert_eq!(
            failures("[a/src]\nlow gone\nmid other\n", &files),
            ["xtask/tidy-floors.txt:2: a/src has no module gone"]
        );
        assert_eq!(failures("low\n[a/src]\nlow\nmid other low\n", &files).len(), 2);
        assert_eq!(failures("", &files), ["xtask/tidy-floors.txt: there is no table for a/src"]);
        let foreign = format!("{TABLE}[b/src]\nx\n");
        assert_eq!(failures(&foreign, &files), ["xtask/tidy-floors.txt:5: there is no package with the folder b/src"]);
    }

    #[test]
    fn what_the_root_declares_stands_on_a_floor_or_is_not_imported() {
        let lib = ("lib.rs", "mod low;\npub type Result<T> = std::result::Result<T, ()>;\n");
        let low = ("low.rs", "use crate::Result;\n");
        assert_eq!(
            failures("[a/src]\nlow\n", &[lib, low]),
            ["a/src/low.rs:1: `crate::Result` is declared in a/src/lib.rs, which stands on no floor"]
        );
        assert!(failures("[a/src]\nself\nlow\n", &[lib, low]).is_empty());
    }

    #[test]
    fn folders_have_tables_of_their_own() {
        let table = "[a/src]\nops\nuser\n[a/src/ops]\nrows\nnorm\nself\n";
        let lib = ("lib.rs", "mod ops;\nmod user;\n");
        let own = ("ops/mod.rs", "mod norm;\nmod rows;\npub use norm::norm;\npub fn all() { rows::rows() }\n");
        let norm = ("ops/norm.rs", "use super::rows::rows;\npub fn norm() {}\n");
        let rows = ("ops/rows.rs", "pub fn rows() {}\n");
        let user = ("user.rs", "use crate::ops;\nfn f() { ops::norm(); ops::all() }\n");
        assert!(failures(table, &[lib, own, norm, rows, user]).is_empty());
        let rows = ("ops/rows.rs", "use super::norm::norm;\npub fn rows() {}\n");
        let norm = ("ops/norm.rs", "pub fn norm() {}\n");
        assert_eq!(
            failures(table, &[lib, own, norm, rows, user]),
            ["a/src/ops/rows.rs:1: `super::norm::norm`: norm stands on a higher floor than rows"]
        );
    }

    #[test]
    fn files_that_import_each_other_are_a_circle() {
        let table = "[a/src]\none two three\n";
        let lib = ("lib.rs", "mod one;\nmod two;\nmod three;\n");
        let files = [
            lib,
            ("one.rs", "\nuse crate::two::Two;\npub struct One;\n"),
            ("two.rs", "pub struct Two;\nfn f(_: super::three::Three) {}\n"),
            ("three.rs", "pub struct Three;\nuse crate::one::One;\n"),
        ];
        let circle =
            "a/src/one.rs:2: files import each other: a/src/one.rs → a/src/two.rs → a/src/three.rs → a/src/one.rs";
        assert!(failures(table, &files).contains(&circle.to_owned()), "{:?}", failures(table, &files));
    }

    #[test]
    fn a_parent_that_declares_things_may_not_use_its_children_that_need_them() {
        let table = "[a/src]\nops\n";
        let lib = ("lib.rs", "pub mod ops;\n");
        let child = ("ops/norm.rs", "use super::Options;\npub fn norm(_: Options) {}\n");
        let parent = ("ops.rs", "mod norm;\npub use norm::norm;\npub struct Options;\n");
        assert_eq!(
            failures(table, &[lib, parent, child]),
            ["a/src/ops.rs:2: files import each other: a/src/ops.rs → a/src/ops/norm.rs → a/src/ops.rs"]
        );
        // Declaring a child is no import, and a re-export leads to the file that declares the thing.
        let quiet = ("ops.rs", "pub mod norm;\npub struct Options;\n");
        assert!(failures(table, &[lib, quiet, child]).is_empty());
        let only = ("ops.rs", "mod norm;\nmod options;\npub use norm::norm;\npub use options::Options;\n");
        assert!(failures(table, &[lib, only, child, ("ops/options.rs", "pub struct Options;\n")]).is_empty());
    }
}
