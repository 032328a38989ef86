//! Words that library code leaves to the command: its flags, its verbs, and the crates of its interface.

use super::report::{Allowed, Finding};
use super::scan::{self, Kind};

/// Crates that only the command names.
const OF_THE_COMMAND: [&str; 4] = ["clap", "ctrlc", "indicatif", "signal_hook_registry"];

/// The breaches in the files of one library package, whose folder is `package`.
pub fn check<'a>(
    package: &str,
    texts: impl Iterator<Item = (&'a String, &'a String)>,
    allowed: &Allowed,
) -> Vec<Finding> {
    let src = format!("{package}/src/");
    let mut found = Vec::new();
    for (path, text) in texts {
        let Some(name) = path.strip_prefix(&src).filter(|name| name.ends_with(".rs")) else { continue };
        if name == "main.rs" || name.starts_with("cli/") || name.starts_with("bin/") {
            continue;
        }
        let breaches = breaches(path, text);
        if !breaches.is_empty() && !allowed.holds("words", path) {
            found.extend(breaches);
        }
    }
    found
}

fn breaches(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let blanked = scan::blank(text);
    let code = scan::without_tests(&blanked);
    for word in OF_THE_COMMAND {
        for line in scan::lines_with_word(&code, word) {
            found.push(Finding::new(path, line, format!("only the command (main.rs, cli/) names {word}")));
        }
    }
    let tests = scan::tests(&blanked);
    for (range, kind) in scan::spans(text) {
        if !matches!(kind, Kind::Doc | Kind::Text) || tests.iter().any(|test| test.contains(&range.start)) {
            continue;
        }
        let first = 1 + text[..range.start].matches('\n').count();
        for (i, line) in text[range].lines().enumerate() {
            if let Some(flag) = flag(line) {
                let message = format!("{flag} is a flag of the command; say what the value means instead");
                found.push(Finding::new(path, first + i, message));
            }
            if let Some(verb) = verb(line) {
                let message = format!("`vljepa {verb}` is a verb of the command; say what it does instead");
                found.push(Finding::new(path, first + i, message));
            }
        }
    }
    found
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')).unwrap_or(text.len());
    text[..end].trim_end_matches('-')
}

/// A flag such as `--device` in a line of text. Variables of CSS begin alike; ours have one letter, or stand in `var(…)`.
fn flag(line: &str) -> Option<String> {
    line.match_indices("--").find_map(|(at, dashes)| {
        let before = line[..at].chars().next_back();
        let name = word(&line[at + dashes.len()..]);
        let begins = before.is_none_or(|c| c.is_whitespace() || "`\"'/(".contains(c)) && !line[..at].ends_with("var(");
        let is_name = name.len() > 1 && name.starts_with(|c: char| c.is_ascii_lowercase());
        (begins && is_name).then(|| format!("--{name}"))
    })
}

/// A verb such as `embed` of a line that holds "`vljepa embed`".
fn verb(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("`vljepa ")?;
    Some(word(rest)).filter(|verb| !verb.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::report::{Report, Tree};

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let texts = [(path.to_owned(), text.to_owned())];
        let allowed = Allowed::parse(
            "words a/src/odd.rs a program of another project\n",
            &Tree::default(),
            &mut Report::default(),
        );
        check("a", texts.iter().map(|(path, text)| (path, text)), &allowed).iter().map(|found| found.line).collect()
    }

    const FLAGS: &str = "/// Give `--device`.\n// --device\nfn f() { g(\"try\n--seed 1\"); h(\"a -- b\", \"a--b\", \"--\", \"--x\", \"var(--ink)\") }\n";

    #[test]
    fn flags_belong_to_the_command() {
        assert_eq!(lines("a/src/lib.rs", FLAGS), [1, 4]);
        for path in
            ["a/src/main.rs", "a/src/cli/embed.rs", "a/src/bin/b.rs", "a/tests/c.rs", "b/src/lib.rs", "a/src/odd.rs"]
        {
            assert!(lines(path, FLAGS).is_empty(), "{path}");
        }
        assert!(lines("a/src/lib.rs", "#[cfg(test)]\nmod tests { fn f() { g(\"--device\") } }\n").is_empty());
    }

    #[test]
    fn verbs_belong_to_the_command() {
        assert_eq!(lines("a/src/lib.rs", "//! See `vljepa embed`.\n//! `vljepa` embeds; `vljepa-data`.\n"), [1]);
    }

    #[test]
    fn the_crates_of_the_command_stay_there() {
        assert_eq!(
            lines("a/src/lib.rs", "use clap::Parser;\nfn f() { indicatif::g() }\n/// clap\nfn claps() {}\n"),
            [1, 2]
        );
        assert!(lines("a/src/cli/args.rs", "use clap::Parser;\n").is_empty());
    }
}
