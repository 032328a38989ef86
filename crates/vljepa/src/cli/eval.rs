//! `eval`: measures a model on a suite or on a manifest of one's own.

use std::path::PathBuf;

use clap::Subcommand;
use vljepa::embed::check_apart;
use vljepa::embed::files::check_writable;
use vljepa::embed::folder::Purpose;
use vljepa::report::{self, Facts};
use vljepa_data::atomic::write_atomically;
use vljepa_data::emoji::EmojiVendors;
use vljepa_data::manifest::{Manifest, Split};
use vljepa_train::sources::emoji_vendors::{self, EmojiVendorsOptions};
use vljepa_train::sources::manifest::{self, ManifestOptions, ManifestReport, Measured};

use super::common::{Common, ModelArgs, keep_apart, load, note_cut};
use super::failure::Result;
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

impl From<SplitArg> for Split {
    fn from(arg: SplitArg) -> Self {
        match arg {
            SplitArg::Train => Split::Train,
            SplitArg::Validation => Split::Validation,
            SplitArg::Test => Split::Test,
        }
    }
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    match &args.suite {
        Suite::EmojiVendors(args) => emoji_vendors(args, common, out),
        Suite::Manifest(args) => manifest(args, common, out),
    }
}

fn emoji_vendors(args: &EmojiArgs, common: &Common, out: &Output) -> Result {
    let dir = args.data.clone().unwrap_or_else(EmojiVendors::default_dir);
    let set = EmojiVendors::open(dir)?;
    let (_, model) = load(&args.model, common, Purpose::Suite)?;
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
    let (_, model) = load(&args.model, common, Purpose::Suite)?;
    let embedder = model.embedder();
    let texts: Vec<&String> = manifest.of(options.split).flat_map(|row| &row.targets).collect();
    note_cut(embedder.cut(&texts)?.as_ref(), |_| format!("{}: targets", args.file.display()), out);
    let bar = out.progress("rows", manifest.of(options.split).count());
    let report = manifest::evaluate(&embedder, model.preprocess(), &manifest, &options, &mut |done| {
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
