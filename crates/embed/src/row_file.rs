//! Files of rows (NumPy or safetensors), and embedding many files into one of them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use vljepa_model::weights::{Dtype, safetensors_start};

use crate::apart::check_apart;
use crate::error::{Error, Hint, Result};
use crate::files::{check_writable, stream_atomically};
use crate::partial::{Partial, Resumed, RowOptions, Task, check_unbegun};
use crate::rows::{Embeddings, npy_header};
use crate::visuals::{Noted, Skipped, VisualEncoder, without_skipped};

/// The format of a file of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// A NumPy file.
    Npy,
    /// A safetensors file with the tensor `embeddings`, and the names of the rows in its header.
    SafeTensors,
}

impl RowFormat {
    /// The format that the extension of `path` names: `npy` or `safetensors`.
    ///
    /// # Errors
    /// Any other extension.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::SafeTensors),
            _ => Err(Error::content(path, "is not the name of a file of rows").hint(Hint::RowExtension)),
        }
    }

    /// Writes a file with the rows that `values` gives. `key` is the metadata key of their `names` in a safetensors header.
    fn write(self, path: &Path, shape: &[usize], values: &mut dyn Read, key: &str, names: &[String]) -> Result<()> {
        let (rows, row) = (shape.first().copied().unwrap_or(0), shape.get(1..).unwrap_or_default());
        stream_atomically(path, |out| match self {
            Self::Npy => {
                out.write_all(&npy_header(rows, row)).map_err(Error::io(path, "writing"))?;
                write_values(path, shape, values, out)
            }
            Self::SafeTensors => {
                let metadata = [(key.to_owned(), json!(names).to_string())].into();
                write_embeddings(path, shape, values, &metadata, out)
            }
        })
    }
}

/// Writes a safetensors file with the f32 tensor `embeddings` of shape `shape`, whose bytes `values` gives. `path` is for
/// messages only.
///
/// # Errors
/// Errors of writing; values that end early, and values that are not finite.
pub fn write_embeddings(
    path: &Path,
    shape: &[usize],
    values: &mut dyn Read,
    metadata: &BTreeMap<String, String>,
    out: &mut dyn Write,
) -> Result<()> {
    let start = safetensors_start("embeddings", Dtype::F32, shape, metadata).map_err(Error::model(path.display()))?;
    out.write_all(&start).map_err(Error::io(path, "writing"))?;
    write_values(path, shape, values, out)
}

/// Copies f32 values of shape `shape`; little of them is in memory at a time.
fn write_values(path: &Path, shape: &[usize], values: &mut dyn Read, out: &mut dyn Write) -> Result<()> {
    /// Bytes at a time: a multiple of a value's.
    const PART: u64 = 1 << 20;
    let mut left = shape.iter().map(|&d| d as u64).product::<u64>() * 4;
    let mut buffer = vec![0; left.min(PART) as usize];
    while left > 0 {
        let part = &mut buffer[..left.min(PART) as usize];
        // The source names its file.
        values.read_exact(part).map_err(|e| Error::content(path, format!("its rows cannot be read: {e}")))?;
        let finite = |value: &[u8]| <[u8; 4]>::try_from(value).is_ok_and(|v| f32::from_le_bytes(v).is_finite());
        if !part.chunks_exact(4).all(finite) {
            return Err(Error::content(path, "a value of its rows is not a finite number; make them again"));
        }
        out.write_all(part).map_err(Error::io(path, "writing"))?;
        left -= part.len() as u64;
    }
    Ok(())
}

/// Checks before long work that a file of rows can be written. Leaves nothing behind.
///
/// # Errors
/// As [`write_rows`].
pub fn check_rows(path: &Path) -> Result<()> {
    RowFormat::of(path)?;
    check_unbegun(path)?;
    check_writable(path)
}

/// Writes rows that are in memory. `key` is the metadata key of their `names` in a safetensors header.
///
/// # Errors
/// An unknown extension, a file that an unfinished run of [`embed_to_file`] has begun, and errors of writing.
pub fn write_rows(path: &Path, rows: &Embeddings, key: &str, names: &[String]) -> Result<()> {
    let format = RowFormat::of(path)?;
    check_unbegun(path)?;
    let bytes: Vec<u8> = rows.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
    let shape = [&[rows.rows()], rows.shape()].concat();
    format.write(path, &shape, &mut &bytes[..], key, names)
}

/// A file of rows that was written.
#[derive(Debug)]
pub struct RowFile {
    /// Number of rows, followed by the shape of one row.
    pub shape: Vec<usize>,
    /// The names of the rows.
    pub names: Vec<String>,
    /// The files that were left out.
    pub skipped: Vec<Skipped>,
    /// What is to be known of files that were embedded.
    pub notes: Vec<Noted>,
    /// What was reused of an earlier run.
    pub resumed: Resumed,
}

/// Embeds `files`, which were found at `inputs`, into the file `out`. It resumes an earlier run that was stopped, if
/// that run had the same inputs and the same [identity](RowOptions::identity).
/// The rows are the same as without a stop: a batch of the earlier run is reused only if its files are unchanged, they
/// form one batch again, and its rows match their checksum. Only one batch is in memory at a time.
///
/// # Errors
/// As [`embed_files`](crate::visuals::embed_files), also for a file that an earlier run left out; an unfinished file of
/// a run with another identity, or of a run in progress; errors of writing. After an error, the rows so far stay for
/// the next run.
pub fn embed_to_file(
    encoder: &dyn VisualEncoder,
    inputs: &[PathBuf],
    files: &[PathBuf],
    out: &Path,
    options: RowOptions<'_>,
) -> Result<RowFile> {
    let format = RowFormat::of(out)?;
    check_apart(out, files)?;
    let (broken, damaged, identity, mut on_event) = options.into_parts();
    let task = Task { task: "rows", inputs, files, out, depends: &identity, broken, damaged, may_be_empty: false };
    let partial = Partial::complete(encoder, &task, &mut on_event)?;
    let resumed = partial.resumed();
    let (skipped, notes) = (partial.left_out(files), partial.notes(files));
    let names = without_skipped(files, &skipped).map(|path| path.display().to_string()).collect::<Vec<_>>();
    let shape = [&[partial.rows()], partial.shape()].concat();
    format.write(out, &shape, &mut partial.ordered(), "input", &names)?;
    partial.remove();
    Ok(RowFile { shape, names, skipped, notes, resumed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partial::{RowEvent, is_begun};
    use crate::visuals::Broken;
    use vljepa_data::video::Damaged;
    use vljepa_data::{Preprocess, Rgba8Image, encode_png};

    /// Gives rows that depend on the size of their batch; the rows of clips are shorter.
    struct Counting(Preprocess, usize);

    impl VisualEncoder for Counting {
        fn preprocess(&self) -> &Preprocess {
            &self.0
        }

        fn frames(&self) -> usize {
            2
        }

        fn tokens(&self, frames: usize) -> usize {
            frames
        }

        fn shape(&self, frames: usize) -> Vec<usize> {
            vec![if frames == 1 { 1000 } else { 2 }]
        }

        fn unit(&self) -> bool {
            false
        }

        fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
            let width = self.shape(frames)[0];
            let each = pixels.len() / count;
            Ok(pixels.chunks(each).flat_map(|p| vec![p[0] + count as f32; width]).collect())
        }

        fn batch(&self, _: usize) -> usize {
            self.1
        }
    }

    fn encoder(batch: usize) -> Counting {
        Counting(Preprocess::vjepa2(16), batch)
    }

    fn run(encoder: &Counting, files: &[PathBuf], out: &Path, mut done: impl FnMut(usize)) -> Result<RowFile> {
        let mut on_event = |event| {
            if let RowEvent::Done(n) = event {
                done(n);
            }
        };
        embed_to_file(encoder, &[], files, out, RowOptions::default().broken(Broken::Skip).on_event(&mut on_event))
    }

    /// Gives one value too few.
    struct Short(Counting);

    impl VisualEncoder for Short {
        fn preprocess(&self) -> &Preprocess {
            self.0.preprocess()
        }

        fn frames(&self) -> usize {
            self.0.frames()
        }

        fn tokens(&self, frames: usize) -> usize {
            self.0.tokens(frames)
        }

        fn shape(&self, frames: usize) -> Vec<usize> {
            self.0.shape(frames)
        }

        fn unit(&self) -> bool {
            false
        }

        fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
            let mut values = self.0.encode(pixels, count, frames)?;
            values.pop();
            Ok(values)
        }
    }

    #[test]
    fn an_encoder_that_makes_other_numbers_of_values_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (files, out) = (pictures(dir.path(), 3), dir.path().join("r.npy"));
        let error = embed_to_file(&Short(encoder(4)), &[], &files, &out, RowOptions::default()).unwrap_err();
        assert!(error.to_string().contains("2999 values of 3 visuals, 3000"), "{error}");
        assert!(!out.exists());
    }

    /// Stops after the last batch: a folder takes the place of the output file.
    fn stop(encoder: &Counting, files: &[PathBuf], out: &Path) {
        let end = |n| {
            if n == files.len() {
                std::fs::create_dir(out).unwrap();
            }
        };
        assert!(run(encoder, files, out, end).unwrap_err().to_string().contains("is a folder"));
        std::fs::remove_dir(out).unwrap();
    }

    /// Pictures of different colours.
    fn pictures(dir: &Path, count: u8) -> Vec<PathBuf> {
        let picture = |i: u8| {
            let path = dir.join(format!("{i}.png"));
            let picture = Rgba8Image::new(4, 4, [i * 20, 3, 9, 255].repeat(16)).unwrap();
            std::fs::write(&path, encode_png(&picture).unwrap()).unwrap();
            path
        };
        (0..count).map(picture).collect()
    }

    #[test]
    fn what_has_changed_is_done_anew_and_the_rest_counts() {
        let dir = tempfile::tempdir().unwrap();
        let files = pictures(dir.path(), 11);
        let (encoder, late) = (encoder(4), files[10].clone());
        let touch = || {
            let file = std::fs::File::options().write(true).open(&files[1]).unwrap();
            let time = file.metadata().unwrap().modified().unwrap();
            file.set_modified(time + std::time::Duration::from_secs(10)).unwrap();
        };
        for kind in ["npy", "safetensors"] {
            let (whole, out) = (dir.path().join(format!("w.{kind}")), dir.path().join(format!("r.{kind}")));
            let ends_as_whole = |files: &[PathBuf], resumed: Resumed| {
                run(&encoder, files, &whole, |_| ()).unwrap();
                assert_eq!(run(&encoder, files, &out, |_| ()).unwrap().resumed, resumed);
                assert!(std::fs::read(&whole).unwrap() == std::fs::read(&out).unwrap(), "{kind} {resumed:?}");
                std::fs::remove_file(&out).unwrap();
                assert!(!is_begun(&out).unwrap() && !dir.path().join(format!("r.{kind}.partial")).exists());
            };
            let known = Resumed::default();
            // Batches of four, four and two; the first two are done.
            let part = || stop(&encoder, &files[..8], &out);
            part();
            touch();
            ends_as_whole(&files[..10], Resumed { taken: 4, changed: 1, regrouped: 3, ..known });
            // Rows that were computed again are reused the next time.
            part();
            touch();
            part();
            ends_as_whole(&files[..10], Resumed { taken: 8, ..known });
            // With one file more or less at the front, every batch has other files than before.
            part();
            let more: Vec<_> = std::iter::once(&late).chain(&files[..10]).cloned().collect();
            ends_as_whole(&more, Resumed { regrouped: 8, ..known });
            part();
            ends_as_whole(&files[1..10], Resumed { regrouped: 7, gone: 1, ..known });
            // If the files of a batch are gone, the other batches are still reused.
            part();
            ends_as_whole(&files[4..10], Resumed { taken: 4, gone: 4, ..known });
        }
    }

    #[test]
    fn what_is_damaged_is_done_anew() {
        let dir = tempfile::tempdir().unwrap();
        let files = pictures(dir.path(), 10);
        let (encoder, whole, out) = (encoder(4), dir.path().join("w.npy"), dir.path().join("r.npy"));
        let (data, journal) = (dir.path().join("r.npy.partial"), dir.path().join("r.npy.partial.jsonl"));
        run(&encoder, &files, &whole, |_| ()).unwrap();
        stop(&encoder, &files[..8], &out);
        let (rows, lines) = (std::fs::read(&data).unwrap(), std::fs::read_to_string(&journal).unwrap());
        assert_eq!(rows.len(), 8 * 1000 * 4);
        let with = |at: usize, bytes: &[u8]| [&rows[..at], bytes, &rows[at + bytes.len()..]].concat();
        let ends: Vec<usize> = lines.match_indices('\n').map(|(i, _)| i + 1).collect();
        let [head, first, second] = [&lines[..ends[0]], &lines[ends[0]..ends[1]], &lines[ends[1]..]];
        for (what, rows, lines, [taken, damaged, unreadable]) in [
            ("nothing", rows.clone(), lines.clone(), [8, 0, 0]),
            // A run that was killed while it wrote.
            ("a line in part", rows.clone(), lines[..ends[2] - 7].to_owned(), [4, 0, 0]),
            ("no second line", rows.clone(), lines[..ends[1]].to_owned(), [4, 0, 0]),
            ("no first line", rows.clone(), lines[..ends[0] - 3].to_owned(), [0, 0, 0]),
            ("no lines", rows.clone(), String::new(), [0, 0, 0]),
            ("half a row more", [&rows[..], b"half a row"].concat(), lines.clone(), [8, 0, 0]),
            // Rows that are missing or damaged on the disk.
            ("rows cut", rows[..25_000].to_vec(), lines.clone(), [4, 4, 0]),
            ("no rows", Vec::new(), lines.clone(), [0, 8, 0]),
            ("NaN in the second batch", with(20_000, &f32::NAN.to_le_bytes()), lines.clone(), [4, 4, 0]),
            ("a bit of the first batch", with(5, &[rows[5] ^ 1]), lines.clone(), [4, 4, 0]),
            ("garbage", vec![7; rows.len()], lines.clone(), [0, 8, 0]),
            // Damaged lines.
            ("a line of another", rows.clone(), [head, first, "{\"files\": 7}\n", second].concat(), [8, 0, 1]),
            ("a byte of a line", rows.clone(), [head, "x", &first[1..], second].concat(), [4, 0, 1]),
            ("an endless line", rows.clone(), [&lines[..], &"x".repeat(5 << 20)].concat(), [8, 0, 1]),
            ("a shape", rows.clone(), lines.replace("[1000]", "[99999999999]"), [0, 8, 0]),
            ("a place", rows.clone(), lines.replace("\"at\":16000", "\"at\":15996"), [4, 4, 0]),
            ("a file left out", rows.clone(), lines.replacen("d\":[]", "d\":[[3,\"\"]]", 1), [4, 4, 0]),
        ] {
            std::fs::write(&data, rows).unwrap();
            std::fs::write(&journal, lines).unwrap();
            let resumed = run(&encoder, &files, &out, |_| ()).unwrap().resumed;
            assert_eq!(resumed, Resumed { taken, damaged, unreadable, ..Resumed::default() }, "{what}");
            assert!(std::fs::read(&whole).unwrap() == std::fs::read(&out).unwrap(), "{what}");
        }
    }

    #[test]
    fn files_that_come_later_join_the_last_batch() {
        let dir = tempfile::tempdir().unwrap();
        let files = pictures(dir.path(), 9);
        let encoder = encoder(4);
        let (whole, resumed) = (dir.path().join("whole.npy"), dir.path().join("resumed.npy"));
        run(&encoder, &files, &whole, |_| ()).unwrap();
        // Six files are a batch and a half; of eight, both are whole.
        for (first, taken) in [(6, 4), (8, 8)] {
            stop(&encoder, &files[..first], &resumed);
            assert_eq!(run(&encoder, &files, &resumed, |_| ()).unwrap().resumed.taken, taken);
            assert!(std::fs::read(&whole).unwrap() == std::fs::read(&resumed).unwrap(), "{first}");
            std::fs::remove_file(&resumed).unwrap();
        }
    }

    #[test]
    fn a_batch_without_rows_takes_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/fixtures/video/clear.gif");
        let bad = dir.path().join("bad.png");
        std::fs::write(&bad, "no picture").unwrap();
        let (encoder, out) = (encoder(1), dir.path().join("r.npy"));
        let files = [clip, bad];
        stop(&encoder, &files, &out);
        let done = run(&encoder, &files, &out, |_| ()).unwrap();
        assert_eq!((done.resumed.taken, done.skipped.len(), done.shape), (2, 1, vec![1, 2]));
    }

    #[test]
    fn what_failed_for_a_cause_outside_of_the_file_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let files = pictures(dir.path(), 6);
        let (encoder, whole, resumed) = (encoder(3), dir.path().join("whole.npy"), dir.path().join("resumed.npy"));
        run(&encoder, &files, &whole, |_| ()).unwrap();
        // The same size and time, as when a permission or a program was missing.
        let set = |bytes: &[u8]| {
            std::fs::write(&files[1], bytes).unwrap();
            let file = std::fs::File::options().write(true).open(&files[1]).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
        };
        let good = std::fs::read(&files[1]).unwrap();
        set(&vec![7; good.len()]);
        stop(&encoder, &files, &resumed);
        set(&good);
        let done = run(&encoder, &files, &resumed, |_| ()).unwrap();
        assert_eq!((done.skipped.len(), done.resumed.taken, done.resumed.regrouped), (0, 3, 3));
        assert!(std::fs::read(&whole).unwrap() == std::fs::read(&resumed).unwrap());
    }

    #[test]
    fn notes_of_a_run_that_was_stopped_are_told_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/fixtures/video/fast_start.mp4");
        let (cut, out) = (dir.path().join("cut.mp4"), dir.path().join("r.npy"));
        let bytes = std::fs::read(&whole).unwrap();
        std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
        let (encoder, files) = (encoder(1), [whole, cut.clone()]);
        stop(&encoder, &files, &out);
        // What happens to damaged frames is a part of what rows depend on.
        let conceal = RowOptions::default().broken(Broken::Skip).damaged(Damaged::Conceal);
        let error = embed_to_file(&encoder, &[], &files, &out, conceal).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
        let done = run(&encoder, &files, &out, |_| ()).unwrap();
        assert_eq!((done.resumed.taken, done.notes.len()), (2, 1));
        assert!(done.notes[0].path == cut && done.notes[0].note.starts_with("cut off: "), "{:?}", done.notes);
    }
}
