//! `embed` and `embed-text`.

use std::path::{Path, PathBuf};

use serde_json::json;
use vljepa::{
    AnyFolder, Broken, Embeddings, Error, Need, PictureEncoder, Result, Resumed, RowFile, RowFormat, TextModel,
    VisionModel, kept,
};
use vljepa_tensor::Device;

use super::args::{Common, EmbedArgs, EmbedTextArgs, PoolArg};
use super::output::paths;
use super::{Output, adapter, heard, note_cut, note_query, open};

pub fn pictures(args: &EmbedArgs, common: &Common, out: &Output) -> Result<()> {
    // An output that will not work is refused before any work is done for it.
    if let Some(path) = &args.out {
        RowFormat::of(path)?;
        vljepa::check_writable(path)?;
    }
    let files = vljepa::picture_files(&args.inputs)?;
    let folder = AnyFolder::find(args.model.model.as_deref())?;
    match &folder {
        AnyFolder::VlJepa(vljepa) => {
            if args.pool.is_some() {
                return Err(one_vector(&folder, "--pool is for V-JEPA 2 encoders"));
            }
            let model = open(vljepa, &args.model, common)?;
            let depends = Depends { query: args.query.as_deref(), pool: None, device: model.device() };
            let asked = model.asked(depends.query)?;
            note_query(&asked, depends.query.map(|_| "--query"), out);
            rows(&asked, &folder, &depends, &files, args, out)
        }
        AnyFolder::Vision(vision) => {
            if args.query.is_some() {
                return Err(Error::Invalid(format!(
                    "{}: a V-JEPA 2 encoder takes no query; leave --query out, or use a VL-JEPA",
                    folder.origin()
                )));
            }
            let pool = args.pool.unwrap_or(PoolArg::Mean);
            vision.check_pool(pool.into())?;
            let device = vljepa::open_device(&common.device)?;
            let model = VisionModel::load_as(&device, vision, args.model.precision.into())?;
            let depends = Depends { query: None, pool: Some(pool), device: &device };
            rows(&model.pooled(pool.into())?, &folder, &depends, &files, args, out)
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

/// Rows of files to standard output or to a file; `depends` is what they depend on beside the model and the files.
fn rows(
    encoder: &dyn PictureEncoder,
    folder: &AnyFolder,
    depends: &Depends<'_>,
    files: &[PathBuf],
    args: &EmbedArgs,
    out: &Output,
) -> Result<()> {
    let bar = out.progress("pictures", files.len());
    let done = |n: usize| bar.set_position(n as u64);
    let broken = Broken::skip(args.skip_broken);
    // What fits into one batch is done at once: there is nothing to go on with, unless there is something already.
    let begun = args.out.as_deref().map(vljepa::is_begun).transpose()?.unwrap_or(false);
    let many = begun || files.len() > encoder.batch(encoder.frames());
    if let Some(path) = args.out.as_deref().filter(|_| many) {
        let identity = json!({
            "model": folder.hash(),
            "precision": args.model.precision,
            "query": depends.query,
            "pool": depends.pool,
            "device": adapter(depends.device),
        });
        let written =
            vljepa::embed_to_file(encoder, &args.inputs, files, path, &identity, broken, heard(path, &bar, out))?;
        bar.finish_and_clear();
        out.skipped(&written.skipped);
        return report(&written, path, out);
    }
    let (rows, skipped) = vljepa::embed_files(encoder, files, broken, done)?;
    bar.finish_and_clear();
    out.skipped(&skipped);
    let names: Vec<String> = kept(files, &skipped).map(|f| f.display().to_string()).collect();
    let Some(path) = args.out.as_deref() else { return deliver(&rows, "input", &names, None, out) };
    vljepa::write_rows(path, &rows, "input", &names)?;
    let shape = [&[rows.rows()], rows.shape()].concat();
    report(&RowFile { shape, names, skipped, resumed: Resumed::default() }, path, out)
}

/// What a file with rows of pictures holds.
fn report(written: &RowFile, path: &Path, out: &Output) -> Result<()> {
    if !out.json {
        return out.text(&self::written(&written.shape, path));
    }
    out.document(&json!({
        "out": path.display().to_string(), "shape": written.shape, "dtype": "f32", "inputs": written.names,
        "resumed": written.resumed.taken, "done_anew": written.resumed.anew(), "skipped": paths(&written.skipped),
    }))
}

/// What rows depend on, beside the model and the files.
struct Depends<'a> {
    query: Option<&'a str>,
    pool: Option<PoolArg>,
    device: &'a Device,
}

fn written(shape: &[usize], path: &Path) -> String {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("{} f32 in {}\n", shape.join(" x "), path.display())
}

pub fn texts(args: &EmbedTextArgs, common: &Common, out: &Output) -> Result<()> {
    if let Some(path) = &args.out {
        vljepa::check_rows(path)?;
    }
    vljepa::check_texts("TEXT", &args.texts)?;
    let folder = AnyFolder::find(args.model.model.as_deref())?;
    let bar = out.progress("texts", args.texts.len());
    let done = |n: usize| bar.set_position(n as u64);
    let (rows, cut) = match &folder {
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
    note_cut(cut.as_ref(), |i| format!("TEXT {}", i + 1), out);
    deliver(&rows, "text", &args.texts, args.out.as_deref(), out)
}

fn deliver(rows: &Embeddings, what: &str, names: &[String], file: Option<&Path>, out: &Output) -> Result<()> {
    if let Some(path) = file {
        vljepa::write_rows(path, rows, what, names)?;
        let shape = [&[rows.rows()], rows.shape()].concat();
        if out.json {
            let name = path.display().to_string();
            return out.document(&json!({ "out": name, "shape": shape, "dtype": "f32", format!("{what}s"): names }));
        }
        return out.text(&written(&shape, path));
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
