//! `embed`: embeddings of pictures and videos.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;
use vljepa::embed::files::check_writable;
use vljepa::embed::folder::{AnyFolder, Purpose};
use vljepa::embed::models::{VisionModel, VisionPool};
use vljepa::embed::partial::{Resumed, is_begun};
use vljepa::embed::row_file::{RowFile, RowFormat, embed_to_file, write_rows};
use vljepa::embed::visuals::{Broken, FileOptions, VisualEncoder, embed_files, find_files, without_skipped};
use vljepa_tensor::Device;

use super::common::{Common, ModelArgs, adapter, note_query, open};
use super::failure::{Failure, Result};
use super::output::{Output, paths};
use super::rows::{self, one_vector};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Picture or video files, or folders to search for them
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// What is asked about the pictures
    #[arg(long, value_name = "TEXT")]
    pub query: Option<String>,
    /// V-JEPA 2: how its tokens become a row; absent: mean
    #[arg(long, value_name = "HOW")]
    pub pool: Option<PoolArg>,
    /// Write the rows to a .npy or .safetensors file instead of printing them; a run that was stopped goes on where it was
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Leave out files that cannot be read instead of stopping at the first
    #[arg(long)]
    pub skip_broken: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// `embed --pool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PoolArg {
    /// All tokens: rows of [tokens, width], as the encoder gives them, not normalised
    None,
    /// Their mean
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
    // An output that will not work is refused before any work is done for it.
    if let Some(path) = &args.out {
        RowFormat::of(path)?;
        check_writable(path)?;
    }
    let files = find_files(&args.inputs)?;
    let folder = vljepa::find(args.model.model.as_deref())?;
    match &folder {
        AnyFolder::VlJepa(vljepa) => {
            if args.pool.is_some() {
                return Err(one_vector(&folder, "--pool is for V-JEPA 2 encoders"));
            }
            let model = open(vljepa, &args.model, common)?;
            let depends = Depends { query: args.query.as_deref(), pool: None, device: model.device() };
            let asked = model.with_query(depends.query)?;
            note_query(&asked, depends.query.map(|_| "--query"), out);
            embed(&asked, &folder, &depends, &files, args, out)
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
            embed(&model.pooled(pool.into())?, &folder, &depends, &files, args, out)
        }
        other => Err(other.cannot(Purpose::Pictures).into()),
    }
}

/// Rows of files to standard output or to a file; `depends` is what they depend on beside the model and the files.
fn embed(
    encoder: &dyn VisualEncoder,
    folder: &AnyFolder,
    depends: &Depends<'_>,
    files: &[PathBuf],
    args: &Args,
    out: &Output,
) -> Result {
    let bar = out.progress("pictures", files.len());
    let broken = Broken::skip(args.skip_broken);
    // What fits into one batch is done at once: there is nothing to go on with, unless there is something already.
    let begun = args.out.as_deref().map(is_begun).transpose()?.unwrap_or(false);
    let many = begun || files.len() > encoder.batch(encoder.frames());
    if let Some(path) = args.out.as_deref().filter(|_| many) {
        let identity = json!({
            "model": folder.hash(),
            "precision": args.model.precision,
            "query": depends.query,
            "pool": depends.pool,
            "device": adapter(depends.device),
        });
        let on_event = rows::on_event(path, &bar, out);
        let written = embed_to_file(encoder, &args.inputs, files, path, &identity, broken, on_event)?;
        bar.finish_and_clear();
        out.skipped(&written.skipped);
        return report(&written, path, out);
    }
    let progress = &mut |n| bar.set_position(n as u64);
    let options = FileOptions::default().broken(broken).on_progress(progress);
    let (embedded, skipped) = embed_files(encoder, files, options)?;
    bar.finish_and_clear();
    out.skipped(&skipped);
    let names: Vec<String> = without_skipped(files, &skipped).map(|f| f.display().to_string()).collect();
    let Some(path) = args.out.as_deref() else { return rows::print(&embedded, "input", &names, None, out) };
    write_rows(path, &embedded, "input", &names)?;
    let shape = [&[embedded.rows()], embedded.shape()].concat();
    report(&RowFile { shape, names, skipped, resumed: Resumed::default() }, path, out)
}

/// What a file with rows of pictures holds.
fn report(written: &RowFile, path: &Path, out: &Output) -> Result {
    if !out.json {
        return out.text(&rows::written(&written.shape, path));
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
