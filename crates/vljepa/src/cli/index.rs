//! `index`: builds, updates and describes a persistent index of a folder of pictures and videos.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use vljepa::Builtin;
use vljepa::embed::Model;
use vljepa::embed::files::check_writable;
use vljepa::embed::folder::Purpose;
use vljepa::embed::partial::RowOptions;
use vljepa::embed::visuals::Broken;
use vljepa::index::{Index, Indexed, PictureFolder, State};

use super::common::{Common, ModelArgs, PrecisionArg, adapter, keep_apart, load, note_query};
use super::failure::{Failure, Result};
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
    /// Embed every picture and video of a folder and write an index
    Build(BuildArgs),
    /// Embed what is new or has changed in the folder of an index, and drop what is gone
    Update(UpdateArgs),
    /// Show what is in an index, and whether its folder has changed since
    Info(InfoArgs),
}

#[derive(Debug, clap::Args)]
pub struct BuildArgs {
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

#[derive(Debug, clap::Args)]
pub struct UpdateArgs {
    /// Index of `vljepa index build`; its files are read as they were then
    #[arg(value_name = "IDX")]
    pub index: PathBuf,
    /// Leave out files that cannot be read instead of stopping at the first
    #[arg(long)]
    pub skip_broken: bool,
    /// Folder of the model that the index was built with; or the name of a built-in one; absent: compact
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct InfoArgs {
    /// Index of `vljepa index build`
    #[arg(value_name = "IDX")]
    pub index: PathBuf,
}

/// The name under which an index keeps the precision of its rows.
const PRECISION: &str = "precision";

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    match &args.verb {
        IndexVerb::Build(args) => build(args, common, out),
        IndexVerb::Update(args) => update(args, common, out),
        IndexVerb::Info(args) => info(args, out),
    }
}

fn build(args: &BuildArgs, common: &Common, out: &Output) -> Result {
    check_writable(&args.out)?;
    let reading = args.read.reading()?;
    let mut folder = PictureFolder::open(&args.dir)?;
    out.passed_over(folder.passed_over());
    if args.read.frame_folders {
        folder = folder.frame_folders()?;
    }
    keep_apart(&args.out, folder.files(), args.model.model.as_deref())?;
    if let Some(old) = Index::read(&args.out).ok().filter(|old| old.root() != folder.root()) {
        let (out_file, root) = (args.out.display(), old.root().display());
        out.note(&format!(
            "{out_file}: it is the index of {root}, and is replaced by that of {}",
            folder.root().display()
        ));
    }
    let (_, model) = load(&args.model, Builtin::Compact, common, Purpose::Index)?;
    note_query(&model.with_query(None)?, None, out);
    let bar = FilesBar::new(folder.files().len(), &reading);
    let mut on_event = on_event(&args.out, &bar, out);
    let options = options(&model, args.model.precision, args.read.broken()).reading(reading).on_event(&mut on_event);
    let index = Index::build(&model, folder, &args.out, options)?;
    bar.finish();
    report(&args.out, &model, &index, out)
}

fn update(args: &UpdateArgs, common: &Common, out: &Output) -> Result {
    check_writable(&args.index)?;
    let old = Index::read(&args.index)?;
    let folder = old.folder()?;
    out.passed_over(folder.passed_over());
    keep_apart(&args.index, folder.files(), args.model.as_deref())?;
    let precision = precision(&old)?;
    let chosen = ModelArgs { model: args.model.clone(), precision };
    let found = vljepa::find(args.model.as_deref(), Builtin::Compact)?.vljepa(Purpose::Index)?;
    old.check_model(found.hash(), found.origin(), found.config().embedding_dim)?;
    let model = super::common::open(&found, &chosen, common)?;
    note_query(&model.with_query(None)?, None, out);
    let bar = FilesBar::new(folder.files().len(), old.reading());
    let mut on_event = on_event(&args.index, &bar, out);
    let options = options(&model, precision, Broken::skip(args.skip_broken)).on_event(&mut on_event);
    let index = Index::update(&model, old, folder, options)?;
    bar.finish();
    report(&args.index, &model, &index, out)
}

/// What the rows depend on beside model and files.
fn options<'a>(model: &Model, precision: PrecisionArg, broken: Broken) -> RowOptions<'a> {
    let identity = json!({ PRECISION: precision, "device": adapter(model.device()) });
    RowOptions::default().broken(broken).identity(identity)
}

/// The precision of the rows of an index.
fn precision(index: &Index) -> Result<PrecisionArg> {
    let name = index.setting(PRECISION).and_then(Value::as_str).unwrap_or_default();
    clap::ValueEnum::from_str(name, false).map_err(|_| {
        let path = index.path().display();
        Failure::message(format!(
            "{path}: its rows are of the precision {name:?}, which this program does not have; build it again"
        ))
    })
}

fn report(path: &Path, model: &Model, index: &Indexed, out: &Output) -> Result {
    out.skipped(&index.skipped);
    out.noted(&index.notes);
    let path = path.display().to_string();
    if out.json {
        return out.document(&json!({
            "out": path, "pictures": index.pictures, "rows": index.rows, "dim": model.dim(), "model": model.hash(),
            "reused": index.reused, "dropped": index.dropped, "resumed": index.resumed.taken,
            "done_anew": index.resumed.anew(), "skipped": output::paths(&index.skipped),
            "notes": output::notes(&index.notes),
        }));
    }
    let reused = match index.reused {
        0 => String::new(),
        n => format!(", {n} of them as they were in the index before"),
    };
    let dropped = match index.dropped {
        0 => String::new(),
        n => format!("; {n} dropped that are gone"),
    };
    let rows = match index.rows {
        n if n == index.pictures => String::new(),
        n => format!(" as {}", plural(n, "clip")),
    };
    out.text(&format!("{}{rows} in {path}{reused}{dropped}\n", plural(index.pictures, "file")))
}

/// A count of things: "1 clip", "3 clips".
fn plural(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// The settings of rows as people read them: the precision, and the names of adapter and driver.
fn settings(settings: &Value) -> String {
    let Some(device) = settings["device"].as_array() else { return settings.to_string() };
    // What follows the names are the device's properties, by which rows are told apart.
    let names = device.iter().take(3).filter_map(Value::as_str).filter(|name| !name.is_empty());
    settings[PRECISION].as_str().into_iter().chain(names).collect::<Vec<_>>().join(", ")
}

fn info(args: &InfoArgs, out: &Output) -> Result {
    let index = Index::read(&args.index)?;
    let (info, folder) = (index.info(), index.folder());
    let state = folder.as_ref().map(|folder| index.state(folder));
    if out.json {
        let mut document = json!(info);
        document["path"] = json!(args.index.display().to_string());
        document["folder"] = match &state {
            Ok(state) => json!(state),
            Err(e) => json!({ "error": e.to_string() }),
        };
        return out.document(&document);
    }
    let clips = match info.clips {
        0 => String::new(),
        n => format!("; {} over {:.1} s of video", plural(n, "clip"), info.seconds),
    };
    let reading = json!(info.reading);
    let reading = if info.reading.is_default() { "as usual".to_owned() } else { reading.to_string() };
    let mixed = if info.mixed { "; some rows are of other settings or of another version" } else { "" };
    let state = match state {
        Ok(state) if state.is_current() => "unchanged since".to_owned(),
        Ok(State { new, changed, gone, noted }) => {
            let noted = if noted == 0 { String::new() } else { format!(", {noted} with a note") };
            format!("{new} new, {changed} changed, {gone} gone{noted}; `vljepa index update` brings it up to date")
        }
        Err(e) => e.to_string(),
    };
    let rows = [
        ("file", format!("{}, {} bytes, version {}", args.index.display(), info.bytes, info.version)),
        ("folder", format!("{} ({state})", info.root.display())),
        ("holds", format!("{}, {} x {} f32{clips}", plural(info.files, "file"), info.rows, info.dim)),
        ("read", format!("{reading}{}", if info.frame_folders { ", folders of frames as clips" } else { "" })),
        ("model", info.model.clone()),
        ("made by", format!("vljepa {}, {}{mixed}", info.program, settings(&info.settings))),
    ];
    out.text(&output::columns(&rows.map(|(key, value)| vec![key.to_owned(), value])))
}
