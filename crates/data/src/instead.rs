//! What a download leaves in the place of a file: pointers of Git LFS, and pages that a server sent instead.

/// How many of a file's first bytes [`instead`] looks at.
const BEGINNING: usize = 256;

/// What the beginning of a file shows it to be instead of the file itself, and what to do; `None` for all else.
pub fn instead(beginning: &[u8]) -> Option<&'static str> {
    let beginning = &beginning[..beginning.len().min(BEGINNING)];
    if beginning.starts_with(b"version https://git-lfs.github.com/spec/") {
        return Some("is a Git LFS pointer, not the file itself; fetch the file with `git lfs pull`");
    }
    let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
    let starts = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    if ["<!doctype html", "<html", "<head", "<body"].into_iter().any(starts) {
        return Some("is an HTML page: a server answered with a page instead of the file; get the file again");
    }
    if starts("<?xml") {
        return Some("is an XML message: a server answered with it instead of the file; get the file again");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_pages_are_told() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 90868376\n";
        for (bytes, word) in [
            (pointer, "Git LFS pointer"),
            ("<!DOCTYPE html><html>", "HTML page"),
            ("\u{feff}\n  <HTML lang=\"en\">", "HTML page"),
            ("<?xml version=\"1.0\"?><Error>", "XML message"),
        ] {
            assert!(instead(bytes.as_bytes()).is_some_and(|what| what.contains(word)), "{bytes}");
        }
        for bytes in ["", " ", "{\"a\": 1}", "version 2", "<!doc", "PK\u{3}\u{4}", "<svg>"] {
            assert_eq!(instead(bytes.as_bytes()), None, "{bytes}");
        }
    }
}
