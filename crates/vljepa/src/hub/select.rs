//! Selects the files of a repository to fetch.

use vljepa_embed::names::{PYTORCH_WEIGHTS, WEIGHTS, WEIGHTS_INDEX};

use super::error::HubError;
use super::names::{FileName, RepoId};

/// Patterns of further files to fetch: tokenizer files that are not JSON, the model card, the licence.
const PLAIN: [&str; 6] = ["vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "README.md", "LICENSE*"];
/// Patterns of training files with the extensions of weights.
const NO_WEIGHTS: [&str; 5] = ["optimizer*", "scheduler*", "rng_state*", "training_args*", "scaler*"];

/// Patterns of files to include and to exclude. `*` matches any text, including `/`; `?` matches one character; `[a-c]`
/// and `[!a-c]` match one character of a set; a pattern that ends in `/` matches all files of the folder.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patterns<'a> {
    pub(super) include: &'a [String],
    pub(super) exclude: &'a [String],
}

impl Patterns<'_> {
    /// Selects from `names`, the files of a repository: the files that `include` matches, or if it is empty, the files
    /// that this program reads; without those that `exclude` matches.
    ///
    /// # Errors
    /// A pattern of `include` without a match, several checkpoints with no pattern to choose one, an empty selection.
    pub(super) fn choose(&self, repo: &RepoId, names: &[String]) -> Result<Vec<FileName>, HubError> {
        let fail = |reason| HubError::Selection { repo: repo.as_str().to_owned(), reason };
        for pattern in self.include {
            if !names.iter().any(|n| matches(pattern, n)) {
                let some: Vec<&str> = names.iter().take(12).map(String::as_str).collect();
                let more = if names.len() > some.len() { ", …" } else { "" };
                return Err(fail(format!(
                    "no file matches `include` {pattern:?}; the files are {}{more}",
                    some.join(", ")
                )));
            }
        }
        let kept = |n: &&String| !self.excludes(n);
        let chosen: Vec<&String> = if self.include.is_empty() {
            let kept: Vec<&String> = names.iter().filter(kept).collect();
            by_default(&kept).map_err(fail)?
        } else {
            names.iter().filter(|n| self.include.iter().any(|p| matches(p, n))).filter(kept).collect()
        };
        if chosen.is_empty() {
            let reason = "none of its files is one that this program reads; name files in `include`";
            return Err(fail(if self.include.is_empty() { reason.into() } else { "`exclude` leaves nothing".into() }));
        }
        let mut files = chosen.into_iter().map(|n| FileName::parse(n)).collect::<Result<Vec<_>, _>>()?;
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// Whether `exclude` leaves a file out.
    pub(super) fn excludes(&self, name: &str) -> bool {
        self.exclude.iter().any(|p| matches(p, name))
    }
}

/// Whether a file holds weights.
pub(super) fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors") || is_pickle(name)
}

fn is_pickle(name: &str) -> bool {
    [".pt", ".pth", ".bin"].iter().any(|e| name.ends_with(e))
}

/// Splits a path into its folder, empty for the root, and its file name.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

/// Whether this program reads files in a folder: the root, or a module of sentence-transformers such as `2_Dense`.
fn is_read_folder(folder: &str) -> bool {
    let module = |f: &str| {
        f.split_once('_').is_some_and(|(n, kind)| {
            !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) && kind.starts_with(|c: char| c.is_ascii_uppercase())
        })
    };
    folder.is_empty() || (!folder.contains('/') && module(folder))
}

/// The files that this program reads: configurations, tokenizers and safetensors; a PyTorch file if there are no
/// safetensors.
fn by_default<'a>(names: &[&'a String]) -> Result<Vec<&'a String>, String> {
    let has = |folder: &str, file: &str| {
        names.iter().any(|n| {
            let (f, name) = split(n);
            f == folder && name == file
        })
    };
    let safetensors = |name: &str| {
        let (folder, file) = split(name);
        if !file.ends_with(".safetensors") || !is_read_folder(folder) {
            return false;
        }
        if has(folder, WEIGHTS) {
            return file == WEIGHTS;
        }
        // A consolidated file repeats the weights of the shards for another program.
        !(has(folder, WEIGHTS_INDEX) && file.starts_with("consolidated"))
    };
    let plain = |name: &str| {
        let (folder, file) = split(name);
        is_read_folder(folder) && (file.ends_with(".json") || PLAIN.iter().any(|p| matches(p, file)))
    };
    let mut chosen: Vec<&String> = names.iter().copied().filter(|n| safetensors(n) || plain(n)).collect();
    chosen.extend(pickles(names, |folder| names.iter().any(|n| safetensors(n) && split(n).0 == folder))?);
    Ok(chosen)
}

/// The PyTorch file of every folder that this program reads and for which `has_weights` is false.
fn pickles<'a>(names: &[&'a String], has_weights: impl Fn(&str) -> bool) -> Result<Vec<&'a String>, String> {
    let mut by_folder: std::collections::BTreeMap<&str, Vec<&'a String>> = std::collections::BTreeMap::new();
    for name in names {
        let (folder, file) = split(name);
        if is_pickle(file)
            && is_read_folder(folder)
            && !has_weights(folder)
            && !NO_WEIGHTS.iter().any(|p| matches(p, file))
        {
            by_folder.entry(folder).or_default().push(name);
        }
    }
    let mut chosen = Vec::new();
    for candidates in by_folder.into_values() {
        let standard = candidates.iter().find(|n| split(n).1 == PYTORCH_WEIGHTS);
        match (standard, candidates.as_slice()) {
            (Some(one), _) | (None, [one]) => chosen.push(*one),
            _ => {
                let list: Vec<&str> = candidates.iter().map(|n| n.as_str()).take(12).collect();
                return Err(format!(
                    "no safetensors but {} PyTorch files ({}); name the wanted one and its configuration in `include`",
                    candidates.len(),
                    list.join(", ")
                ));
            }
        }
    }
    Ok(chosen)
}

/// Whether `name` matches `pattern`; see [`Patterns`]. Takes at most `pattern.len() * name.len()` steps.
fn matches(pattern: &str, name: &str) -> bool {
    let mut pattern: Vec<char> = pattern.replace('\\', "/").chars().collect();
    if pattern.last() == Some(&'/') {
        pattern.push('*');
    }
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Position of the last star in the pattern, and position in the name where the text that it matches ends.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => match set(&pattern[p..], name[n]) {
                Some((true, len)) => Some(p + len),
                Some((false, _)) => None,
                None => (name[n] == '[').then_some(p + 1),
            },
            Some(&c) => (c == name[n]).then_some(p + 1),
            None => None,
        };
        match (step, star) {
            (Some(next), _) => (p, n) = (next, n + 1),
            (None, Some((at, taken))) => {
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Whether the set at the start of `pattern` contains `c`, and the set's length. `None` if the bracket is not closed.
fn set(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negated = pattern.get(1) == Some(&'!');
    let first = if negated { 2 } else { 1 };
    // A `]` in the first place is a member of the set.
    let end = (first + 1..pattern.len()).find(|&i| pattern[i] == ']')?;
    let members = &pattern[first..end];
    let (mut i, mut contained) = (0, false);
    while i < members.len() {
        if members.get(i + 1) == Some(&'-') && i + 2 < members.len() {
            contained |= (members[i]..=members[i + 2]).contains(&c);
            i += 3;
        } else {
            contained |= members[i] == c;
            i += 1;
        }
    }
    Some((contained != negated, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| (*n).to_owned()).collect()
    }

    fn chosen(has: &[&str], include: &[&str], exclude: &[&str]) -> Result<Vec<String>, String> {
        let (include, exclude) = (names(include), names(exclude));
        let patterns = Patterns { include: &include, exclude: &exclude };
        match patterns.choose(&RepoId::parse("a/b").unwrap(), &names(has)) {
            Ok(files) => Ok(files.iter().map(|f| f.as_str().to_owned()).collect()),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn patterns_are_those_of_shells() {
        for (pattern, name, want) in [
            ("*.json", "a/b.json", true),
            ("*.json", "a.jsonl", false),
            ("best.pt", "best.pt", true),
            ("best.pt", "a/best.pt", false),
            ("2_Dense/", "2_Dense/model.safetensors", true),
            ("2_Dense\\*", "2_Dense/x", true),
            ("?.bin", "ab.bin", false),
            ("model-0000[1-3]*", "model-00002-of-00004", true),
            ("model-0000[!1-3]*", "model-00002-of-00004", false),
            ("[]]x", "]x", true),
            ("[a-]", "-", true),
            ("[x", "[x", true),
            ("**a**", "bab", true),
            ("*a*b*c", "aabbcc", true),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("A*", "a", false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
        let hard = "a*".repeat(60) + "b";
        assert!(!matches(&hard, &"a".repeat(2000)));
    }

    #[test]
    fn what_is_read_is_fetched() {
        let gemma = [
            ".gitattributes",
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "README.md",
            "2_Dense/pytorch_model.bin",
            "config.json",
            "model.safetensors",
            "modules.json",
            "tokenizer.json",
            "tokenizer.model",
            "onnx/model.onnx",
            "onnx/config.json",
            "pytorch_model.bin",
            "original/consolidated.00.pth",
        ];
        let want = [
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "README.md",
            "config.json",
            "model.safetensors",
            "modules.json",
            "tokenizer.json",
            "tokenizer.model",
        ];
        assert_eq!(chosen(&gemma, &[], &[]).unwrap(), want);
        let sharded =
            ["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors", "consolidated.safetensors"];
        assert_eq!(chosen(&sharded, &[], &[]).unwrap(), [sharded[1], sharded[2], sharded[0]]);
        let twice = ["model.safetensors", "model.fp16.safetensors", "config.json"];
        assert_eq!(chosen(&twice, &[], &[]).unwrap(), ["config.json", "model.safetensors"]);
        assert_eq!(chosen(&["lora.safetensors"], &[], &[]).unwrap(), ["lora.safetensors"]);
    }

    #[test]
    fn pickles_only_where_nothing_else_is() {
        assert_eq!(chosen(&[".gitattributes", "README.md", "best.pt"], &[], &[]).unwrap(), ["README.md", "best.pt"]);
        let old = ["config.json", "pytorch_model.bin", "training_args.bin", "optimizer.pt", "other.bin"];
        assert_eq!(chosen(&old, &[], &[]).unwrap(), ["config.json", "pytorch_model.bin"]);
        let two = chosen(&["best.pt", "last.pt"], &[], &[]).unwrap_err();
        assert!(two.contains("best.pt, last.pt") && two.contains("`include`"), "{two}");
        assert_eq!(chosen(&["best.pt", "last.pt"], &["best.pt"], &[]).unwrap(), ["best.pt"]);
        assert_eq!(chosen(&["best.pt", "last.pt"], &[], &["last*"]).unwrap(), ["best.pt"]);
        assert_eq!(chosen(&["a.pt", "model.safetensors"], &["*.pt"], &[]).unwrap(), ["a.pt"]);
        // Without the safetensors, the pickle is what there is.
        assert_eq!(chosen(&["a.pt", "model.safetensors"], &[], &["*.safetensors"]).unwrap(), ["a.pt"]);
    }

    #[test]
    fn what_cannot_be_chosen_is_said() {
        let none = chosen(&["a.txt"], &[], &[]).unwrap_err();
        assert!(none.contains("`include`"), "{none}");
        let typo = chosen(&["a.txt", "b.txt"], &["*.safetensor"], &[]).unwrap_err();
        assert!(typo.contains("*.safetensor") && typo.contains("a.txt, b.txt"), "{typo}");
        assert!(chosen(&["a"], &["a"], &["a"]).unwrap_err().contains("`exclude` leaves nothing"));
        assert!(chosen(&["../a.json"], &["*"], &[]).unwrap_err().contains("no safe file name"));
        assert!(chosen(&["/etc/a.safetensors"], &["*"], &[]).unwrap_err().contains("no safe file name"));
    }
}
