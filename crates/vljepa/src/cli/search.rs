//! `search`: finds the pictures and moments of indices that match a text, a picture or a clip.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use vljepa::Builtin;
use vljepa::contact_sheet::{Searched, contact_sheet};
use vljepa::embed::files::{check_writable, is_stdin, write_atomically};
use vljepa::embed::folder::Purpose;
use vljepa::embed::texts::check_texts;
use vljepa::embed::visuals::{FileOptions, Noted, Reading, VisualEncoder, embed_files};
use vljepa::embed::{self, Embeddings, Hint, Model, check_apart};
use vljepa::index::{Filter, Found, Index, Wanted, search_each};
use vljepa_data::manifest::Place;
use vljepa_data::video::{Length, Sampling};

use super::common::{Common, ModelArgs, at_least_one, keep_apart, note_cut, open};
use super::failure::{Failure, Result};
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
    check_parts(args)?;
    let paths: Vec<&PathBuf> = std::iter::once(&args.index).chain(&args.also).collect();
    if let Some(page) = &args.html {
        check_writable(page)?;
        keep_apart(page, &args.like, args.model.model.as_deref())?;
        check_apart(page, &paths)?;
    }
    let folder = vljepa::find(args.model.model.as_deref(), Builtin::Compact)?.vljepa(Purpose::Search)?;
    let indices = paths.iter().map(|path| Index::open(path, &folder)).collect::<vljepa::Result<Vec<_>>>()?;
    let model = open(&folder, &args.model, common)?;
    let (texts, cut) = model.embed_texts(&args.texts)?;
    note_cut(cut.as_ref(), |i| format!("TEXT {}", i + 1), out);
    let queries = queries(args, texts, &indices, &model, out)?;
    let of_index: Vec<_> = queries.of.iter().map(|&number| &queries.kinds[number].1).collect();
    let found = search_each(&indices, &of_index, &wanted)?;
    if let Some(page) = &args.html {
        let names = args.texts.iter().cloned().chain(args.like.iter().map(|path| path.display().to_string()));
        let searches: Vec<_> =
            names.zip(&found).map(|(query, found)| Searched { query, found: found.clone() }).collect();
        check_apart(page, found.iter().flatten().map(|found| &found.path))?;
        write_atomically(page, contact_sheet(&searches, &indices).as_bytes())?;
    }
    print(args, &paths, &found, out)
}

/// What is searched for, once for each way in which the files of indices were read.
struct Queries {
    kinds: Vec<(Reading, Embeddings)>,
    /// Which of them is each index's.
    of: Vec<usize>,
}

/// The rows of the texts and the `--like` files. Such a file is read as the files of the index are that it is looked for in.
fn queries(args: &Args, texts: Embeddings, indices: &[Index], model: &Model, out: &Output) -> Result<Queries> {
    let mut found = Queries { kinds: Vec::new(), of: Vec::new() };
    for index in indices {
        let reading = match args.like.is_empty() {
            true => Reading::default(),
            false => like_reading(args, index.reading(), model)?,
        };
        let known = found.kinds.iter().position(|(kind, _)| *kind == reading);
        found.of.push(known.unwrap_or(found.kinds.len()));
        if known.is_none() {
            let mut queries = texts.clone();
            if !args.like.is_empty() {
                let like = embed_like(args, &reading, model, out)?;
                queries.extend_raw(like.as_slice(), |i| args.like[i].display().to_string())?;
            }
            found.kinds.push((reading, queries));
        }
    }
    if found.kinds.len() > 1 {
        out.note("--like: the files of these indices were read in different ways; it is read for each as they were");
    }
    Ok(found)
}

/// How a `--like` file is read: as one clip. With both its ends it is read as a window of the index is, so that it is the same as one
/// that lies there, but for a window that the end of its video cuts short.
fn like_reading(args: &Args, of_index: &Reading, model: &Model) -> Result<Reading> {
    let frames = Some(of_index.sampling.settle(model.with_query(None)?.frames())?.frames());
    let in_frames = matches!((of_index.sampling.window, of_index.sampling.fps), (Some(Length::Frames(_)), None));
    // Of windows in frames those between the ends are spread; of windows in seconds those at fixed times.
    let ends = args.start.zip(args.end).filter(|_| !in_frames);
    let window = ends.map(|(start, end)| Length::Seconds(end - start));
    let sampling = Sampling { frames, window, start: args.start, end: args.end, ..Sampling::default() };
    Ok(Reading { sampling, rate: Some(of_index.rate()), ..*of_index })
}

/// The rows of the `--like` files.
fn embed_like(args: &Args, reading: &Reading, model: &Model, out: &Output) -> Result<Embeddings> {
    let encoder = model.with_query(None)?;
    let mut noted: Vec<Noted> = Vec::new();
    let on_note = &mut |note| noted.push(note);
    let options = FileOptions::default().reading(*reading).on_note(on_note);
    let embedded = embed_files(&encoder, &args.like, options).map_err(|error| match error {
        // Nothing can be left out here but the search itself.
        embed::Error::Hinted { error, hint: Hint::SkipBroken | Hint::SkipOrConceal } => {
            Failure::message(format!("{error}; name a file that can be read with --like"))
        }
        other => other.into(),
    })?;
    out.noted(&noted);
    let first = |file| embedded.of.iter().position(|row| row.file == file);
    let first: Vec<usize> = (0..args.like.len()).filter_map(first).collect();
    Ok(embedded.rows.select(&first))
}

/// Refuses times of a picture.
fn check_parts(args: &Args) -> Result {
    if args.start.is_none() && args.end.is_none() {
        return Ok(());
    }
    for path in args.like.iter().filter(|path| !is_stdin(path)) {
        if !Place::Path(path.clone()).is_clip()? {
            let name = path.display();
            return Err(Failure::message(format!("{name}: a picture has no parts; leave --start and --end out")));
        }
    }
    Ok(())
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
