//! CSV with a header that names the fields.

use std::cell::Cell;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::fields::{Fields, known};
use super::lines::{MAX_LINE, too_long};
use crate::DataError;

/// What the parser reads ahead.
const AHEAD: u64 = 1 << 16;

/// Reads the rows of a table, whose lines end in LF, CR LF or CR; `add` gets each with the number of its first line. `targets`
/// has its texts with `|` between.
///
/// # Errors
/// A header without fields, the first record that is no row, and errors of reading and of `add`.
pub(super) fn read(
    path: &Path,
    source: impl Read,
    add: &mut dyn FnMut(u64, Fields) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let left = Rc::new(Cell::new(0));
    let allow = || left.set(MAX_LINE as u64 + AHEAD);
    allow();
    let bounded = Bounded { source, left: left.clone() };
    let mut reader = ReaderBuilder::new().has_headers(false).buffer_capacity(AHEAD as usize).from_reader(bounded);
    let mut record = ByteRecord::new();
    let mut columns: Option<Vec<&'static str>> = None;
    let mut last = 0;
    loop {
        allow();
        let at_line = |line: u64, what: String| DataError::content(path, format!("line {line}: {what}"));
        let more = reader.read_byte_record(&mut record).map_err(|error| match error.into_kind() {
            ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::FileTooLarge => at_line(last + 1, too_long()),
            ErrorKind::Io(error) => DataError::io(path, "reading")(error),
            ErrorKind::UnequalLengths { pos, expected_len, len } => at_line(
                pos.map_or(last + 1, |pos| pos.line()),
                format!("{len} cells, the header names {expected_len}; put texts with commas into double quotes"),
            ),
            other => at_line(last + 1, format!("not a record of CSV ({other:?})")),
        })?;
        if !more {
            return match columns {
                Some(_) => Ok(()),
                None => Err(at_line(1, "the header is missing; name the fields, such as visual,target".into())),
            };
        }
        last = record.position().map_or(last + 1, csv::Position::line);
        let fault = |what: String| at_line(last, what);
        let cells = || {
            record.iter().map(|cell| {
                std::str::from_utf8(cell).map_err(|_| fault("not UTF-8 text; save the file as UTF-8".into()))
            })
        };
        let Some(columns) = &columns else {
            let names = cells().collect::<Result<Vec<_>, _>>()?;
            columns = Some(header(&names).map_err(fault)?);
            continue;
        };
        let mut fields = Fields::default();
        for (key, cell) in columns.iter().zip(cells()) {
            fields.set_cell(key, cell?).map_err(fault)?;
        }
        add(last, fields.finish().map_err(fault)?)?;
    }
}

/// The fields of the columns.
fn header(names: &[&str]) -> Result<Vec<&'static str>, String> {
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let key = known(name.trim_start_matches('\u{feff}').trim())
            .map_err(|what| format!("the header names the fields: {what}"))?;
        if columns.contains(&key) {
            return Err(format!("the header names `{key}` twice; leave one out"));
        }
        columns.push(key);
    }
    Ok(columns)
}

/// Gives so many bytes and then an error: a quote that nothing closes would take in the whole file.
struct Bounded<R> {
    source: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left.get() == 0 {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        let most = buffer.len().min(self.left.get() as usize);
        let read = self.source.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - read as u64);
        Ok(read)
    }
}
