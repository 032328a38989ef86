//! `search`: finds the pictures and moments of indices that match a text, a picture or a clip.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use vljepa::contact_sheet::{Searched, contact_sheet};
use vljepa::embed::files::{check_writable, write_atomically};
use vljepa::embed::folder::Purpose;
use vljepa::embed::texts::check_texts;
use vljepa::embed::visuals::{DEFAULT_RATE, FileOptions, Noted, Reading, VisualEncoder, embed_files};
use vljepa::embed::{Embeddings, Model, check_apart};
use vljepa::index::{Filter, Found, Index, Wanted, search};
use vljepa_data::video::{Length, Sampling};

use super::common::{Common, ModelArgs, at_least_one, keep_apart, note_cut, open};
use super::failure::Result;
use super::output::{self, Output};
use super::read::seconds;
use super::rows::times;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Index of `vljepa index build`
    #[arg(value_name = "IDX")]
    pub index: PathBuf,
    /// Text to search for; each text is a search of its own
    #[arg(required_unless_present = "like", value_name = "TEXT")]
    pub texts: Vec<String>,
    /// Picture or video to search for: what looks alike to the model; each is a search of its own
    #[arg(long, value_name = "FILE")]
    pub like: Vec<PathBuf>,
    /// The part of the --like videos to search for begins at this second
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true, requires = "like")]
    pub start: Option<f64>,
    /// The part of the --like videos to search for ends at this second
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true, requires = "like")]
    pub end: Option<f64>,
    /// Search this index too; may be given again
    #[arg(long, value_name = "IDX")]
    pub also: Vec<PathBuf>,
    /// Show neighbouring clips of a video as one moment
    #[arg(long)]
    pub merge: bool,
    /// Pictures or clips to show for each search
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = at_least_one)]
    pub top: usize,
    /// Only files whose path below the indexed folder matches, as in 'holidays/*' or '*.mp4'; may be given again
    #[arg(long, value_name = "PATTERN")]
    pub path: Vec<String>,
    /// Only clips that begin at or after this second of their video
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    pub after: Option<f64>,
    /// Only clips that end at or before this second of their video
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    pub before: Option<f64>,
    /// Also write what was found as a page with small pictures
    #[arg(long, value_name = "OUT")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    // Check everything before opening a device.
    check_texts("TEXT", &args.texts)?;
    let filter = Filter::default().paths(&args.path)?.times(args.after, args.before)?;
    let wanted = Wanted { top: args.top, merge: args.merge, filter };
    Sampling { start: args.start, end: args.end, ..Sampling::default() }.settle(1)?;
    let paths: Vec<&PathBuf> = std::iter::once(&args.index).chain(&args.also).collect();
    if let Some(page) = &args.html {
        check_writable(page)?;
        keep_apart(page, &args.like, args.model.model.as_deref())?;
        check_apart(page, &paths)?;
    }
    let folder = vljepa::find(args.model.model.as_deref())?.vljepa(Purpose::Search)?;
    let indices = paths.iter().map(|path| Index::open(path, &folder)).collect::<vljepa::Result<Vec<_>>>()?;
    let model = open(&folder, &args.model, common)?;
    let (mut queries, cut) = model.embed_texts(&args.texts)?;
    note_cut(cut.as_ref(), |i| format!("TEXT {}", i + 1), out);
    if !args.like.is_empty() {
        let like = embed_like(args, indices[0].reading(), &model, out)?;
        queries.extend_raw(like.as_slice(), |i| args.like[i].display().to_string())?;
    }
    let found = search(&indices, &queries, &wanted)?;
    if let Some(page) = &args.html {
        let names = args.texts.iter().cloned().chain(args.like.iter().map(|path| path.display().to_string()));
        let searches: Vec<_> =
            names.zip(&found).map(|(query, found)| Searched { query, found: found.clone() }).collect();
        check_apart(page, found.iter().flatten().map(|found| &found.path))?;
        let rate = indices[0].reading().sampling.fps.unwrap_or(DEFAULT_RATE);
        write_atomically(page, contact_sheet(&searches, rate).as_bytes())?;
    }
    print(args, &paths, &found, out)
}

/// The rows of the `--like` files, each of which is one clip. Where both its ends are given it is read as a window of an index is, so that
/// it is the same as one.
fn embed_like(args: &Args, of_index: &Reading, model: &Model, out: &Output) -> Result<Embeddings> {
    let encoder = model.with_query(None)?;
    let frames = Some(of_index.sampling.settle(encoder.frames())?.frames());
    let window = args.start.zip(args.end).map(|(start, end)| Length::Seconds(end - start));
    let sampling = Sampling { frames, window, start: args.start, end: args.end, ..Sampling::default() };
    let reading = Reading { sampling, ..*of_index };
    let mut noted: Vec<Noted> = Vec::new();
    let on_note = &mut |note| noted.push(note);
    let options = FileOptions::default().reading(reading).on_note(on_note);
    let embedded = embed_files(&encoder, &args.like, options)?;
    out.noted(&noted);
    let first = |file| embedded.of.iter().position(|row| row.file == file);
    let first: Vec<usize> = (0..args.like.len()).filter_map(first).collect();
    Ok(embedded.rows.select(&first))
}

fn print(args: &Args, paths: &[&PathBuf], found: &[Vec<Found>], out: &Output) -> Result {
    let mut rows = Vec::new();
    let mut searches = Vec::new();
    let texts = args.texts.iter().map(|text| ("text", text.clone()));
    let like = args.like.iter().map(|path| ("like", path.display().to_string()));
    for ((kind, query), found) in texts.chain(like).zip(found) {
        let mut results = Vec::new();
        for (rank, found) in found.iter().enumerate() {
            let input = found.path.display().to_string();
            let when = found.moment.map(|moment| format!("  {}", times(&moment))).unwrap_or_default();
            let remark = if found.fresh { "" } else { "  (changed or gone since it was indexed)" };
            let name = if rank == 0 { query.clone() } else { String::new() };
            rows.push(vec![name, format!("{:+.3}", found.cosine), format!("{input}{when}{remark}")]);
            results.push(result(rank, input, found, (args.merge, paths)));
        }
        if found.is_empty() {
            rows.push(vec![query.clone(), String::new(), "nothing in the index passes the filter".into()]);
        }
        searches.push(json!({ kind: query, "results": results }));
    }
    if out.json {
        let indices: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        let page = args.html.as_ref().map(|page| page.display().to_string());
        return out.document(&json!({ "indices": indices, "html": page, "searches": searches }));
    }
    out.text(&output::columns(&rows))
}

/// What was found, as a JSON object.
fn result(rank: usize, input: String, found: &Found, (merged, paths): (bool, &[&PathBuf])) -> Map<String, Value> {
    let Found { moment, best, cosine, fresh, .. } = found;
    let mut result = Map::from_iter([
        ("rank".to_owned(), json!(rank + 1)),
        ("input".to_owned(), json!(input)),
        ("start_s".to_owned(), json!(moment.map(|m| m.start))),
        ("end_s".to_owned(), json!(moment.map(|m| m.end))),
        ("score".to_owned(), json!(cosine)),
        ("fresh".to_owned(), json!(fresh)),
    ]);
    if merged {
        result.insert("best_start_s".into(), json!(best.map(|m| m.start)));
        result.insert("best_end_s".into(), json!(best.map(|m| m.end)));
    }
    if paths.len() > 1 {
        result.insert("index".into(), json!(paths[found.index].display().to_string()));
    }
    result
}
