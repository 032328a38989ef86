//! `search`: finds the pictures of an index that match a text.

use std::path::PathBuf;

use serde_json::json;
use vljepa::embed::folder::Purpose;
use vljepa::embed::texts::check_texts;
use vljepa::index::Index;

use super::common::{Common, ModelArgs, at_least_one, note_cut, open};
use super::failure::Result;
use super::output::{self, Output};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Index of `vljepa index build`
    #[arg(value_name = "IDX")]
    pub index: PathBuf,
    /// Text to search for; each text is a search of its own
    #[arg(required = true, value_name = "TEXT")]
    pub texts: Vec<String>,
    /// Pictures to show for each text
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
        for (rank, hit) in index.search(&texts, i, args.top)?.into_iter().enumerate() {
            let (path, fresh) = index.picture(hit.index);
            let path = path.display().to_string();
            let remark = if fresh { "" } else { "  (changed or gone since it was indexed)" };
            let name = if rank == 0 { text.clone() } else { String::new() };
            rows.push(vec![name, format!("{:+.3}", hit.cosine), format!("{path}{remark}")]);
            results.push(json!({ "rank": rank + 1, "path": path, "cosine": hit.cosine, "fresh": fresh }));
        }
        searches.push(json!({ "text": text, "results": results }));
    }
    if out.json {
        return out.document(&json!({ "index": args.index.display().to_string(), "searches": searches }));
    }
    out.text(&output::columns(&rows))
}
