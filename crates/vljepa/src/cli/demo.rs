//! `demo`: names and finds drawings of an unseen designer, and writes a page with the results.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use vljepa::demo::Demo;
use vljepa::embed::files::{check_writable, write_atomically};
use vljepa::embed::folder::Purpose;
use vljepa::embed::model_files;
use vljepa_data::emoji::EmojiVendors;

use super::common::{Common, ModelArgs, keep_apart, load, note_cut};
use super::failure::Result;
use super::output::{self, Output};

/// HTML of the footer after the version.
const MORE: &str = " The page: <code>vljepa demo</code>. The full table, with more cells and all concepts: \
                    <code>vljepa eval emoji-vendors</code>. Your own pictures: <code>vljepa classify cat.png --labels \
                    cat,dog</code>.";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The page to write: one HTML file that needs no other file
    #[arg(long, value_name = "FILE", default_value = "vljepa-demo.html")]
    pub out: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    let start = Instant::now();
    check_writable(&args.out)?;
    keep_apart(&args.out, model_files(&EmojiVendors::default_dir()), args.model.model.as_deref())?;
    let set = EmojiVendors::open(EmojiVendors::default_dir())?;
    let (folder, model) = load(&args.model, common, Purpose::Demo)?;
    let bar = out.progress("texts", 1);
    let demo = Demo::run_with(&model, &folder, &set, &mut |what, done, total| {
        bar.set_message(what);
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    note_cut(demo.cut.as_ref(), |_| "names and wordings".into(), out);
    let seconds = start.elapsed().as_secs_f64();
    write_atomically(&args.out, demo.page(seconds, MORE)?.as_bytes())?;
    let report = args.out.canonicalize().unwrap_or_else(|_| args.out.clone()).display().to_string();
    if out.json {
        return out.document(&json!({
            "adapter": demo.adapter, "model": demo.model, "scores": demo.scores, "timing": demo.timing,
            "pictures_per_second": demo.pictures_per_second(), "seconds": seconds, "report": report,
        }));
    }
    out.text(&text(&demo, seconds, &report))
}

fn text(demo: &Demo, seconds: f64, report: &str) -> String {
    let pair = |a: f64, b: f64| format!("{:.1} / {:.1}", 100.0 * a, 100.0 * b);
    let mut head: Vec<String> = ["", "pictures", "this model", "chance"].map(String::from).to_vec();
    if let Some(score) = demo.scores.first() {
        head.extend(score.baselines.iter().map(|b| b.name.to_owned()));
    }
    let mut rows = vec![head];
    for s in &demo.scores {
        let mut row = vec![s.title.into(), s.n.to_string(), pair(s.r1, s.r5), pair(s.chance_r1, s.chance_r5)];
        row.extend(s.baselines.iter().map(|b| pair(b.r1, b.r5)));
        rows.push(row);
    }
    for s in &demo.scores {
        let title = format!("  their pictures by {} held-out wordings", s.t2i_n);
        rows.push(vec![title, s.n.to_string(), pair(s.t2i_r1, s.t2i_r5), pair(s.chance_r1, s.chance_r5)]);
    }
    format!(
        "adapter  {}\nmodel    {}, {:.1} M parameters, {:.1} MB\n\nright name first / among the first five, %\n{}\n{:.0} pictures a second, {seconds:.1} s in all\nreport   {report}\n",
        demo.adapter,
        demo.model,
        demo.parameters as f64 / 1e6,
        demo.weight_bytes as f64 / 1e6,
        output::columns(&rows),
        demo.pictures_per_second(),
    )
}
