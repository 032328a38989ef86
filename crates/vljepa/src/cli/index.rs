//! `index build`: builds a persistent index of a picture folder.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use vljepa::embed::files::check_writable;
use vljepa::embed::folder::Purpose;
use vljepa::embed::partial::RowOptions;
use vljepa::index::{Index, PictureFolder};

use super::common::{Common, ModelArgs, adapter, keep_apart, load, note_query};
use super::failure::Result;
use super::output::{self, FilesBar, Output};
use super::read::ReadArgs;
use super::rows::on_event;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: IndexVerb,
}

#[derive(Debug, Subcommand)]
pub enum IndexVerb {
    /// Embed every picture of a folder and write an index
    Build(IndexBuildArgs),
}

#[derive(Debug, clap::Args)]
pub struct IndexBuildArgs {
    /// Folder with pictures and videos, searched recursively
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The index file to write; to resume a run that was stopped, give the same file again. Rows of unchanged files are taken
    /// over from an index that is there; remove it first to compute all of them
    #[arg(long, value_name = "IDX")]
    pub out: PathBuf,
    #[command(flatten)]
    pub read: ReadArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    let IndexVerb::Build(args) = &args.verb;
    check_writable(&args.out)?;
    let reading = args.read.reading()?;
    let mut pictures = PictureFolder::open(&args.dir)?;
    out.passed_over(pictures.passed_over());
    if args.read.frame_folders {
        pictures = pictures.frame_folders()?;
    }
    keep_apart(&args.out, pictures.files(), args.model.model.as_deref())?;
    let (_, model) = load(&args.model, common, Purpose::Index)?;
    note_query(&model.with_query(None)?, None, out);
    let bar = FilesBar::new(pictures.files().len(), &reading);
    let identity = json!({
        "precision": args.model.precision,
        "device": adapter(model.device()),
    });
    let mut on_event = on_event(&args.out, &bar, out);
    let options =
        RowOptions::default().broken(args.read.broken()).reading(reading).identity(identity).on_event(&mut on_event);
    let index = Index::build(&model, pictures, &args.out, options)?;
    bar.finish();
    out.skipped(&index.skipped);
    out.noted(&index.notes);
    let path = args.out.display().to_string();
    if out.json {
        return out.document(&json!({
            "out": path, "pictures": index.pictures, "rows": index.rows, "dim": model.dim(), "model": model.hash(),
            "reused": index.reused, "resumed": index.resumed.taken, "done_anew": index.resumed.anew(),
            "skipped": output::paths(&index.skipped), "notes": output::notes(&index.notes),
        }));
    }
    let reused = match index.reused {
        0 => String::new(),
        n => format!(", {n} of them as they were in the index before"),
    };
    let rows = if index.rows == index.pictures { String::new() } else { format!(" as {} clips", index.rows) };
    out.text(&format!("{} pictures{rows} in {path}{reused}\n", index.pictures))
}
