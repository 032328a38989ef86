//! The verbs of the command.

mod args;
mod ask;
mod bench;
mod classify;
mod convert;
mod demo;
mod embed;
mod index;
mod info;
mod inspect;
mod output;
mod pull;
mod train;

use std::path::Path;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use vljepa::{AnyFolder, Asked, Error, Model, ModelFolder, Need, Result, RowEvent};
use vljepa_model::CutTexts;
use vljepa_tensor::Device;

use args::{Cli, Common, Verb};
use output::Output;
pub use output::printable;

/// Runs the command that the arguments name. Bad usage ends the process with 2, `--help` with 0.
pub fn main() -> Result<()> {
    let cli = Cli::parse();
    let out = Output::new(cli.common.json);
    let common = &cli.common;
    match &cli.verb {
        Verb::Info(args) => info::run(args, common, &out),
        Verb::Embed(args) => embed::pictures(args, common, &out),
        Verb::EmbedText(args) => embed::texts(args, common, &out),
        Verb::Classify(args) => classify::run(args, common, &out),
        Verb::Ask(args) => ask::run(args, common, &out),
        Verb::Index(args) => index::build(args, common, &out),
        Verb::Search(args) => index::search(args, common, &out),
        Verb::Train(args) => train::train(args, common, &out),
        Verb::Eval(args) => train::eval(args, common, &out),
        Verb::Demo(args) => demo::run(args, common, &out),
        Verb::Pull(args) => pull::run(args, &out),
        Verb::Convert(args) => convert::run(args, &out),
        Verb::Inspect(args) => inspect::run(args, &out),
        Verb::Bench(args) => bench::run(args, common, &out),
    }
}

/// Opens a VL-JEPA and a device; the folder first, because its faults are found without a device. Another kind of model is
/// refused for what the verb needs.
fn load(args: &args::ModelArgs, common: &Common, need: Need) -> Result<(ModelFolder, Model)> {
    let folder = AnyFolder::find(args.model.as_deref())?.vljepa(need)?;
    let model = open(&folder, args, common)?;
    Ok((folder, model))
}

/// A VL-JEPA on the device that was asked for.
fn open(folder: &ModelFolder, args: &args::ModelArgs, common: &Common) -> Result<Model> {
    let device = vljepa::open_device(&common.device)?;
    Model::load_as(&device, folder, args.precision.into())
}

/// Ends the process as the parser does for what it finds itself: arguments of `verb` that do not go together.
fn conflict(verb: &str, reason: String) -> ! {
    let mut command = Cli::command();
    command.build();
    let error = match command.find_subcommand_mut(verb) {
        Some(verb) => verb.error(ErrorKind::ArgumentConflict, reason),
        None => command.error(ErrorKind::ArgumentConflict, reason),
    };
    error.exit()
}

/// What of a device decides the bits of rows.
fn adapter(device: &Device) -> Value {
    let (info, capabilities) = (device.info(), format!("{:?}", device.capabilities()));
    json!([vljepa::info::adapter_name(device), info.driver, info.driver_info, capabilities])
}

/// Shows how far work on `path` is, and says what of an earlier run counts.
fn heard<'a>(path: &'a Path, bar: &'a ProgressBar, out: &'a Output) -> impl FnMut(RowEvent) + 'a {
    move |event| match event {
        // A document says it itself, but for what is done for nothing.
        RowEvent::Resumed(resumed) if resumed.lost() || !out.json => {
            bar.suspend(|| out.note(&format!("{}: {resumed}", path.display())));
        }
        RowEvent::Resumed(_) => {}
        RowEvent::Done(n) => bar.set_position(n as u64),
    }
}

/// Says that texts were cut; `place` tells where the one of an index comes from.
fn note_cut(cut: Option<&CutTexts>, place: impl FnOnce(usize) -> String, out: &Output) {
    if let Some(cut) = cut {
        out.note(&format!("{}: {cut}", place(cut.index)));
    }
}

/// Says that a query was cut: that of `flag`, or where it was not given the model's own.
fn note_query(asked: &Asked<'_>, flag: Option<&str>, out: &Output) {
    let own = || format!("{}: its default query", asked.origin());
    note_cut(asked.cut(), |_| flag.map_or_else(own, str::to_owned), out);
}

/// A failure of JSON output, which only numbers that are not finite can bring about.
fn not_json(error: serde_json::Error) -> Error {
    Error::Invalid(format!("the result is not JSON: {error}"))
}
