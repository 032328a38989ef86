//! JSON lines: an object a line.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::fields::Fields;
use crate::DataError;

/// A line in bytes.
pub(super) const MAX_LINE: usize = 4 << 20;

/// Reads the rows of JSON lines, which end in LF, CR LF or CR; `add` gets each with the number of its line. Blank lines are
/// passed over.
///
/// # Errors
/// The first line that is no row, and errors of reading and of `add`.
pub(super) fn read(
    path: &Path,
    source: impl Read,
    add: &mut dyn FnMut(u64, Fields) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut lines = Lines { source: BufReader::with_capacity(1 << 16, source), number: 0, after_cr: false };
    let mut line = Vec::new();
    loop {
        line.clear();
        let found = lines.next(&mut line).map_err(DataError::io(path, "reading"))?;
        let number = lines.number;
        let fault = |what: String| Err(DataError::content(path, format!("line {number}: {what}")));
        match found {
            Found::End => return Ok(()),
            Found::TooLong => return fault(too_long()),
            Found::Line => {}
        }
        let bytes = match (number, line.as_slice()) {
            (1, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) => return fault("UTF-16 text; save the file as UTF-8".into()),
            (1, [0xef, 0xbb, 0xbf, rest @ ..]) => rest,
            (_, bytes) => bytes,
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return fault("not UTF-8 text; save the file as UTF-8".into());
        };
        if text.trim().is_empty() {
            continue;
        }
        match Fields::from_json(text) {
            Ok(fields) => add(number, fields)?,
            Err(what) => return fault(what),
        }
    }
}

/// What is wrong with a line beyond the limit.
pub(super) fn too_long() -> String {
    format!("longer than {MAX_LINE} bytes; is this a manifest with a row a line?")
}

enum Found {
    Line,
    TooLong,
    End,
}

struct Lines<R> {
    source: BufReader<R>,
    number: u64,
    /// The last line ended in CR: an LF at once belongs to it.
    after_cr: bool,
}

impl<R: Read> Lines<R> {
    /// The next line, without its end. Never holds more than the limit.
    fn next(&mut self, into: &mut Vec<u8>) -> std::io::Result<Found> {
        self.number += 1;
        let mut any = false;
        loop {
            let mut buffer = match self.source.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if self.after_cr && buffer.first() == Some(&b'\n') {
                self.source.consume(1);
                buffer = self.source.fill_buf()?;
            }
            self.after_cr = false;
            if buffer.is_empty() {
                return Ok(if any { Found::Line } else { Found::End });
            }
            any = true;
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &buffer[..end.unwrap_or(buffer.len())];
            if into.len() + part.len() > MAX_LINE {
                return Ok(Found::TooLong);
            }
            into.extend_from_slice(part);
            self.after_cr = end.is_some_and(|end| buffer[end] == b'\r');
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.source.consume(used);
            if end.is_some() {
                return Ok(Found::Line);
            }
        }
    }
}
