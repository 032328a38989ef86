//! Rows of any number of files in one file.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vljepa_model::weights::{Dtype, Remapped, TensorView, write_safetensors};

use crate::embeddings::{Embeddings, npy_header};
use crate::encoders::hash_of;
use crate::error::{Error, Result};
use crate::files::{check_writable, stream_atomically};
use crate::media::{Broken, PictureEncoder, Skipped, encode_files, kept, nothing_left};
use crate::partial::{Partial, Resumed, check_unbegun};

/// Formats of files with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// NumPy's.
    Npy,
    /// A safetensors file with the tensor `embeddings`, and the names of the rows in its header.
    SafeTensors,
}

impl RowFormat {
    /// The format that a file's name asks for.
    ///
    /// # Errors
    /// Another extension.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::SafeTensors),
            _ => Err(Error::content(path, "--out takes a name that ends in .npy or .safetensors")),
        }
    }

    /// Writes a file with the rows that `bytes` holds. `key` is what the header calls their `names`.
    fn write(self, path: &Path, shape: &[usize], bytes: &[u8], key: &str, names: &[String]) -> Result<()> {
        let (rows, row) = (shape.first().copied().unwrap_or(0), shape.get(1..).unwrap_or_default());
        stream_atomically(path, |out| match self {
            Self::Npy => {
                let whole = out.write_all(&npy_header(rows, row)).and_then(|()| out.write_all(bytes));
                whole.map_err(Error::io(path, "writing"))
            }
            Self::SafeTensors => {
                let mut tensors = Remapped::new();
                let view = TensorView { dtype: Dtype::F32, shape, bytes };
                tensors.add("embeddings", view).map_err(Error::model(path.display()))?;
                let metadata = [(key.to_owned(), json!(names).to_string())].into();
                write_safetensors(&tensors, &metadata, out, |_, _| ()).map_err(Error::model(path.display()))
            }
        })
    }
}

/// Checks that a file with rows can be written, so that long work does not end in a refusal. Leaves nothing behind.
///
/// # Errors
/// As [`write_rows`].
pub fn check_rows(path: &Path) -> Result<()> {
    RowFormat::of(path)?;
    check_unbegun(path)?;
    check_writable(path)
}

/// Writes rows that are in memory. `key` is what the header of a safetensors file calls their `names`.
///
/// # Errors
/// An extension of no format, a file that an unfinished run of [`embed_to_file`] has begun, and when it cannot be written.
pub fn write_rows(path: &Path, rows: &Embeddings, key: &str, names: &[String]) -> Result<()> {
    let format = RowFormat::of(path)?;
    check_unbegun(path)?;
    let bytes: Vec<u8> = rows.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
    let shape = [&[rows.rows()], rows.shape()].concat();
    format.write(path, &shape, &bytes, key, names)
}

/// A file with rows that was written.
#[derive(Debug)]
pub struct RowFile {
    /// Number of rows, and shape of one.
    pub shape: Vec<usize>,
    /// The names of the rows.
    pub names: Vec<String>,
    /// Files left out.
    pub skipped: Vec<Skipped>,
    /// What of an earlier run counted.
    pub resumed: Resumed,
}

/// What [`embed_to_file`] tells while it works.
#[derive(Clone, Copy, Debug)]
pub enum RowEvent {
    /// What of an earlier run counts; the first, where there was one.
    Resumed(Resumed),
    /// So many files are done.
    Done(usize),
}

/// Embeds `files`, which were found at `inputs`, into `out`, going on where an earlier run with the same inputs and the same
/// `identity` (an object: all else that the rows depend on) was stopped. The rows are those of a run that nothing stopped: of
/// the earlier run counts each batch whose files are unchanged and still go through the model together, and whose rows match
/// their checksum. Only one batch is in memory at a time.
///
/// # Errors
/// As [`embed_files`](crate::embed_files), also for a file that an earlier run left out; an unfinished file of another
/// identity, or of a run that is under way; what writing reports. What is done by then stays, for the next run.
pub fn embed_to_file(
    encoder: &dyn PictureEncoder,
    inputs: &[PathBuf],
    files: &[PathBuf],
    out: &Path,
    identity: &Value,
    broken: Broken,
    mut heard: impl FnMut(RowEvent),
) -> Result<RowFile> {
    let format = RowFormat::of(out)?;
    // A list of any length takes the room of one hash.
    let input = hash_of(inputs.iter().map(|path| path.as_os_str().as_encoded_bytes()));
    let mut identity =
        identity.as_object().cloned().unwrap_or_else(|| [("identity".into(), identity.clone())].into_iter().collect());
    identity.insert("input".into(), input.into());
    let identity = Value::Object(identity);
    let mut partial = Partial::open(out, &identity, encoder, files, broken)?;
    let resumed = partial.resumed();
    if resumed != Resumed::default() {
        heard(RowEvent::Resumed(resumed));
    }
    let mut done = resumed.taken;
    heard(RowEvent::Done(done));
    let worked = partial.missing(files.len()).into_iter().try_for_each(|run| {
        encode_files(encoder, files, run, broken, &mut |batch| {
            done += batch.files.len();
            partial.add(files, batch)?;
            heard(RowEvent::Done(done));
            Ok(())
        })
    });
    let worked = worked.and_then(|()| match partial.rows() {
        0 => Err(nothing_left(&partial.left_out(files))),
        _ => Ok(()),
    });
    if let Err(error) = worked {
        // Without rows there is nothing to go on with.
        if partial.is_empty() {
            partial.remove();
        }
        return Err(error);
    }
    let skipped = partial.left_out(files);
    let names = kept(files, &skipped).map(|path| path.display().to_string()).collect::<Vec<_>>();
    let shape = [&[partial.rows()], partial.shape()].concat();
    format.write(out, &shape, &partial.ordered(out)?, "input", &names)?;
    partial.remove();
    Ok(RowFile { shape, names, skipped, resumed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vljepa_data::{Preprocess, Rgba8Image, encode_png};

    /// Rows that tell with how many others they were made; those of clips are shorter.
    struct Counting(Preprocess, usize);

    impl PictureEncoder for Counting {
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
        let config = vljepa_model::config::VlJepaConfig::from_json(include_str!("../assets/compact/config.json"));
        Counting(vljepa_train::preprocess(&config.unwrap()), batch)
    }

    fn run(encoder: &Counting, files: &[PathBuf], out: &Path, mut done: impl FnMut(usize)) -> Result<RowFile> {
        let heard = |event| {
            if let RowEvent::Done(n) = event {
                done(n);
            }
        };
        embed_to_file(encoder, &[], files, out, &json!({}), Broken::Skip, heard)
    }

    /// Stops behind the last batch: a folder takes the place of the file.
    fn stop(encoder: &Counting, files: &[PathBuf], out: &Path) {
        let end = |n| {
            if n == files.len() {
                std::fs::create_dir(out).unwrap();
            }
        };
        assert!(run(encoder, files, out, end).unwrap_err().to_string().contains("is a folder"));
        std::fs::remove_dir(out).unwrap();
    }

    #[test]
    fn files_that_come_later_join_the_last_batch() {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = (0..9u8)
            .map(|i| {
                let path = dir.path().join(format!("{i}.png"));
                let picture = Rgba8Image::new(4, 4, [i * 20, 3, 9, 255].repeat(16)).unwrap();
                std::fs::write(&path, encode_png(&picture).unwrap()).unwrap();
                path
            })
            .collect();
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
}
