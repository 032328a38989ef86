//! Rules for one file of text.

use super::report::{Allowed, Finding, Report};
use super::scan;

const WARN_LINES: usize = 500;
const FAIL_LINES: usize = 800;

/// Kinds of files that we write by hand. Data that others wrote (fixtures, texts, licences) keeps its form.
const OURS: &[&str] = &["rs", "wgsl", "toml", "md", "sh", "py", "yml", "yaml", "html", "css", "js"];

/// Applies every rule to one file.
pub fn check(path: &str, text: &str, allowed: &Allowed, report: &mut Report) {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    if !OURS.contains(&extension) && path != ".ci/run" {
        return;
    }
    white_space(path, text, report);
    unfinished(path, text, report);
    if extension == "rs" || extension == "wgsl" {
        length(path, text, allowed, report);
    }
    if extension == "wgsl" {
        header(path, text, report);
    }
    if extension == "rs" {
        let code = scan::blank(text);
        switched_off_tests(path, &code, report);
        if is_library(path) {
            panics(path, &scan::without_tests(&code), report);
        }
    }
}

fn white_space(path: &str, text: &str, report: &mut Report) {
    for (i, line) in text.lines().enumerate() {
        if line.contains('\t') {
            report.failures.push(Finding::new(path, i + 1, "a tab"));
        } else if line.ends_with(char::is_whitespace) {
            report.failures.push(Finding::new(path, i + 1, "white space at the end of the line"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        report.failures.push(Finding::new(path, 0, "no newline at the end"));
    }
}

fn unfinished(path: &str, text: &str, report: &mut Report) {
    for word in [concat!("TO", "DO"), concat!("FIX", "ME")] {
        for line in scan::lines_with_word(text, word) {
            report.failures.push(Finding::new(path, line, format!("{word}: do it, or write it down as an issue")));
        }
    }
}

fn length(path: &str, text: &str, allowed: &Allowed, report: &mut Report) {
    let lines = text.lines().count();
    if lines <= WARN_LINES {
        return;
    }
    let finding = Finding::new(path, 0, format!("{lines} lines; files have up to {WARN_LINES}"));
    if lines <= FAIL_LINES || allowed.holds("length", path) {
        report.warnings.push(finding);
    } else {
        report.failures.push(finding);
    }
}

/// A shader begins with what it computes; a kernel (it has an entry point) also names shapes and grid.
fn header(path: &str, text: &str, report: &mut Report) {
    let lines = text.lines().take_while(|line| line.starts_with("//") && !line.starts_with("//#")).count();
    let needed = if text.contains("@compute") { 3 } else { 1 };
    if lines < needed {
        let message =
            format!("a header of at least {needed} comment lines is missing (purpose, formula, shapes, grid)");
        report.failures.push(Finding::new(path, 1, message));
    }
}

fn switched_off_tests(path: &str, code: &str, report: &mut Report) {
    for (i, line) in code.lines().enumerate() {
        if line.contains("#[ignore") || line.contains("should_panic") {
            report.failures.push(Finding::new(path, i + 1, "tests are neither ignored nor made to panic"));
        }
    }
}

/// Library code: the sources of published packages but for their programs and test modules.
fn is_library(path: &str) -> bool {
    let ours = path.starts_with("crates/") || path.starts_with("shaders/");
    let program = path.contains("/src/bin/") || path.ends_with("/src/main.rs");
    let test = path.ends_with("/tests.rs") || path.contains("/tests/");
    ours && path.contains("/src/") && !program && !test
}

fn panics(path: &str, code: &str, report: &mut Report) {
    for (i, line) in code.lines().enumerate() {
        for call in [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!("] {
            // `core::panic!(` counts, `dont_panic!(` does not.
            let starts_name = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if line.match_indices(call).any(|(at, _)| call.starts_with('.') || starts_name(at)) {
                let message = format!("`{}` in library code: return an error", call.trim_end_matches('('));
                report.failures.push(Finding::new(path, i + 1, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(path: &str, text: &str) -> Vec<String> {
        let mut report = Report::default();
        check(path, text, &Allowed::default(), &mut report);
        report.failures.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn white_space_is_checked_in_our_files_only() {
        assert_eq!(
            failures("a.md", "x \n\ty\nz"),
            ["a.md:1: white space at the end of the line", "a.md:2: a tab", "a.md: no newline at the end"]
        );
        assert!(failures("vocab.txt", "x \n\ty\nz").is_empty());
        assert!(failures("a.md", "").is_empty());
        assert_eq!(failures(".ci/run", "x \n").len(), 1);
    }

    #[test]
    fn long_files_warn_then_fail_unless_excused() {
        let of = |lines: usize, excuse: &str| {
            let mut report = Report::default();
            let mut tree = super::super::Tree::default();
            tree.texts.insert("a.rs".into(), String::new());
            let allowed = Allowed::parse(excuse, &tree, &mut report);
            check("a.rs", &"fn f() {}\n".repeat(lines), &allowed, &mut report);
            (report.warnings.len(), report.failures.len())
        };
        assert_eq!(of(500, ""), (0, 0));
        assert_eq!(of(501, ""), (1, 0));
        assert_eq!(of(801, ""), (0, 1));
        assert_eq!(of(801, "length a.rs one table"), (1, 0));
    }

    #[test]
    fn panics_are_refused_in_library_code_only() {
        let code = "fn f() { x.unwrap(); y.expect(\"z\"); core::panic!(\"a\"); }\n";
        assert_eq!(failures("crates/a/src/lib.rs", code).len(), 3);
        assert_eq!(failures("shaders/src/lib.rs", code).len(), 3);
        for path in ["crates/a/src/main.rs", "crates/a/src/bin/b.rs", "crates/a/tests/it/main.rs", "xtask/src/main.rs"]
        {
            assert!(failures(path, code).is_empty(), "{path}");
        }
        let fine = "/// x.unwrap()\nfn f() { g(\".unwrap()\"); x.unwrap_or(1); dont_panic!(); }\n#[cfg(test)]\nmod tests { fn g() { x.unwrap(); } }\n";
        assert!(failures("crates/a/src/lib.rs", fine).is_empty());
    }

    #[test]
    fn tests_are_not_switched_off() {
        let ignored = format!("#[test]\n#[{}]\nfn f() {{}}\n", concat!("ig", "nore"));
        assert_eq!(failures("crates/a/tests/it/b.rs", &ignored).len(), 1);
        assert!(failures("a.rs", "// #[ignore] is refused\n").is_empty());
    }

    #[test]
    fn unfinished_work_is_named() {
        let text = format!("// {}: later\n", concat!("TO", "DO"));
        assert_eq!(failures("a.wgsl", &text).len(), 1);
        assert!(failures("a.rs", "fn f() { todos(); }\n").is_empty());
    }

    #[test]
    fn shaders_have_headers() {
        assert_eq!(failures("shaders/a/b.wgsl", "fn f() {}\n").len(), 1);
        assert!(failures("shaders/a/b.wgsl", "// Purpose.\nfn f() {}\n").is_empty());
        assert_eq!(failures("shaders/a/b.wgsl", "// Purpose.\n@compute fn main() {}\n").len(), 1);
        assert_eq!(failures("shaders/a/b.wgsl", "//#include \"x\"\n// Purpose.\nfn f() {}\n").len(), 1);
    }
}
