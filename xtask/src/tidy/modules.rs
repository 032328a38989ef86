//! The modules of a package and what each file imports from which other: enough of Rust's name resolution for the rules on
//! floors and circles. Test code, comments and strings do not count.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{Parsed, parse};
use super::report::Tree;

/// A path of names, such as `crate`, `error`, `DataError`.
type Path = Vec<String>;

/// A module: a file, or a part of one.
#[derive(Debug)]
pub struct Module {
    /// Path of the file from the root of the repository.
    pub file: String,
    /// Names from the root of the crate on; empty for `lib.rs` and `main.rs`. A module within a file has the file's.
    pub names: Path,
    /// The module that is the file.
    home: usize,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    parsed: Parsed,
}

/// A file names something that another file holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub from: usize,
    pub to: usize,
    /// From 1, in the file that imports.
    pub line: usize,
    /// The path as it is written.
    pub path: String,
    /// Whether it is the module itself that is named, and nothing in it.
    pub module: bool,
}

/// The modules of a package's library and programs.
#[derive(Debug, Default)]
pub struct Modules {
    pub all: Vec<Module>,
    /// Modules that hold an exported macro of that name.
    macros: BTreeMap<String, usize>,
}

/// Where a path leads.
enum Found {
    Module(usize),
    /// Something that this module holds.
    Item(usize),
    /// Another crate.
    Outside,
}

impl Modules {
    /// Reads the crates whose roots, `lib.rs` and `main.rs`, lie in the folder `src`.
    pub fn read(tree: &Tree, src: &str) -> Self {
        let mut modules = Self::default();
        for root in ["lib.rs", "main.rs"] {
            modules.add(tree, &format!("{src}/{root}"), src, Vec::new(), None);
        }
        modules
    }

    /// Adds a file and the modules that it declares; `below` is the folder of those.
    fn add(&mut self, tree: &Tree, file: &str, below: &str, names: Path, parent: Option<usize>) -> Option<usize> {
        let mut parsed = parse(tree.texts.get(file)?);
        let id = self.all.len();
        let declared = std::mem::take(&mut parsed.modules);
        self.add_parsed(file, parsed, names.clone(), id, parent);
        for name in declared {
            let folder = format!("{below}/{name}");
            let mut names = names.clone();
            names.push(name.clone());
            let child = [format!("{folder}.rs"), format!("{folder}/mod.rs")]
                .iter()
                .find_map(|file| self.add(tree, file, &folder, names.clone(), Some(id)));
            if let Some(child) = child {
                self.all[id].children.insert(name, child);
            }
        }
        Some(id)
    }

    /// Adds what was read of a file, and the modules within it.
    fn add_parsed(&mut self, file: &str, mut parsed: Parsed, names: Path, home: usize, parent: Option<usize>) -> usize {
        let id = self.all.len();
        for name in &parsed.macros {
            self.macros.insert(name.clone(), id);
        }
        let inner = std::mem::take(&mut parsed.inner);
        let children = BTreeMap::new();
        self.all.push(Module { file: file.to_owned(), names: names.clone(), home, parent, children, parsed });
        for (name, parsed) in inner {
            let child = self.add_parsed(file, parsed, names.clone(), home, Some(id));
            self.all[id].children.insert(name, child);
        }
        id
    }

    /// Everything that a file names of another file of the same crate, once for each pair of files and path.
    pub fn imports(&self) -> Vec<Import> {
        let mut imports = BTreeSet::new();
        for (from, module) in self.all.iter().enumerate() {
            let uses = module.parsed.uses.iter().map(|one| (&one.path, one.line, one.glob));
            let code = module.parsed.paths.iter().map(|(path, line)| (path, *line, false));
            for (path, line, glob) in uses.chain(code) {
                let (to, is_module) = match self.resolve(from, path, !glob, 0) {
                    Some(Found::Item(to)) => (to, false),
                    Some(Found::Module(to)) => (to, !glob),
                    Some(Found::Outside) | None => continue,
                };
                let (from, to) = (module.home, self.all[to].home);
                if to != from {
                    imports.insert(Import { from, to, line, path: path.join("::"), module: is_module });
                }
            }
        }
        imports.into_iter().collect()
    }

    /// Follows a path; `item` says whether its last name may be an item with the name of a module, too.
    fn resolve(&self, from: usize, path: &[String], item: bool, depth: usize) -> Option<Found> {
        // Re-exports may name each other in a circle.
        if depth > 16 {
            return None;
        }
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Found::Module(self.root(from)),
            "self" => Found::Module(from),
            "super" => Found::Module(self.all[from].parent?),
            name => self.look_up(from, name, item && rest.is_empty(), depth)?,
        };
        let mut at = match start {
            Found::Module(at) => at,
            found => return Some(found),
        };
        for (i, name) in rest.iter().enumerate() {
            let next = match name.as_str() {
                "self" => Some(Found::Module(at)),
                "super" => self.all[at].parent.map(Found::Module),
                name => self.look_up(at, name, item && i + 1 == rest.len(), depth),
            };
            match next {
                Some(Found::Module(next)) => at = next,
                Some(found) => return Some(found),
                // A macro that is exported stands at the root; what else is not found was made by a macro.
                None => return Some(Found::Item(self.macros.get(name).copied().unwrap_or(at))),
            }
        }
        Some(Found::Module(at))
    }

    /// What a name means in a module: a module below it, its own, or what it re-exports. With `item`, a function that has the
    /// name of a module goes before that.
    fn look_up(&self, at: usize, name: &str, item: bool, depth: usize) -> Option<Found> {
        match self.all[at].children.get(name) {
            Some(child) if !item => Some(Found::Module(*child)),
            Some(child) => match self.other(at, name, item, depth) {
                Some(Found::Item(found)) => Some(Found::Item(found)),
                _ => Some(Found::Module(*child)),
            },
            None => self.other(at, name, item, depth),
        }
    }

    /// [`Self::look_up`], leaving out the modules below.
    fn other(&self, at: usize, name: &str, item: bool, depth: usize) -> Option<Found> {
        let parsed = &self.all[at].parsed;
        if depth > 16 {
            return None;
        }
        if parsed.items.contains(name) {
            return Some(Found::Item(at));
        }
        if let Some(named) = parsed.uses.iter().find(|one| !one.glob && one.name == name) {
            // `use crate::name` of a macro that is exported from this very module.
            let itself = named.path.last().is_some_and(|last| last == name) && self.macros.get(name) == Some(&at);
            if itself {
                return Some(Found::Item(at));
            }
            return self.resolve(at, &named.path, item, depth + 1).or(Some(Found::Outside));
        }
        let globs = parsed.uses.iter().filter(|one| one.glob);
        globs.into_iter().find_map(|one| match self.resolve(at, &one.path, false, depth + 1) {
            Some(Found::Module(other)) if other != at => self.look_up(other, name, item, depth + 1),
            _ => None,
        })
    }

    fn root(&self, mut at: usize) -> usize {
        while let Some(parent) = self.all[at].parent {
            at = parent;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(files: &[(&str, &str)]) -> Modules {
        let texts = files.iter().map(|(path, text)| (format!("a/src/{path}"), (*text).to_owned()));
        let tree = Tree { texts: texts.collect(), ..Tree::default() };
        Modules::read(&tree, "a/src")
    }

    /// Imports as `from → to`, modules in brackets.
    fn shown(files: &[(&str, &str)]) -> Vec<String> {
        let modules = modules(files);
        let name = |at: usize| modules.all[at].file.trim_start_matches("a/src/").to_owned();
        let one = |i: &Import| {
            let (from, to) = (name(i.from), name(i.to));
            if i.module { format!("{from} → [{to}]") } else { format!("{from} → {to}") }
        };
        let mut lines: Vec<String> = modules.imports().iter().map(one).collect();
        lines.sort();
        lines.dedup();
        lines
    }

    #[test]
    fn paths_lead_to_the_files_that_hold_the_items() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\npub use a::Thing;\npub use foreign::Other;\n"),
            ("a.rs", "pub struct Thing;\n"),
            ("b.rs", "mod c;\nuse crate::{Other, Thing};\n"),
            ("b/c.rs", "fn f() { crate::a::Thing::new(); super::super::a::g() }\n"),
        ];
        assert_eq!(shown(&files), ["b.rs → a.rs", "b/c.rs → a.rs", "lib.rs → a.rs"]);
    }

    #[test]
    fn names_of_modules_are_followed() {
        let files = [
            ("lib.rs", "mod ops;\nmod user;\n"),
            ("ops/mod.rs", "mod norm;\nmod rows;\npub use norm::{layer, Norm as Scale};\npub use rows::*;\n"),
            ("ops/norm.rs", "pub fn layer() {}\npub struct Norm;\n"),
            ("ops/rows.rs", "pub fn rows() {}\n"),
            ("user.rs", "use crate::ops::{self, Scale};\nfn f() { ops::layer(); ops::rows(); self::ops::made(); }\n"),
        ];
        assert_eq!(
            shown(&files),
            [
                "ops/mod.rs → ops/norm.rs",
                "ops/mod.rs → ops/rows.rs",
                "user.rs → [ops/mod.rs]",
                "user.rs → ops/mod.rs",
                "user.rs → ops/norm.rs",
                "user.rs → ops/rows.rs",
            ]
        );
    }

    #[test]
    fn tests_comments_and_other_crates_do_not_count() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n"),
            (
                "a.rs",
                "//! [`crate::b::X`]\nuse std::fmt;\nfn f() { g(\"crate::b\"); fmt::b(); Vec::<u8>::b(); }\n#[cfg(test)]\nmod tests { use crate::b::X; }\n",
            ),
            ("b.rs", "pub struct X;\n"),
        ];
        assert!(shown(&files).is_empty());
    }

    #[test]
    fn macros_and_modules_within_a_file() {
        let files = [
            ("lib.rs", "mod kernel;\nmod norm;\n"),
            (
                "kernel.rs",
                "#[macro_export]\nmacro_rules! params { () => { $crate::kernel::Params } }\npub(crate) use crate::params;\npub struct Params;\n",
            ),
            (
                "norm.rs",
                "use crate::kernel::params;\nparams! {}\nmod inner { use super::*; use super::super::kernel::Params; }\n",
            ),
        ];
        assert_eq!(shown(&files), ["norm.rs → kernel.rs"]);
    }

    #[test]
    fn modules_within_a_file_re_export_too() {
        let files = [
            ("lib.rs", "mod llama;\nmod user;\npub mod config { pub use crate::llama::LlamaConfig; }\n"),
            ("llama.rs", "pub struct LlamaConfig;\n"),
            ("user.rs", "use crate::config::LlamaConfig;\n"),
        ];
        assert_eq!(shown(&files), ["lib.rs → llama.rs", "user.rs → llama.rs"]);
    }

    #[test]
    fn a_program_beside_a_library_has_its_own_root() {
        let files = [
            ("lib.rs", "mod a;\n"),
            ("a.rs", ""),
            ("main.rs", "mod cli;\nfn main() { cli::run() }\n"),
            ("cli/mod.rs", "pub fn run() { crate::a::f() }\n"),
        ];
        assert_eq!(shown(&files), ["cli/mod.rs → main.rs", "main.rs → cli/mod.rs"]);
    }
}
