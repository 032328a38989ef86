//! `eval`: measures a model on a suite or on a manifest of one's own.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use vljepa::Builtin;
use vljepa::embed::files::check_writable;
use vljepa::embed::folder::Purpose;
use vljepa::embed::{check_apart, model_files};
use vljepa::report::{self, Facts};
use vljepa::sprites::{self, Drawings};
use vljepa::sprites_page;
use vljepa::stream::{self, Encoder, SelectiveOptions, StreamOptions, Windows};
use vljepa_data::atomic::write_atomically;
use vljepa_data::emoji::{EmojiVendors, Role, Split};
use vljepa_data::manifest::{self, Manifest};
use vljepa_data::sprite_world::SpriteOptions;
use vljepa_data::sprite_world::words::Wordings;
use vljepa_train::sources::emoji_vendors::{self, EmojiVendorsOptions};
use vljepa_train::sources::manifest::{self as rows, ManifestOptions, ManifestReport, Measured};
use vljepa_train::sources::sprite_world::{self, SpriteWorldOptions, SpriteWorldReport};

use super::common::{Common, ModelArgs, keep_apart, load, note_cut};
use super::failure::{Failure, Result};
use super::output::{self, Output};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub suite: Suite,
}

#[derive(Debug, Subcommand)]
pub enum Suite {
    /// Drawings by unseen designers and of unseen things
    EmojiVendors(EmojiArgs),
    /// Clips of drawings in motion: questions, searches, what lies between two pictures, captions that are nearly right
    SpriteWorld(SpriteArgs),
    /// Long streams of drawings: how few sentences tell as much as many, where they are chosen by meaning
    Selective(SelectiveArgs),
    /// Plans in TwoRoom: how often a goal seen in a picture is reached, beside what reaches it without a model
    TwoRoom(super::plan::EvalArgs),
    /// Your own pictures and clips: which text they show, searches both ways, answers to questions
    Manifest(ManifestArgs),
}

#[derive(Debug, clap::Args)]
pub struct EmojiArgs {
    /// Folder of the suite's data; absent: the folder in VLJEPA_EMOJI_VENDORS, else the data in the repository
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, clap::Args)]
pub struct SpriteArgs {
    /// Number of clips; `--seed` draws others
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clips: u32,
    /// Your own drawings: a folder with PNG or WebP files and labels.jsonl, a line {"file": "dog.png", "label": "dog"} for each
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub sprites: Option<PathBuf>,
    /// Folder of the emoji-vendors set; absent: the folder in VLJEPA_EMOJI_VENDORS, else the one in the repository
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How often the questions are drawn anew for the intervals; 0: no intervals
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub resamples: u32,
    /// Also write the figures, and clips with wrong answers, as an HTML page that needs no other file
    #[arg(long, value_name = "OUT")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, clap::Args)]
pub struct SelectiveArgs {
    /// Number of streams; `--seed` makes others
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub streams: u32,
    /// Seconds of a stream
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=86_400))]
    pub seconds: u32,
    /// Mean seconds between scenes in which nothing moves
    #[arg(long, value_name = "S", default_value_t = 6.0, value_parser = super::read::seconds)]
    pub hold: f64,
    /// Drawings of the designer for validation and wordings for validation, to choose settings by
    #[arg(long)]
    pub validation: bool,
    /// Your own drawings: a folder with PNG or WebP files and labels.jsonl, a line {"file": "dog.png", "label": "dog"} for each
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub sprites: Option<PathBuf>,
    /// Folder of the emoji-vendors set; absent: the folder in VLJEPA_EMOJI_VENDORS, else the one in the repository
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Also write the curves and figures as an HTML page that needs no other file
    #[arg(long, value_name = "OUT")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, clap::Args)]
pub struct ManifestArgs {
    /// The manifest: JSON lines (.jsonl), CSV with a header (.csv), or WebDataset shards (.tar, or a folder of them)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The rows that are measured
    #[arg(long, value_name = "SPLIT", default_value = "test")]
    pub split: SplitArg,
    /// How often the rows are drawn anew for the intervals; 0: no intervals
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub resamples: u32,
    /// Also write the figures as an HTML page that needs no other file
    #[arg(long, value_name = "OUT")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// The values of `--split`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum SplitArg {
    Train,
    Validation,
    Test,
}

impl From<SplitArg> for manifest::Split {
    fn from(arg: SplitArg) -> Self {
        match arg {
            SplitArg::Train => Self::Train,
            SplitArg::Validation => Self::Validation,
            SplitArg::Test => Self::Test,
        }
    }
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    match &args.suite {
        Suite::EmojiVendors(args) => emoji_vendors(args, common, out),
        Suite::SpriteWorld(args) => sprite_world(args, common, out),
        Suite::Selective(args) => selective(args, common, out),
        Suite::TwoRoom(args) => super::plan::evaluate("two-room", args, common, out),
        Suite::Manifest(args) => manifest(args, common, out),
    }
}

/// Checks before any work that a page can be written, and replaces nothing that a suite of drawings reads.
fn check_page(html: &Path, sprites: Option<&PathBuf>, data: Option<&PathBuf>, model: &ModelArgs) -> Result {
    check_writable(html)?;
    let folder = sprites.or(data).cloned().unwrap_or_else(EmojiVendors::default_dir);
    let is_read = |path: &PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        ["png", "webp", "json", "jsonl"].contains(&extension.as_str())
    };
    let read: Vec<PathBuf> = model_files(&folder).into_iter().filter(is_read).collect();
    keep_apart(html, read, model.model.as_deref())
}

fn sprite_world(args: &SpriteArgs, common: &Common, out: &Output) -> Result {
    if let Some(html) = &args.html {
        check_page(html, args.sprites.as_ref(), args.data.as_ref(), &args.model)?;
    }
    let (_, model) = load(&args.model, Builtin::Sprites, common, Purpose::Suite)?;
    let frames = model.config().frames();
    let options = SpriteOptions { frames, ..SpriteOptions::default() };
    if let Some((_, what)) = options.problem() {
        return Err(Failure::message(format!("{}: a clip of it has {what}; take another --model", model.origin())));
    }
    let drawings = match &args.sprites {
        Some(dir) => Drawings::Folder(dir.clone()),
        None => Drawings::Emoji {
            dir: args.data.clone().unwrap_or_else(EmojiVendors::default_dir),
            role: Role::Test,
            split: Split::Train,
        },
    };
    let world = sprites::open(&drawings, options)?;
    // Of the set some concepts were never drawn for training.
    let unseen = match drawings {
        Drawings::Emoji { dir, role, .. } => {
            Some(sprites::open(&Drawings::Emoji { dir, role, split: Split::Unseen }, options)?)
        }
        Drawings::Folder(_) => None,
    };
    let mut options = SpriteWorldOptions::default();
    options.unseen = unseen;
    (options.clips, options.seed, options.resamples) = (args.clips as usize, common.seed, args.resamples as usize);
    let bar = out.progress("clips", 3 * options.clips);
    let report = sprite_world::evaluate(&model.embedder(), model.preprocess(), &world, &options, &mut |done| {
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    if let Some(html) = &args.html {
        let data = match &args.sprites {
            Some(dir) => format!("drawings of {}, in wordings that were not trained on", dir.display()),
            None => {
                "drawings by a designer whose work was not trained on, in wordings that were not trained on".to_owned()
            }
        };
        let adapter = vljepa::info::adapter_name(model.device());
        let facts = Facts { data: &data, model: model.origin(), adapter: &adapter };
        write_atomically(html, sprites_page::page(&report, &world, &facts)?.as_bytes())?;
    }
    if report.cells.is_empty() {
        out.note(&format!("{}: the model takes no questions: none are asked", model.origin()));
    }
    match out.json {
        true => out.document(&report),
        false => {
            let adapter = vljepa::info::adapter_name(model.device());
            out.text(&format!("{adapter}\n{}", sprite_table(&report)))
        }
    }
}

fn selective(args: &SelectiveArgs, common: &Common, out: &Output) -> Result {
    if let Some(html) = &args.html {
        check_page(html, args.sprites.as_ref(), args.data.as_ref(), &args.model)?;
    }
    let (_, model) = load(&args.model, Builtin::Sprites, common, Purpose::Suite)?;
    let frames = model.config().frames();
    // A stream has twice the frames of the windows that are taken of it.
    let options = SpriteOptions { frames: 2 * frames, ..SpriteOptions::default() };
    if let Some((_, what)) = options.problem() {
        return Err(Failure::message(format!("{}: a scene has {what}; take another --model", model.origin())));
    }
    let drawings = match &args.sprites {
        Some(dir) => Drawings::Folder(dir.clone()),
        None => Drawings::Emoji {
            dir: args.data.clone().unwrap_or_else(EmojiVendors::default_dir),
            role: if args.validation { Role::Val } else { Role::Test },
            split: Split::Train,
        },
    };
    let world = sprites::open(&drawings, options)?;
    let windows = Windows { frames, seconds: 2.0 * frames as f64 / stream::FPS, hz: 2.0 };
    let mut options = SelectiveOptions::default();
    (options.streams, options.seconds) = (args.streams as usize, f64::from(args.seconds));
    (options.hold, options.seed) = (args.hold, common.seed);
    if args.validation {
        options.wordings = Wordings::Validation;
    }
    let bar = out.progress("streams", 1000);
    let mut encoder = Encoder::new(&model, None)?;
    let progress = &mut |share: f64| bar.set_position((1000.0 * share) as u64);
    let report = stream::selective(&mut encoder, &world, StreamOptions::new(windows)?, &options, progress)?;
    bar.finish_and_clear();
    if let Some(html) = &args.html {
        let data = match (&args.sprites, args.validation) {
            (Some(dir), _) => format!("drawings of {}", dir.display()),
            (None, true) => "drawings of the designer for validation".to_owned(),
            (None, false) => {
                "drawings by a designer whose work was not trained on, in wordings that were not trained on".to_owned()
            }
        };
        let adapter = vljepa::info::adapter_name(model.device());
        let facts = Facts { data: &data, model: model.origin(), adapter: &adapter };
        write_atomically(html, stream::selective_page(&report, &facts)?.as_bytes())?;
    }
    if out.json {
        return out.document(&report);
    }
    let mut rows = vec![
        ["sentences a second", "adaptive, mean", "adaptive, middle", "uniform, mean", "uniform, middle"]
            .map(String::from)
            .to_vec(),
    ];
    for i in 0..options.rates.len() {
        let rate = report.curves.first().and_then(|curve| curve.points.get(i)).map_or(0.0, |point| point.hz);
        let mut row = vec![format!("{rate:.3}")];
        row.extend(
            report.curves.iter().map(|curve| curve.points.get(i).map_or("–".into(), |p| format!("{:.3}", p.cider_d))),
        );
        rows.push(row);
    }
    let times = |saving: Option<f64>| saving.map_or("never".into(), |saving| format!("{saving:.2} times fewer"));
    let share = |value: f64| format!("{:.1} %", 100.0 * value);
    out.text(&format!(
        "{}\n{}CIDEr-D of 10, of {} scenes\nsentences for what uniform choice reaches at one a second: {}; for the best that it reaches: {}\n\
         borders between scenes: {} are found, of segments of one length {}; by the trigger {} of its moments are right and {} of the scenes told (at even distances {} and {}), at {:.3} sentences a second, CIDEr-D {:.3}\n\
         windows encoded: {}, cosine of kept states {}\n",
        vljepa::info::adapter_name(model.device()),
        output::columns(&rows),
        report.scenes,
        times(report.saving_at_1_hz),
        times(report.saving_at_best),
        share(report.segments[0]),
        share(report.segments[1]),
        share(report.trigger[0]),
        share(report.trigger[1]),
        share(report.trigger_floor[0]),
        share(report.trigger_floor[1]),
        report.trigger_hz,
        report.trigger_cider_d,
        share(report.encoded),
        report.fidelity.map_or("not measured".into(), |mean| format!("{mean:.3}")),
    ))
}

fn sprite_table(report: &SpriteWorldReport) -> String {
    let heads = ["", "of", "right", "95 %", "chance", "text only", "pixels", "differences"];
    let mut rows = vec![heads.map(String::from).to_vec()];
    let share = |value: f64| format!("{:.1} %", 100.0 * value);
    let mut row = |name: String, n: usize, value: f64, interval: Option<[f64; 2]>, floors: [Option<f64>; 4]| {
        let interval = interval.map(|[low, high]| format!("{} to {}", share(low), share(high)));
        let mut cells = vec![name, n.to_string(), share(value), interval.unwrap_or_else(|| "–".into())];
        cells.extend(floors.map(|floor| floor.map_or_else(|| "–".into(), share)));
        rows.push(cells);
    };
    let only = |chance: f64| [Some(chance), None, None, None];
    for (kind, cell) in &report.cells {
        let floors = [cell.chance, cell.text_only, cell.pixels, cell.differences].map(Some);
        row(kind.replace('_', " "), cell.n, cell.accuracy, cell.interval, floors);
    }
    let found = &report.retrieval;
    row("text to clip: R@1".into(), found.n, found.t2v_r1, found.t2v_interval, only(found.chance));
    row("clip to text: R@1".into(), found.n, found.v2t_r1, None, only(found.chance));
    let between = &report.world_prediction;
    row(
        "clip between two pictures".into(),
        between.n,
        between.accuracy,
        between.interval,
        [Some(between.chance), None, between.pixels, None],
    );
    let all = &report.hard_negatives.all;
    row("nearly right captions".into(), all.n, all.accuracy, all.interval, only(all.chance));
    for (change, chosen) in &report.hard_negatives.by_change {
        row(format!("  {}", change.key()), chosen.n, chosen.accuracy, chosen.interval, only(chosen.chance));
    }
    let told = &report.captioning;
    format!(
        "{}median rank of a caption's clip: {:.1}\nnearest of {} captions of other clips: CIDEr-D {:.2} of 10, one drawn at random {:.2}\n",
        output::columns(&rows),
        found.median_rank,
        told.candidates,
        told.cider_d,
        told.chance
    )
}

fn emoji_vendors(args: &EmojiArgs, common: &Common, out: &Output) -> Result {
    let dir = args.data.clone().unwrap_or_else(EmojiVendors::default_dir);
    let set = EmojiVendors::open(dir)?;
    let (_, model) = load(&args.model, Builtin::Compact, common, Purpose::Suite)?;
    let bar = out.progress("texts", 1 + 3);
    let options = EmojiVendorsOptions::default();
    let embedder = model.embedder();
    let report = emoji_vendors::evaluate_with(&embedder, model.preprocess(), &set, &options, &mut |what| {
        bar.set_message(what.to_owned());
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    if out.json {
        return out.document(&report);
    }
    let mut rows = vec![
        ["", "pictures", "names", "R@1", "R@5", "chance", "text to picture R@1", "R@5"].map(String::from).to_vec(),
    ];
    let share = |v: f64| format!("{:.1} %", 100.0 * v);
    let percent = |v: Option<f64>| v.map_or_else(|| "–".into(), share);
    for (pool, cells) in [("pools", &report.cells), ("all", &report.full), ("symbols", &report.symbols)] {
        for (name, c) in [
            ("seen concept, unseen vendor", &cells.seen_concept_unseen_vendor),
            ("unseen concept, unseen vendor", &cells.unseen_concept_unseen_vendor),
            ("seen concept, seen vendor", &cells.seen_concept_seen_vendor),
            ("unseen concept, seen vendor", &cells.unseen_concept_seen_vendor),
        ] {
            rows.push(vec![
                format!("{pool}: {name}"),
                c.n.to_string(),
                c.candidates.to_string(),
                percent(c.r1),
                percent(c.r5),
                share(c.chance_r1),
                percent(c.t2i_r1),
                percent(c.t2i_r5),
            ]);
        }
    }
    out.text(&format!("{}\n{}", vljepa::info::adapter_name(model.device()), output::columns(&rows)))
}

fn manifest(args: &ManifestArgs, common: &Common, out: &Output) -> Result {
    let mut options = ManifestOptions::default();
    (options.split, options.resamples, options.seed) = (args.split.into(), args.resamples as usize, common.seed);
    if let Some(html) = &args.html {
        check_writable(html)?;
    }
    let manifest = Manifest::open(&args.file)?;
    if let Some(html) = &args.html {
        keep_apart(html, manifest.files(), args.model.model.as_deref())?;
        check_apart(html, manifest.rows().iter().flat_map(|row| row.place.files()))?;
    }
    let (_, model) = load(&args.model, Builtin::Compact, common, Purpose::Suite)?;
    let embedder = model.embedder();
    let texts: Vec<&String> = manifest.of(options.split).flat_map(|row| &row.targets).collect();
    note_cut(embedder.cut(&texts)?.as_ref(), |_| format!("{}: targets", args.file.display()), out);
    let bar = out.progress("rows", manifest.of(options.split).count());
    let report = rows::evaluate(&embedder, model.preprocess(), &manifest, &options, &mut |done| {
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    if report.unasked > 0 {
        out.note(&format!(
            "{}: {} rows have a query, and the model takes none: they are not measured",
            args.file.display(),
            report.unasked
        ));
    }
    let adapter = vljepa::info::adapter_name(model.device());
    if let Some(html) = &args.html {
        let (data, model) = (args.file.display().to_string(), model.origin());
        let facts = Facts { data: &data, model, adapter: &adapter };
        write_atomically(html, report::page(&report, &facts).as_bytes())?;
    }
    match out.json {
        true => out.document(&report),
        false => out.text(&format!("{adapter}\n{}", table(&report))),
    }
}

fn table(report: &ManifestReport) -> String {
    let heads = ["", "of", "among", "value", "95 %", "chance", "most frequent"].map(String::from);
    let mut rows = vec![heads.to_vec()];
    let share = |value: f64| format!("{:.1} %", 100.0 * value);
    let rank = |value: f64| format!("{value:.1}");
    let mut row = |name: &str, of: usize, among: &str, measured: &Measured, words: &dyn Fn(f64) -> String| {
        let interval = measured.interval.map(|[low, high]| format!("{} to {}", words(low), words(high)));
        rows.push(vec![
            name.to_owned(),
            of.to_string(),
            among.to_owned(),
            words(measured.value),
            interval.unwrap_or_else(|| "–".into()),
            words(measured.chance),
            measured.majority.map_or_else(|| "–".into(), words),
        ]);
    };
    if let Some(found) = &report.classification {
        let among = format!("{} texts", found.texts);
        row("right text first", found.rows, &among, &found.top1, &share);
        row("among the first five", found.rows, &among, &found.top5, &share);
    }
    let searches = [
        ("picture or clip to text", "texts", &report.visual_to_text),
        ("text to picture or clip", "pictures and clips", &report.text_to_visual),
    ];
    for (name, among, found) in searches {
        let Some(found) = found else { continue };
        let among = format!("{} {among}", found.candidates);
        for (k, measured) in [(1, &found.r1), (5, &found.r5), (10, &found.r10)] {
            row(&format!("{name}: R@{k}"), found.queries, &among, measured, &share);
        }
        row(&format!("{name}: median rank"), found.queries, &among, &found.median_rank, &rank);
    }
    if let Some(found) = &report.questions {
        row(
            "right answer first",
            found.rows,
            &format!("those of {} questions", found.questions),
            &found.accuracy,
            &share,
        );
    }
    let mut text = output::columns(&rows);
    if report.resamples > 0 {
        text += &format!(
            "95 %: of {} draws of the rows of the split {} with replacement, seed {}\n",
            report.resamples, report.split, report.seed
        );
    }
    text
}
