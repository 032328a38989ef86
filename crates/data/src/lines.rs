//! Texts, one a line, from a file or from standard input.

use std::io::Read;
use std::path::Path;

use crate::DataError;
use crate::file::read_limited;

/// Largest list of texts, in bytes.
pub const MAX_TEXTS: u64 = 64 << 20;

/// The texts of a UTF-8 file, one a line, with white space around each left out. Lines end in LF, CR LF or CR. Row `i` is line `i`, so
/// blank lines are refused, but for those at the end.
///
/// # Errors
/// Anything but a regular file of at most [`MAX_TEXTS`] bytes, bytes that are not UTF-8, a blank line between others, and a list
/// without texts.
pub fn read_texts(path: impl AsRef<Path>) -> Result<Vec<String>, DataError> {
    let path = path.as_ref();
    texts_of(&path.display().to_string(), read_limited(path, MAX_TEXTS)?)
}

/// As [`read_texts`], of a source that is read to its end; `origin` is what errors call it.
///
/// # Errors
/// As [`read_texts`], and errors of reading.
pub fn read_texts_from(origin: &str, source: impl Read) -> Result<Vec<String>, DataError> {
    let mut bytes = Vec::new();
    source.take(MAX_TEXTS + 1).read_to_end(&mut bytes).map_err(DataError::io(Path::new(origin), "reading"))?;
    if bytes.len() as u64 > MAX_TEXTS {
        return Err(DataError::content(
            origin,
            format!("more than {MAX_TEXTS} bytes, a list of texts has at most that many"),
        ));
    }
    texts_of(origin, bytes)
}

/// The texts of a list that was read whole.
fn texts_of(origin: &str, bytes: Vec<u8>) -> Result<Vec<String>, DataError> {
    let text = String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = lines(&String::from_utf8_lossy(&e.as_bytes()[..valid])).len().max(1);
        DataError::content(origin, format!("line {line} is not UTF-8 text; save the list as UTF-8"))
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let mut texts: Vec<&str> = lines(text).into_iter().map(str::trim).collect();
    while texts.last().is_some_and(|last| last.is_empty()) {
        texts.pop();
    }
    match texts.iter().position(|text| text.is_empty()) {
        _ if texts.is_empty() => Err(DataError::content(origin, "the list is empty; write one text a line")),
        Some(at) => Err(DataError::content(origin, format!("line {} is blank; write one text a line", at + 1))),
        None => Ok(texts.into_iter().map(str::to_owned).collect()),
    }
}

/// The lines of a text, whichever of the three ends they have.
fn lines(text: &str) -> Vec<&str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_one_a_line() {
        let texts = |bytes: &[u8]| read_texts_from("list", bytes);
        for bytes in [&b"a cat\nb\n"[..], b"a cat\r\nb\r\n", b"a cat\rb", b"\xef\xbb\xbf a cat \nb\n\n \n"] {
            assert_eq!(texts(bytes).unwrap(), ["a cat", "b"], "{bytes:?}");
        }
        for (bytes, words) in [
            (&b""[..], "is empty"),
            (b" \n\n", "is empty"),
            (b"a\n\nb", "line 2 is blank"),
            (b"a\r\rb", "line 2 is blank"),
            (b"a\nb\xff", "line 2 is not UTF-8"),
        ] {
            let error = texts(bytes).unwrap_err().to_string();
            assert!(error.starts_with("list: ") && error.contains(words), "{error}");
        }
        assert!(read_texts_from("list", std::io::repeat(b'a')).unwrap_err().to_string().contains("at most"));
        assert!(read_texts(std::env::temp_dir()).is_err());
    }
}
