//! `embed`: embeds pictures and videos.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;
use vljepa::Builtin;
use vljepa::embed::files::check_writable;
use vljepa::embed::folder::{AnyFolder, Purpose};
use vljepa::embed::list_of;
use vljepa::embed::models::{VisionModel, VisionPool};
use vljepa::embed::partial::{RowOptions, is_begun};
use vljepa::embed::row_file::{RowFile, RowFormat, embed_to_file, write_file_rows};
use vljepa::embed::visuals::{FileOptions, Reading, VisualEncoder, embed_files};
use vljepa_data::Crops;
use vljepa_tensor::Device;

use super::common::{Common, ModelArgs, adapter, keep_apart, note_query, open};
use super::failure::{Failure, Result};
use super::output::{FilesBar, Output, notes, paths};
use super::read::ReadArgs;
use super::rows::{self, one_vector};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Picture or video files, folders to search for them, or - for Y4M, Motion JPEG or raw frames on standard input
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// A question about the pictures, for a VL-JEPA that takes queries
    #[arg(long, value_name = "TEXT")]
    pub query: Option<String>,
    /// V-JEPA 2: how tokens are pooled into a row; absent: mean
    #[arg(long, value_name = "HOW")]
    pub pool: Option<PoolArg>,
    /// Write the rows to a .npy, .safetensors or (where built in) .parquet file instead of printing them; to resume a run that was stopped, give
    /// the same file again
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub read: ReadArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// The values of `embed --pool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PoolArg {
    /// No pooling: rows of [tokens, width], not normalised
    None,
    /// The mean of the tokens
    Mean,
    /// The last token
    Last,
    /// The attentive pooler of a classifier checkpoint
    Probe,
}

impl From<PoolArg> for VisionPool {
    fn from(arg: PoolArg) -> Self {
        match arg {
            PoolArg::None => VisionPool::None,
            PoolArg::Mean => VisionPool::Mean,
            PoolArg::Last => VisionPool::Last,
            PoolArg::Probe => VisionPool::Probe,
        }
    }
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    // Refuse an output file that cannot be written before any work is done.
    if let Some(path) = &args.out {
        RowFormat::of(path)?;
        check_writable(path)?;
        check_writable(&list_of(path)?)?;
    }
    let reading = args.read.reading()?;
    if args.query.as_deref().is_some_and(|query| query.trim().is_empty()) {
        return Err(Failure::message("--query: the query is empty; say what is asked, or leave --query out"));
    }
    let files = args.read.find(&args.inputs, out)?;
    if let Some(path) = &args.out {
        keep_apart(path, &files, args.model.model.as_deref())?;
    }
    let folder = vljepa::find(args.model.model.as_deref(), Builtin::Compact)?;
    match &folder {
        AnyFolder::VlJepa(vljepa) => {
            if args.pool.is_some() {
                return Err(one_vector(&folder, "--pool is for V-JEPA 2 encoders"));
            }
            let model = open(vljepa, &args.model, common)?;
            let depends = Depends { query: args.query.as_deref(), pool: None, device: model.device() };
            let asked = model.with_query(depends.query)?;
            note_query(&asked, depends.query.map(|_| "--query"), out);
            embed(&asked, &folder, &depends, (&files, reading), args, out)
        }
        AnyFolder::Vision(vision) => {
            if args.query.is_some() {
                return Err(Failure::message(format!(
                    "{}: a V-JEPA 2 encoder takes no query; leave --query out, or use a VL-JEPA",
                    folder.origin()
                )));
            }
            let pool = args.pool.unwrap_or(PoolArg::Mean);
            if pool == PoolArg::Probe {
                vision.check_probe()?;
            }
            let device = vljepa::open_device(&common.device)?;
            let model = VisionModel::load_as(&device, vision, args.model.precision.into())?;
            let depends = Depends { query: None, pool: Some(pool), device: &device };
            embed(&model.pooled(pool.into())?, &folder, &depends, (&files, reading), args, out)
        }
        other => Err(other.cannot(Purpose::Pictures).into()),
    }
}

/// Embeds files, and prints the rows or writes them to a file.
fn embed(
    encoder: &dyn VisualEncoder,
    folder: &AnyFolder,
    depends: &Depends<'_>,
    (files, reading): (&[PathBuf], Reading),
    args: &Args,
    out: &Output,
) -> Result {
    reading.check(encoder)?;
    if encoder.shape(1).len() > 1 && reading.crops != Crops::Center {
        return Err(Failure::message(
            "--crops three: the tokens of different squares have no mean; pool them, or leave it out",
        ));
    }
    // A single batch leaves nothing to resume, so it is embedded in memory, unless an earlier run has begun the file.
    let begun = args.out.as_deref().map(is_begun).transpose()?.unwrap_or(false);
    let resumable = begun || files.len() > encoder.batch(encoder.frames()) || !reading.sampling.is_default();
    if let Some(path) = args.out.as_deref().filter(|_| resumable) {
        let identity = json!({
            "model": folder.hash(),
            "precision": args.model.precision,
            "query": depends.query,
            "pool": depends.pool,
            "device": adapter(depends.device),
        });
        let bar = FilesBar::new(files.len(), &reading);
        let mut on_event = rows::on_event(path, &bar, out);
        let options = RowOptions::default()
            .broken(args.read.broken())
            .reading(reading)
            .identity(identity)
            .on_event(&mut on_event);
        let written = embed_to_file(encoder, &args.inputs, files, path, options)?;
        bar.finish();
        out.skipped(&written.skipped);
        out.noted(&written.notes);
        return report(&written, path, out);
    }
    let work = |options: FileOptions<'_>| Ok(embed_files(encoder, files, options)?);
    let (embedded, noted) = args.read.with_options(reading, files.len(), out, work)?;
    out.skipped(&embedded.skipped);
    let Some(path) = args.out.as_deref() else {
        return rows::print_files(&embedded, files, &noted, out);
    };
    let written = write_file_rows(path, &embedded, files, &reading)?;
    report(&RowFile { skipped: embedded.skipped, notes: noted, ..written }, path, out)
}

/// Reports the file of rows that was written.
fn report(written: &RowFile, path: &Path, out: &Output) -> Result {
    if !out.json {
        return out.text(&rows::written(&written.shape, path));
    }
    let list = written.of.iter().any(|row| row.moment.is_some()).then(|| list_of(path)).transpose()?;
    out.document(&json!({
        "out": path.display().to_string(), "shape": written.shape, "dtype": "f32", "inputs": written.names,
        "list": list.map(|list| list.display().to_string()), "resumed": written.resumed.taken, "done_anew": written.resumed.anew(), "skipped": paths(&written.skipped),
        "notes": notes(&written.notes),
    }))
}

/// What rows depend on, besides the model, its precision and the files.
struct Depends<'a> {
    query: Option<&'a str>,
    pool: Option<PoolArg>,
    device: &'a Device,
}
