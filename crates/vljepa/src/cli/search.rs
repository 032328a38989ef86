//! `search`: finds the pictures of an index that match a text.

use std::path::PathBuf;

use serde_json::json;
use vljepa::embed::folder::Purpose;
use vljepa::embed::texts::check_texts;
use vljepa::index::{Found, Index};

use super::common::{Common, ModelArgs, at_least_one, note_cut, open};
use super::failure::Result;
use super::output::{self, Output};
use super::rows::times;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Index of `vljepa index build`
    #[arg(value_name = "IDX")]
    pub index: PathBuf,
    /// Text to search for; each text is a search of its own
    #[arg(required = true, value_name = "TEXT")]
    pub texts: Vec<String>,
    /// Show neighbouring clips of a video as one moment
    #[arg(long)]
    pub merge: bool,
    /// Pictures or clips to show for each text
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = at_least_one)]
    pub top: usize,
    #[command(flatten)]
    pub model: ModelArgs,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    // Check the index before opening a device.
    check_texts("TEXT", &args.texts)?;
    let folder = vljepa::find(args.model.model.as_deref())?.vljepa(Purpose::Search)?;
    let index = Index::open(&args.index, &folder)?;
    let model = open(&folder, &args.model, common)?;
    let (texts, cut) = model.embed_texts(&args.texts)?;
    note_cut(cut.as_ref(), |i| format!("TEXT {}", i + 1), out);
    let mut rows = Vec::new();
    let mut searches = Vec::new();
    for (i, text) in args.texts.iter().enumerate() {
        let mut results = Vec::new();
        let found = match args.merge {
            true => index.search_moments(&texts, i, args.top)?,
            false => index.search(&texts, i, args.top)?,
        };
        for (rank, Found { path, fresh, moment, cosine }) in found.into_iter().enumerate() {
            let path = path.display().to_string();
            let when = moment.map(|moment| format!("  {}", times(&moment))).unwrap_or_default();
            let remark = if fresh { "" } else { "  (changed or gone since it was indexed)" };
            let name = if rank == 0 { text.clone() } else { String::new() };
            rows.push(vec![name, format!("{cosine:+.3}"), format!("{path}{when}{remark}")]);
            results.push(json!({
                "rank": rank + 1, "path": path, "start_s": moment.map(|m| m.start), "end_s": moment.map(|m| m.end),
                "cosine": cosine, "fresh": fresh,
            }));
        }
        searches.push(json!({ "text": text, "results": results }));
    }
    if out.json {
        return out.document(&json!({ "index": args.index.display().to_string(), "searches": searches }));
    }
    out.text(&output::columns(&rows))
}
