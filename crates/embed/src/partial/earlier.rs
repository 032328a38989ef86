//! Reads the unfinished file of an earlier run and decides which of its batches this run can reuse.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::places::begun;
use crate::error::{Error, Hint, OtherRun, Result};
use crate::files::Stamp;
use crate::hash::{Hash, hash_of};
use crate::visuals::{
    Broken, Files, MAX_BATCH, Moment, Opened, Part, Reading, RowOf, Spans, VisualEncoder, What, check_readable, rows_of,
};

pub(super) const VERSION: u64 = 3;
/// Longest line of a journal in bytes: one batch of at most 64 file names and 64 moments fits easily.
const MAX_LINE: u64 = 4 << 20;

/// How much of an earlier, unfinished run is reused, counted in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Files whose rows are reused.
    pub taken: usize,
    /// Videos of which some windows are reused, and the rest is still to be done.
    pub begun: usize,
    /// Files embedded again because they have changed.
    pub changed: usize,
    /// Files embedded again because they now share a batch with other files.
    pub regrouped: usize,
    /// Files embedded again because their stored rows do not match the checksum.
    pub damaged: usize,
    /// Files that the earlier run embedded and that are not among the files of this run.
    pub gone: usize,
    /// Lines of the journal that cannot be read; their files count as not done.
    pub unreadable: usize,
}

impl Resumed {
    /// Files that the earlier run embedded and that are embedded again.
    pub fn anew(&self) -> usize {
        self.changed + self.regrouped + self.damaged
    }

    /// Whether any work of the earlier run is not reused.
    pub fn lost(&self) -> bool {
        self.anew() + self.gone + self.unreadable > 0
    }
}

impl fmt::Display for Resumed {
    /// A summary in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "files taken over from an earlier run: {}", self.taken)?;
        if self.begun > 0 {
            write!(f, " and a part of {} more", self.begun)?;
        }
        let why = [
            (self.changed, "changed since"),
            (self.regrouped, "in a batch with other files than then"),
            (self.damaged, "with damaged rows"),
        ];
        let why: Vec<_> = why.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if !why.is_empty() {
            write!(f, "; done anew, though it had done them: {} ({})", self.anew(), why.join(", "))?;
        }
        if self.gone > 0 {
            write!(f, "; gone since: {}", self.gone)?;
        }
        if self.unreadable > 0 {
            write!(f, "; batches whose line cannot be read, done anew: {}", self.unreadable)?;
        }
        Ok(())
    }
}

/// The first line of a journal.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    /// Version of the format.
    pub(super) vljepa_rows: u64,
    /// Everything that the rows depend on.
    pub(super) of: Value,
}

/// Name, size and time of a file; `None` for size and time that the system did not tell.
pub(super) type DoneFile = (String, Option<Stamp>);

/// A line of a journal: one batch.
#[derive(Serialize, Deserialize)]
pub(super) struct JournalLine {
    pub(super) batch: BatchRecord,
    /// SHA-256 of the JSON of `batch` and of the rows.
    pub(super) sum: String,
}

/// A batch as the journal stores it.
#[derive(Serialize, Deserialize)]
pub(super) struct BatchRecord {
    /// Byte offset of the rows in the file of rows.
    pub(super) at: u64,
    /// Shape of a row.
    pub(super) shape: Vec<usize>,
    pub(super) files: Vec<DoneFile>,
    /// The files that were left out: index in `files`, and reason.
    pub(super) skipped: Vec<(usize, String)>,
    /// What is to be known of others: index in `files`, and one line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<(usize, String)>,
    /// For windows of the one video in `files`: which they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<PartRecord>,
    /// What part of its video each row shows; empty where none shows a part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) moments: Vec<Option<Moment>>,
}

/// Windows of one video that follow each other, as the journal stores them.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct PartRecord {
    /// The number of the first.
    pub(super) first: usize,
    /// Whether they are the last of the video.
    pub(super) last: bool,
    /// How many there are.
    pub(super) rows: usize,
}

/// What part of its video each row shows; empty where none shows a part.
pub(super) fn moments_of(of: &[RowOf]) -> Vec<Option<Moment>> {
    match of.iter().any(|row| row.moment.is_some()) {
        true => of.iter().map(|row| row.moment).collect(),
        false => Vec::new(),
    }
}

impl BatchRecord {
    /// Size of all rows in bytes; `None` for counts that are impossible.
    fn bytes(&self) -> Option<u64> {
        let rows = self.rows()? as u64;
        if rows == 0 {
            return Some(0);
        }
        self.shape.iter().try_fold(rows.checked_mul(4)?, |n, &d| n.checked_mul(d as u64))
    }

    /// Number of rows; `None` where the parts of the record contradict each other.
    fn rows(&self) -> Option<usize> {
        let rows = match self.part {
            Some(part) => {
                (self.files.len() == 1 && (part.rows == 0 || self.skipped.is_empty())).then_some(part.rows)?
            }
            None => self.files.len().checked_sub(self.skipped.len())?,
        };
        (self.moments.is_empty() || self.moments.len() == rows).then_some(rows)
    }

    pub(super) fn sum(&self, rows: &[u8]) -> serde_json::Result<String> {
        Ok(hash_of([&serde_json::to_vec(self)?[..], rows]))
    }
}

/// A file's name as a text, different for every name: names that are not UTF-8 are escaped.
pub(super) fn file_key(path: &Path) -> String {
    match path.to_str() {
        Some(text) if !text.contains('\\') => text.to_owned(),
        _ => path.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
    }
}

/// What the files of an earlier run may hold at most: anything beyond is not believed.
pub(super) struct Bounds {
    /// Length of the journal in bytes.
    pub(super) journal: u64,
    /// Size of a row in bytes.
    pub(super) row: u64,
}

/// A batch of this run that is done.
pub(super) struct DoneBatch {
    /// Byte offset of the rows in the file of rows.
    pub(super) at: u64,
    /// Stamp of each file; `None` where the system did not tell it.
    pub(super) stamps: Vec<Option<Stamp>>,
    /// The files that were left out: index among all files, and reason.
    pub(super) skipped: Vec<(usize, String)>,
    /// What is to be known of others: index among all files, and one line.
    pub(super) notes: Vec<(usize, String)>,
    /// For windows of one video: which they are.
    pub(super) part: Option<Part>,
    /// What each row stands for.
    pub(super) of: Vec<RowOf>,
}

impl DoneBatch {
    pub(super) fn files(&self) -> usize {
        self.stamps.len()
    }
}

/// The work of this run that is done.
#[derive(Default)]
pub(super) struct Done {
    /// Batches by the index of their first file, and the number of its first window.
    pub(super) batches: BTreeMap<(usize, usize), DoneBatch>,
    /// Shape of one row; empty as long as there are no rows.
    pub(super) shape: Vec<usize>,
    pub(super) resumed: Resumed,
}

impl Done {
    pub(super) fn row_bytes(&self) -> u64 {
        4 * self.shape.iter().product::<usize>() as u64
    }
}

/// The content of an unfinished file when this run starts.
#[derive(Default)]
pub(super) struct Earlier {
    /// The batches of the journal, and whether each matches its checksum.
    pub(super) batches: Vec<(BatchRecord, bool)>,
    /// Number of lines that cannot be read.
    pub(super) unreadable: usize,
    /// Length of the complete lines in bytes.
    pub(super) journal_end: u64,
    /// End in bytes of the rows that match their checksums.
    pub(super) rows_end: u64,
}

impl Earlier {
    /// Reads the two files without changing them. `head` is the first line that this run would write.
    pub(super) fn read(
        data: &Path,
        journal: (&File, &Path),
        head: &[u8],
        identity: &Value,
        bounds: &Bounds,
    ) -> Result<Self> {
        let (journal, path) = journal;
        let length = journal.metadata().map_err(Error::io(path, "reading"))?.len();
        if length > bounds.journal {
            let reason =
                format!("{length} bytes, a list of finished files has at most {}; move it away", bounds.journal);
            return Err(Error::content(path, reason));
        }
        let mut reader = BufReader::new(journal);
        let mut line = || -> Result<Vec<u8>> {
            let mut line = Vec::new();
            reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(Error::io(path, "reading"))?;
            Ok(line)
        };
        let first = line()?;
        if first != head {
            // The earlier run was killed while it wrote its first line.
            if head.starts_with(&first) {
                return Ok(Self::default());
            }
            return Err(match serde_json::from_slice::<Head>(&first) {
                Ok(earlier) if earlier.vljepa_rows == VERSION => begun(path, data, other_run(&earlier.of, identity)),
                Ok(_) => begun(path, data, OtherRun::Version),
                Err(_) => Error::content(path, "is no list of finished files of this program; move it away"),
            });
        }
        let mut rows = match File::open(data) {
            Ok(file) => Some(file),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io(data, "reading")(e)),
        };
        let mut earlier = Self { journal_end: first.len() as u64, ..Self::default() };
        loop {
            let next = line()?;
            if next.is_empty() {
                break;
            }
            match next.strip_suffix(b"\n").map(serde_json::from_slice::<JournalLine>) {
                Some(Ok(line)) => {
                    let intact = match &mut rows {
                        Some(rows) => is_intact(&line, rows, bounds).map_err(Error::io(data, "reading"))?,
                        None => false,
                    };
                    if intact {
                        earlier.rows_end = earlier.rows_end.max(line.batch.at + line.batch.bytes().unwrap_or_default());
                    }
                    earlier.batches.push((line.batch, intact));
                }
                Some(Err(_)) => earlier.unreadable += 1,
                // A last line without an end comes from a run that was killed. A line of the maximum length is damaged.
                None if next.len() as u64 == MAX_LINE => earlier.unreadable += 1,
                None => break,
            }
            earlier.journal_end += next.len() as u64;
        }
        Ok(earlier)
    }

    /// The batches that can be reused for `files`. A batch is reused when a span of `files` has the same files with the
    /// same stamps.
    pub(super) fn plan(
        &self,
        encoder: &dyn VisualEncoder,
        files: &[PathBuf],
        broken: Broken,
        reading: &Reading,
    ) -> Result<Done> {
        let mut done =
            Done { resumed: Resumed { unreadable: self.unreadable, ..Resumed::default() }, ..Done::default() };
        if self.batches.is_empty() {
            return Ok(done);
        }
        let mut by_first: HashMap<&str, Vec<&BatchRecord>> = HashMap::new();
        // A file that was embedded more than once has several lines, of which the last one counts.
        let mut earlier_files: HashMap<&str, EarlierFile> = HashMap::new();
        for (batch, intact) in &self.batches {
            if let Some((first, _)) = batch.files.first().filter(|_| *intact) {
                by_first.entry(first).or_default().push(batch);
            }
            for (name, stamp) in &batch.files {
                earlier_files.insert(name, EarlierFile { intact: *intact, stamp: *stamp, present: false });
            }
        }
        let mut at = 0;
        let visuals = Files::new(encoder, files, reading)?;
        for span in Spans::new(encoder, &visuals, 0..files.len()) {
            let names = files.iter().take(span.end).skip(at).map(|path| file_key(path));
            let now: Vec<DoneFile> = names.zip(span.opened.iter().map(Opened::stamp)).collect();
            let first = now.first().and_then(|(name, _)| by_first.get(name.as_str()));
            let alike: Vec<&BatchRecord> =
                first.into_iter().flatten().filter(|batch| batch.files == now && done.fits(batch)).copied().collect();
            let mut reused = match span.what {
                What::Windows => in_a_row(&alike),
                _ => alike.iter().rev().find(|batch| batch.part.is_none()).copied().into_iter().collect(),
            };
            // A file may have failed for an external cause: a missing program, a permission, a disk.
            let left_out: Vec<usize> = reused.iter().flat_map(|batch| batch.skipped.iter().map(|(i, _)| *i)).collect();
            for i in left_out {
                match files.get(at + i).map(|path| check_readable(encoder, path, reading)) {
                    Some(Ok(())) => reused.clear(),
                    // Unless broken files are skipped, this is the error; the rows stay for a later run that skips
                    // them.
                    Some(Err(e)) if broken != Broken::Skip => return Err(e.hint(Hint::SkipBroken)),
                    Some(Err(_)) | None => {}
                }
            }
            let whole = reused.last().is_some_and(|batch| batch.part.is_none_or(|part| part.last));
            for (name, stamp) in &now {
                let Some(earlier) = earlier_files.get_mut(name.as_str()) else { continue };
                earlier.present = true;
                let count = match reused.is_empty() {
                    false if whole => &mut done.resumed.taken,
                    false => &mut done.resumed.begun,
                    true if earlier.stamp != *stamp => &mut done.resumed.changed,
                    true if earlier.intact => &mut done.resumed.regrouped,
                    true => &mut done.resumed.damaged,
                };
                *count += 1;
            }
            reused.into_iter().for_each(|batch| done.reuse(at, batch));
            at = span.end;
        }
        done.resumed.gone = earlier_files.values().filter(|file| !file.present).count();
        Ok(done)
    }
}

/// The batches that are the windows of a video from its first one on; the last one where a window was done more than once.
fn in_a_row<'a>(batches: &[&'a BatchRecord]) -> Vec<&'a BatchRecord> {
    let (mut row, mut next) = (Vec::new(), 0);
    loop {
        let found =
            batches.iter().rev().find_map(|batch| batch.part.filter(|part| part.first == next).map(|p| (batch, p)));
        let Some((batch, part)) = found else { return row };
        row.push(*batch);
        next += part.rows;
        if part.last || part.rows == 0 {
            return row;
        }
    }
}

/// A file that the earlier run embedded.
struct EarlierFile {
    /// Whether its stored rows match their checksum.
    intact: bool,
    /// Its stamp before the earlier run read it.
    stamp: Option<Stamp>,
    /// Whether it is among the files of this run.
    present: bool,
}

/// Whether the rows of a batch match its checksum.
fn is_intact(line: &JournalLine, rows: &mut File, bounds: &Bounds) -> std::io::Result<bool> {
    let (batch, length) = (&line.batch, rows.metadata()?.len());
    let inside = |bytes: &u64| {
        let rows = batch.part.map_or(batch.files.len(), |_| MAX_BATCH);
        let most = bounds.row.saturating_mul(rows as u64);
        *bytes <= most && batch.at.checked_add(*bytes).is_some_and(|end| end <= length)
    };
    let Some(bytes) = batch.bytes().filter(inside) else { return Ok(false) };
    let Ok(json) = serde_json::to_vec(batch) else { return Ok(false) };
    rows.seek(SeekFrom::Start(batch.at))?;
    let mut hash = Hash::default();
    hash.part(&json);
    hash.part_from(bytes, rows)?;
    Ok(hash.finish() == line.sum)
}

impl Done {
    /// Whether the rows of a batch have the shape of the rows so far.
    fn fits(&self, batch: &BatchRecord) -> bool {
        self.shape.is_empty() || batch.rows() == Some(0) || self.shape == batch.shape
    }

    /// Reuses a batch whose first file now has the index `at`.
    fn reuse(&mut self, at: usize, batch: &BatchRecord) {
        let moved = |lines: &[(usize, String)]| lines.iter().map(|(i, line)| (at + i, line.clone())).collect();
        let (skipped, notes): (Vec<(usize, String)>, Vec<_>) = (moved(&batch.skipped), moved(&batch.notes));
        let stamps = batch.files.iter().map(|(_, stamp)| *stamp).collect();
        let part = batch.part.map(|part| Part { first: part.first, last: part.last });
        let rows = batch.rows().unwrap_or_default();
        let moments = if batch.moments.is_empty() { &vec![None; rows] } else { &batch.moments };
        let left_out: Vec<usize> = skipped.iter().map(|(i, _)| *i).collect();
        let of = rows_of(at..at + batch.files.len(), &left_out, part.is_some(), moments);
        if !of.is_empty() {
            self.shape.clone_from(&batch.shape);
        }
        let key = (at, part.map_or(0, |part| part.first));
        self.batches.insert(key, DoneBatch { at: batch.at, stamps, skipped, notes, part, of });
    }
}

/// The run that an identity stands for, as seen by a run with the identity `now`.
fn other_run(earlier: &Value, now: &Value) -> OtherRun {
    let differs = |key: &&str| earlier.get(key) != now.get(key);
    if let Some(task) = earlier.get("task").and_then(Value::as_str).filter(|_| differs(&"task")) {
        return OtherRun::Task(task.to_owned());
    }
    // A setting may be known to one of the two runs alone.
    let objects = [now, earlier].into_iter().filter_map(Value::as_object);
    let keys: BTreeSet<&str> = objects.flat_map(|o| o.keys().map(String::as_str)).filter(differs).collect();
    OtherRun::Differs(keys.into_iter().map(str::to_owned).collect())
}
