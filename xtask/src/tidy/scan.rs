//! A scanner that knows just enough Rust: what is code, what is comment or string, what is a test.

use std::ops::Range;

/// What a stretch of the source that is no code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A comment that is no documentation.
    Comment,
    /// A documentation comment.
    Doc,
    /// A string literal.
    Text,
    /// A character literal.
    Char,
}

/// The comments, strings and character literals of a source, in order.
pub fn spans(source: &str) -> Vec<(Range<usize>, Kind)> {
    let bytes = source.as_bytes();
    let mut spans = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let found = match bytes[at] {
            b'/' if rest.starts_with(b"//") => Some((line_end(bytes, at), comment(rest))),
            b'/' if rest.starts_with(b"/*") => Some((block_comment_end(bytes, at), comment(rest))),
            b'"' => Some((string_end(bytes, at), Kind::Text)),
            b'r' if !follows_name(bytes, at) => raw_string_end(bytes, at).map(|end| (end, Kind::Text)),
            b'b' | b'c' if !follows_name(bytes, at) && bytes.get(at + 1) == Some(&b'r') => {
                raw_string_end(bytes, at + 1).map(|end| (end, Kind::Text))
            }
            b'\'' => char_end(bytes, at).map(|end| (end, Kind::Char)),
            _ => None,
        };
        match found {
            Some((end, kind)) => {
                spans.push((at..end, kind));
                at = end;
            }
            None => at += 1,
        }
    }
    spans
}

fn comment(bytes: &[u8]) -> Kind {
    let doc = match bytes.get(2) {
        Some(b'!') => true,
        Some(b'/') => bytes.get(3) != Some(&b'/'),
        Some(b'*') => bytes[1] == b'*' && !matches!(bytes.get(3), Some(b'*' | b'/')),
        _ => false,
    };
    if doc { Kind::Doc } else { Kind::Comment }
}

/// The source with the inside of comments, strings and character literals blanked; lines and columns stay.
pub fn blank(source: &str) -> String {
    let mut out = source.as_bytes().to_vec();
    for (range, _) in spans(source) {
        for byte in &mut out[range] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where test code stands in blanked source: items under `#[cfg(test)]` and functions under `#[test]`.
pub fn tests(blanked: &str) -> Vec<Range<usize>> {
    let bytes = blanked.as_bytes();
    let mut ranges = Vec::new();
    for mark in ["#[cfg(test)]", "#[test]"] {
        let mut from = 0;
        while let Some(found) = find(bytes, from, mark.as_bytes()) {
            let end = item_end(bytes, found + mark.len());
            ranges.push(found..end);
            from = end;
        }
    }
    ranges
}

/// Blanked source with [`tests`] blanked as well.
pub fn without_tests(blanked: &str) -> String {
    let mut out = blanked.as_bytes().to_vec();
    for range in tests(blanked) {
        for byte in &mut out[range] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The lines (from 1) on which `word` stands by itself, not inside a longer name.
pub fn lines_with_word(text: &str, word: &str) -> Vec<usize> {
    let holds = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            ![before, after].into_iter().flatten().any(is_name_char)
        })
    };
    text.lines().enumerate().filter(|(_, line)| holds(line)).map(|(i, _)| i + 1).collect()
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the byte before `at` belongs to a name, so that `at` does not begin a token.
fn follows_name(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, b"\n").unwrap_or(bytes.len())
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of `r"…"` or `r#"…"#` that begins at `start`, if one does.
fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start + 1..].iter().take_while(|b| **b == b'#').count();
    let open = start + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    Some(find(bytes, open + 1, &close).map_or(bytes.len(), |at| at + close.len()))
}

/// The end of a character literal that begins at `start`; `None` for a lifetime.
fn char_end(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes.get(start + 1) == Some(&b'\\') {
        return find(bytes, start + 3, b"'").map(|at| at + 1);
    }
    let text = std::str::from_utf8(&bytes[start + 1..]).ok()?;
    let end = start + 1 + text.chars().next()?.len_utf8();
    (bytes.get(end) == Some(&b'\'')).then_some(end + 1)
}

/// The end of the item whose attributes go on at `at`: its `;`, or the brace that closes it.
fn item_end(bytes: &[u8], at: usize) -> usize {
    let (mut braces, mut others) = (0_i32, 0_i32);
    for (i, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others -= 1,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 {
                    return i + 1;
                }
            }
            b';' if braces == 0 && others == 0 => return i + 1,
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_characters_are_blank() {
        for (source, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x\"y", z)"#, "f(      , z)"),
            ("r#\"a\"b\"#;c", "        ;c"),
            ("br\"a\";", "b    ;"),
            ("'\\'' 'a' 'x", "         'x"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("for r in bar {}", "for r in bar {}"),
        ] {
            let blanked = blank(source);
            let same =
                blanked.trim_end() == expected.trim_end() || blanked.replace('b', " ") == expected.replace('b', " ");
            assert!(same, "{source:?} became {blanked:?}");
            assert_eq!(blanked.len(), source.len());
        }
    }

    #[test]
    fn text_that_is_not_ascii_keeps_the_places() {
        let source = "let a = \"é→\"; // ü\nlet é = 'é';";
        let blanked = blank(source);
        assert_eq!(blanked.len(), source.len());
        assert!(blanked.contains("let é ="));
    }

    #[test]
    fn test_code_is_blank_and_what_follows_is_not() {
        let source = "fn a() { x(); }\n#[cfg(test)]\nmod tests {\n fn b() { y(); }\n}\nfn c() { z(); }\n#[cfg(test)]\nmod more;\nfn d() {}\n#[test]\nfn e(a: [u8; 2]) { w(); }\n";
        let left = without_tests(&blank(source));
        for kept in ["x()", "z()", "fn d"] {
            assert!(left.contains(kept), "{kept} is gone");
        }
        for gone in ["y()", "mod more", "w()"] {
            assert!(!left.contains(gone), "{gone} is left");
        }
        assert_eq!(left.lines().count(), source.lines().count());
    }

    #[test]
    fn comments_are_told_apart() {
        let kinds = |source: &str| spans(source).into_iter().map(|(_, kind)| kind).collect::<Vec<_>>();
        assert_eq!(kinds("/// a\n//! b\n// c\n//// d\n"), [Kind::Doc, Kind::Doc, Kind::Comment, Kind::Comment]);
        assert_eq!(kinds("/** a */ /*! b */ /* c */ /**/"), [Kind::Doc, Kind::Doc, Kind::Comment, Kind::Comment]);
        assert_eq!(kinds("f(\"/// a\", 'b', r\"c\")"), [Kind::Text, Kind::Char, Kind::Text]);
    }

    #[test]
    fn words_stand_by_themselves() {
        let text = "wgpu::Device\nmy_wgpu\nuse wgpu;\nwgpus";
        assert_eq!(lines_with_word(text, "wgpu"), [1, 3]);
    }
}
