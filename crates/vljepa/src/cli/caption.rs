//! `caption`: a sentence for each picture or video.

use std::path::PathBuf;

use serde_json::json;
use vljepa::Builtin;
use vljepa::embed::folder::Purpose;
use vljepa::embed::models::Written;
use vljepa::embed::visuals::{Embedded, RowOf, embed_files};
use vljepa_model::Search;

use super::common::{Common, ModelArgs, note_query, open};
use super::failure::{Failure, Result};
use super::output::{self, Output};
use super::read::ReadArgs;
use super::rows::{labels, object};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Picture or video files, folders to search for them, or - for standard input
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// Answer this question instead
    #[arg(long, value_name = "TEXT")]
    pub query: Option<String>,
    /// Sentences that the search follows at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub beams: u8,
    #[command(flatten)]
    pub read: ReadArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    let reading = args.read.reading()?;
    let files = args.read.find(&args.inputs, out)?;
    let folder = vljepa::find(args.model.model.as_deref(), Builtin::Sprites)?.vljepa(Purpose::Sentences)?;
    if !folder.writes() {
        return Err(no_decoder(folder.origin(), "`vljepa classify` compares with labels"));
    }
    let model = open(&folder, &args.model, common)?;
    let asked = model.with_query(args.query.as_deref())?;
    note_query(&asked, args.query.as_ref().map(|_| "--query"), out);
    reading.check(&asked)?;
    let work = |options: vljepa::embed::visuals::FileOptions<'_>| Ok(embed_files(&asked, &files, options)?);
    let (Embedded { rows, of, skipped }, noted) = args.read.with_options(reading, files.len(), out, work)?;
    out.skipped(&skipped);
    let search = Search { beams: args.beams.into(), ..Search::default() };
    let written = model.write(&rows.into_values(), &search)?;
    if out.json {
        let result = |(row, written): (&RowOf, &Written)| {
            let mut result = object(row, &files);
            result.insert("text".into(), json!(written.text));
            result.insert("score".into(), json!(written.score));
            result
        };
        let results: Vec<_> = of.iter().zip(&written).map(result).collect();
        return out.document(&json!({
            "model": model.origin(), "adapter": vljepa::info::adapter_name(model.device()), "query": args.query,
            "results": results, "skipped": output::paths(&skipped), "notes": output::notes(&noted),
        }));
    }
    let lines = labels(&of, &files).into_iter().zip(&written).map(|(label, written)| vec![label, written.text.clone()]);
    out.text(&output::columns(&lines.collect::<Vec<_>>()))
}

/// The model cannot write; `instead` says what can be done.
pub fn no_decoder(origin: &str, instead: &str) -> Failure {
    Failure::message(format!("{origin}: the model has no Y-Decoder, so it writes no sentences; {instead}"))
}
