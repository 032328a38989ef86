//! `eval`: measures a model on a suite.

use std::path::PathBuf;

use vljepa::embed::folder::Purpose;
use vljepa_data::emoji::EmojiVendors;
use vljepa_train::sources::emoji_vendors::{EmojiVendorsOptions, evaluate_with};

use super::common::{Common, ModelArgs, load};
use super::failure::Result;
use super::output::{self, Output};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The suite to measure on
    #[arg(value_name = "SUITE")]
    pub suite: Suite,
    /// Folder of the suite's data; absent: the folder in VLJEPA_EMOJI_VENDORS, else the data in the repository
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Suite {
    /// Drawings by unseen designers and of unseen things
    EmojiVendors,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    let Suite::EmojiVendors = args.suite;
    let dir = args.data.clone().unwrap_or_else(EmojiVendors::default_dir);
    let set = EmojiVendors::open(dir)?;
    let (_, model) = load(&args.model, common, Purpose::Suite)?;
    let bar = out.progress("texts", 1 + 3);
    let options = EmojiVendorsOptions::default();
    let embedder = model.embedder();
    let report = evaluate_with(&embedder, model.preprocess(), &set, &options, &mut |what| {
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
