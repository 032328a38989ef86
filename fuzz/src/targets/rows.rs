//! Unfinished rows with their journal, and indices.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use vljepa::index::{Entry, Filter, Index, Made, Wanted, search, write_index};
use vljepa_data::{Preprocess, Rgba8Image, encode_png};
use vljepa_embed::Embeddings;
use vljepa_embed::partial::{Partial, Task};
use vljepa_embed::visuals::{Broken, Moment, Reading, VisualEncoder};

use crate::error::{Result, other};
use crate::mutate::Shape;
use crate::target::{Case, Target};

/// Gives each picture a row of four numbers.
struct Four(Preprocess);

impl VisualEncoder for Four {
    fn preprocess(&self) -> &Preprocess {
        &self.0
    }

    fn frames(&self) -> usize {
        1
    }

    fn tokens(&self, _: usize) -> usize {
        1
    }

    fn shape(&self, _: usize) -> Vec<usize> {
        vec![4]
    }

    fn unit(&self) -> bool {
        true
    }

    fn encode(&self, pixels: &[f32], count: usize, _: usize) -> vljepa_embed::Result<Vec<f32>> {
        let first = |i: usize| pixels.get(i * pixels.len() / count.max(1)).copied().unwrap_or(0.0);
        Ok((0..count).flat_map(|i| [first(i), 1.0, 2.0, 3.0]).collect())
    }
}

/// A folder with pictures, the same in each process, and what is done with them. Paths are relative, because the journal
/// holds them.
struct Place {
    encoder: Four,
    files: Vec<PathBuf>,
    out: PathBuf,
    depends: Value,
}

impl Place {
    fn new(folder: &Path) -> Result<Self> {
        std::env::set_current_dir(folder)?;
        let files: Vec<PathBuf> = (0..3).map(|i| PathBuf::from(format!("{i}.png"))).collect();
        for (i, file) in (0..).zip(&files) {
            let picture = Rgba8Image::new(2, 2, vec![i * 40; 16]).map_err(other)?;
            std::fs::write(file, encode_png(&picture).map_err(other)?)?;
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            std::fs::File::options().write(true).open(file)?.set_modified(time)?;
        }
        let encoder = Four(Preprocess::square(8));
        Ok(Self { encoder, files, out: PathBuf::from("rows.npy"), depends: json!({"model": "four"}) })
    }

    fn task(&self) -> Task<'_> {
        let Self { files, out, depends, .. } = self;
        let (broken, reading) = (Broken::Stop, Reading::default());
        Task { task: "rows", inputs: files, files, out, depends, broken, reading, may_be_empty: false }
    }

    /// Journal and rows of a run that ended before its output file.
    fn parts(&self) -> Result<[Vec<u8>; 2]> {
        drop(Partial::complete(&self.encoder, &self.task(), &mut |_| ()).map_err(other)?);
        Ok([std::fs::read("rows.npy.partial.jsonl")?, std::fs::read("rows.npy.partial")?])
    }

    fn resume(&self, journal: &[u8], rows: &[u8]) {
        let written =
            std::fs::write("rows.npy.partial.jsonl", journal).and_then(|()| std::fs::write("rows.npy.partial", rows));
        if written.is_ok()
            && let Ok(partial) = Partial::complete(&self.encoder, &self.task(), &mut |_| ())
        {
            let read = std::io::copy(&mut partial.ordered(), &mut std::io::sink());
            let _ = (partial.rows(), partial.stamps().count(), read);
        }
    }
}

fn seed(part: usize) -> Result<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir()?;
    let parts = Place::new(folder.path())?.parts()?;
    Ok(vec![parts[part].clone()])
}

pub const JOURNAL: Target = Target {
    name: "journal",
    about: "the journal of unfinished rows",
    shape: Shape::Bytes,
    megabytes: 64,
    seeds: || seed(0),
    make: |folder| -> Result<Case> {
        let place = Place::new(folder)?;
        let [_, rows] = place.parts()?;
        Ok(Box::new(move |input| place.resume(input, &rows)))
    },
};

pub const ROWS: Target = Target {
    name: "rows",
    about: "unfinished rows",
    shape: Shape::Bytes,
    megabytes: 64,
    seeds: || seed(1),
    make: |folder| -> Result<Case> {
        let place = Place::new(folder)?;
        let [journal, _] = place.parts()?;
        Ok(Box::new(move |input| place.resume(&journal, input)))
    },
};

pub const INDEX: Target = Target {
    name: "index",
    about: "indices of pictures",
    shape: Shape::Header,
    megabytes: 64,
    seeds: || {
        let model = vljepa::Builtin::Compact.open().map_err(other)?;
        let dim = model.config().embedding_dim;
        let mut rows = vec![0.0f32; 3 * dim];
        (0..3).for_each(|row| rows[row * dim + row] = 1.0);
        let bytes: Vec<u8> = rows.iter().flat_map(|v| v.to_le_bytes()).collect();
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("seed.idx");
        let made = Made {
            model: model.hash().into(),
            root: "/pictures".into(),
            program: "0.1".into(),
            reading: Reading::default(),
            settings: json!({ "precision": "f32" }),
            frame_folders: false,
            mixed: false,
        };
        let entry = |path: &str, clips| Entry { path: path.into(), size: 1, modified: 2, noted: false, clips };
        let clips = [(0.0, 1.5), (1.5, 3.0)].map(|(start, end)| Moment { start, end }).into();
        let entries = [entry("a.png", Vec::new()), entry("below/b.mp4", clips)];
        write_index(&path, &made, &entries, dim, &mut &bytes[..]).map_err(other)?;
        Ok(vec![std::fs::read(path)?])
    },
    make: |folder| -> Result<Case> {
        let model = vljepa::Builtin::Compact.open().map_err(other)?;
        let path = folder.join("case.idx");
        let dim = model.config().embedding_dim;
        let query = Embeddings::from_unit_rows(dim, vec![(dim as f32).powf(-0.5); dim]);
        Ok(Box::new(move |input| {
            let _ = std::fs::remove_file(&path);
            if std::fs::write(&path, input).is_ok()
                && let Ok(index) = Index::open(&path, &model)
            {
                let filter = Filter::default().times(Some(1.0), None).unwrap_or_default();
                for wanted in [Wanted { top: 9, ..Wanted::default() }, Wanted { top: 9, merge: true, filter }] {
                    let _ = search(std::slice::from_ref(&index), &query, &wanted);
                }
                let _ = index.info();
            }
        }))
    },
};
