//! `data check`: what a manifest holds, and what is wrong with it.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};
use vljepa_data::manifest::{CheckOptions, Counts, Duplicate, Fault, Manifest, Report, check_with};

use super::common::Common;
use super::failure::{Failure, Result};
use super::output::{self, Output};

/// Classes that are printed with their rows.
const FEW: usize = 20;
/// Characters of a text that is printed.
const SHOWN: usize = 60;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: DataVerb,
}

#[derive(Debug, Subcommand)]
pub enum DataVerb {
    /// Count what a manifest holds, and find missing and broken files, clips that are in two splits, and the longest texts
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The manifest: JSON lines (.jsonl), CSV with a header (.csv), a WebDataset shard (.tar), a list of shards
    /// (name-{000..010}.tar) or a folder of them
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only open each file: nothing is decoded, and clips in two splits are told by their paths alone
    #[arg(long)]
    pub quick: bool,
    /// Most lines of each kind of problem (with --json up to a thousand are listed whatever this says)
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub show: usize,
}

pub fn run(args: &Args, _: &Common, out: &Output) -> Result {
    let DataVerb::Check(args) = &args.verb;
    let manifest = Manifest::open(&args.file)?;
    let places: HashSet<_> = manifest.rows().iter().map(|row| &row.place).collect();
    let bar = out.progress("files", places.len());
    let mut options = CheckOptions::default();
    options.quick = args.quick;
    let report = check_with(&manifest, &options, &|done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let problem = report.problem();
    if out.json {
        let unwritable = |error| Failure::message(format!("the report cannot be written as JSON: {error}"));
        let mut document = serde_json::to_value(&report).map_err(unwritable)?;
        if let Value::Object(fields) = &mut document {
            fields.insert("file".into(), json!(args.file.display().to_string()));
            fields.insert("problem".into(), json!(problem));
        }
        out.document(&document)?;
    } else {
        out.text(&text(&report, args.show))?;
    }
    match problem {
        Some(problem) => {
            let advice = match report.is_sound() && report.duplicate_count == 0 {
                true => "mark rows of that split; for `eval manifest` alone none is needed",
                false => "correct the rows or leave them out",
            };
            Err(Failure::message(format!("{}: {problem}; {advice}", args.file.display())))
        }
        None => Ok(()),
    }
}

fn text(report: &Report, show: usize) -> String {
    let heads = ["split", "rows", "pictures", "videos", "folders", "with times", "queries", "targets", "that differ"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for (split, c) in &report.splits {
        let counts = [c.rows, c.pictures, c.videos, c.frame_folders, c.timed, c.queries, c.targets, c.distinct_targets];
        rows.push([split.to_string()].into_iter().chain(counts.map(|count| count.to_string())).collect());
    }
    let mut text = output::columns(&rows);
    for (split, counts) in &report.splits {
        text += &classes(counts).map_or_else(String::new, |classes| format!("{split}: {classes}\n"));
    }
    let fault = |fault: &Fault| format!("{}: {}", fault.row, fault.what);
    let duplicate = |d: &Duplicate| format!("{} ({}) shows what {} ({}) shows", d.row, d.split, d.other, d.other_split);
    text += &listed("missing", &report.missing, report.missing_count, show, fault);
    text += &listed("broken", &report.broken, report.broken_count, show, fault);
    text += &listed("in two splits", &report.duplicates, report.duplicate_count, show, duplicate);
    text += &listed("beyond the end", &report.beyond_end, report.beyond_count, show, fault);
    for long in &report.longest {
        text += &format!("long {}: {} characters, {}: {}\n", long.field, long.characters, long.row, shown(&long.text));
    }
    text
}

/// The classes with their numbers of rows, where they are few.
fn classes(counts: &Counts) -> Option<String> {
    let classes = counts.classes.as_ref().filter(|classes| (2..=FEW).contains(&classes.len()))?;
    let each: Vec<String> = classes.iter().map(|(name, rows)| format!("{} {rows}", shown(name))).collect();
    Some(each.join(", "))
}

/// A line for each of the first `show`, and how many there are beyond.
fn listed<T>(what: &str, found: &[T], count: usize, show: usize, line: impl Fn(&T) -> String) -> String {
    let mut text: String = found.iter().take(show).map(|one| format!("{what}: {}\n", line(one))).collect();
    match count - found.len().min(show) {
        0 => {}
        more => text += &format!("{what}: {more} more\n"),
    }
    text
}

/// The beginning of a text, on one line.
fn shown(text: &str) -> String {
    let mut start: String = text.chars().take(SHOWN).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start.split_whitespace().collect::<Vec<_>>().join(" ")
}
