//! `embed` and `embed-text`.

use std::path::Path;

use serde_json::json;
use vljepa::{Embeddings, Error, Result};

use super::args::{Common, EmbedArgs, EmbedTextArgs};
use super::{Output, load};

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
    let (_, model) = load(&args.model, common)?;
    let bar = out.progress("pictures", files.len());
    let rows = model.embed_files(&files, args.query.as_deref(), |n| bar.set_position(n as u64))?;
    bar.finish_and_clear();
    let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    deliver(&rows, "input", &names, args.out.as_deref(), out)
}

pub fn texts(args: &EmbedTextArgs, common: &Common, out: &Output) -> Result<()> {
    check_out(args.out.as_deref())?;
    let (_, model) = load(&args.model, common)?;
    let bar = out.progress("texts", args.texts.len());
    let rows = model.embed_texts(&args.texts, |n| bar.set_position(n as u64))?;
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
        let (n, dim) = (rows.rows(), rows.dim());
        return if out.json {
            let name = path.display().to_string();
            out.document(&json!({ "out": name, "shape": [n, dim], "dtype": "f32", format!("{what}s"): names }))
        } else {
            out.text(&format!("{n} x {dim} f32 in {}\n", path.display()))
        };
    }
    if out.json {
        let row = |i: usize| json!({ what: names[i], "embedding": rows.row(i) });
        return out.document(&json!({ "dim": rows.dim(), "rows": (0..rows.rows()).map(row).collect::<Vec<_>>() }));
    }
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        let values: Vec<String> = rows.row(i).iter().map(f32::to_string).collect();
        text += &format!("{name}\t{}\n", values.join(" "));
    }
    out.text(&text)
}
