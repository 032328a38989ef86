//! `embed` and `embed-text`.

use std::path::{Path, PathBuf};

use serde_json::json;
use vljepa::{AnyFolder, Broken, Embeddings, Error, Need, PictureEncoder, Result, TextModel, VisionModel, VisionPool};

use super::args::{Common, EmbedArgs, EmbedTextArgs};
use super::{Output, open};

enum Format {
    Npy,
    Safetensors,
}

fn format(path: &Path) -> Result<Format> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => Ok(Format::Npy),
        Some("safetensors") => Ok(Format::Safetensors),
        _ => Err(Error::Content {
            path: path.into(),
            reason: "--out takes a name that ends in .npy or .safetensors".into(),
        }),
    }
}

/// Refuses an output that will not work before any work is done for it.
fn check_out(out: Option<&Path>) -> Result<()> {
    out.map_or(Ok(()), |path| format(path).and_then(|_| vljepa::check_writable(path)))
}

pub fn pictures(args: &EmbedArgs, common: &Common, out: &Output) -> Result<()> {
    check_out(args.out.as_deref())?;
    let files = vljepa::picture_files(&args.inputs)?;
    let folder = AnyFolder::find(args.model.model.as_deref())?;
    match &folder {
        AnyFolder::VlJepa(vljepa) => {
            if args.pool.is_some() {
                return Err(one_vector(&folder, "--pool is for V-JEPA 2 encoders"));
            }
            let model = open(vljepa, &args.model, common)?;
            rows(&model.asked(args.query.as_deref())?, &files, args, out)
        }
        AnyFolder::Vision(vision) => {
            if args.query.is_some() {
                return Err(Error::Invalid(format!(
                    "{}: a V-JEPA 2 encoder takes no query; leave --query out, or use a VL-JEPA",
                    folder.origin()
                )));
            }
            let pool = args.pool.map_or(VisionPool::default(), Into::into);
            vision.check_pool(pool)?;
            let device = vljepa::open_device(&common.device)?;
            let model = VisionModel::load_as(&device, vision, args.model.precision.into())?;
            rows(&model.pooled(pool)?, &files, args, out)
        }
        other => Err(other.cannot(Need::Pictures)),
    }
}

/// A way of pooling for a model that has none to choose.
fn one_vector(folder: &AnyFolder, whose: &str) -> Error {
    Error::Invalid(format!(
        "{}: a VL-JEPA gives one vector as it was trained to, {whose}; leave it out",
        folder.origin()
    ))
}

fn rows(encoder: &dyn PictureEncoder, files: &[PathBuf], args: &EmbedArgs, out: &Output) -> Result<()> {
    let bar = out.progress("pictures", files.len());
    let broken = Broken::skip(args.skip_broken);
    let (rows, skipped) = vljepa::embed_files(encoder, files, broken, |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    for skip in &skipped {
        out.note(&format!("skipped: {}", skip.error));
    }
    let mut left_out = skipped.iter().map(|s| &s.path).peekable();
    let kept = files.iter().filter(|f| left_out.next_if(|path| path == f).is_none());
    let names: Vec<String> = kept.map(|f| f.display().to_string()).collect();
    deliver(&rows, "input", &names, args.out.as_deref(), out)
}

pub fn texts(args: &EmbedTextArgs, common: &Common, out: &Output) -> Result<()> {
    check_out(args.out.as_deref())?;
    let folder = AnyFolder::find(args.model.model.as_deref())?;
    let bar = out.progress("texts", args.texts.len());
    let done = |n: usize| bar.set_position(n as u64);
    let rows = match &folder {
        AnyFolder::VlJepa(vljepa) => {
            if args.pool.is_some() {
                return Err(one_vector(&folder, "--pool is for text encoders"));
            }
            open(vljepa, &args.model, common)?.embed_texts(&args.texts, done)?
        }
        AnyFolder::Text(text) => {
            let device = vljepa::open_device(&common.device)?;
            let pool = args.pool.map(Into::into);
            TextModel::load_as(&device, text, pool, args.model.precision.into())?.embed_texts(&args.texts, done)?
        }
        other => return Err(other.cannot(Need::Texts)),
    };
    bar.finish_and_clear();
    deliver(&rows, "text", &args.texts, args.out.as_deref(), out)
}

fn deliver(rows: &Embeddings, what: &str, names: &[String], file: Option<&Path>, out: &Output) -> Result<()> {
    if let Some(path) = file {
        let bytes = match format(path)? {
            Format::Npy => rows.to_npy(),
            Format::Safetensors => rows.to_safetensors(&[(what, json!(names).to_string())])?,
        };
        vljepa::write_atomically(path, &bytes)?;
        let shape = [&[rows.rows()], rows.shape()].concat();
        return if out.json {
            let name = path.display().to_string();
            out.document(&json!({ "out": name, "shape": shape, "dtype": "f32", format!("{what}s"): names }))
        } else {
            let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
            out.text(&format!("{} f32 in {}\n", shape.join(" x "), path.display()))
        };
    }
    if out.json {
        // A row of tokens is a list of vectors.
        let width = rows.shape().last().copied().unwrap_or(1).max(1);
        let row = |i: usize| match rows.shape().len() {
            1 => json!({ what: names[i], "embedding": rows.row(i) }),
            _ => json!({ what: names[i], "embedding": rows.row(i).chunks(width).collect::<Vec<_>>() }),
        };
        return out.document(&json!({ "dim": width, "rows": (0..rows.rows()).map(row).collect::<Vec<_>>() }));
    }
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        let values: Vec<String> = rows.row(i).iter().map(f32::to_string).collect();
        text += &format!("{name}\t{}\n", values.join(" "));
    }
    out.text(&text)
}
