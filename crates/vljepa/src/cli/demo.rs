//! `demo`: names and finds drawings of an unseen designer, tells what they do in clips, and writes a page with the results.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use vljepa::Builtin;
use vljepa::demo::{Clips, Demo};
use vljepa::embed::files::{check_writable, write_atomically};
use vljepa::embed::folder::Purpose;
use vljepa::embed::model_files;
use vljepa_data::emoji::EmojiVendors;

use super::common::{Common, ModelArgs, keep_apart, load, note_cut, open};
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
    let (folder, model) = load(&args.model, Builtin::Compact, common, Purpose::Demo)?;
    let bar = out.progress("texts", 1);
    let mut demo = Demo::run_with(&model, &folder, &set, &mut |what, done, total| {
        bar.set_message(what);
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    demo.clips = match (&args.model.model, Builtin::Sprites.is_carried()) {
        (None, true) => Clips::run(&open(&Builtin::Sprites.open()?, &args.model, common)?, &set)?,
        (None, false) => None,
        (Some(_), _) => Clips::run(&model, &set)?,
    };
    bar.finish_and_clear();
    note_cut(demo.cut.as_ref(), |_| "names and wordings".into(), out);
    let seconds = start.elapsed().as_secs_f64();
    write_atomically(&args.out, demo.page(seconds, MORE)?.as_bytes())?;
    let report = args.out.canonicalize().unwrap_or_else(|_| args.out.clone()).display().to_string();
    if out.json {
        return out.document(&json!({
            "adapter": demo.adapter, "model": demo.model, "scores": demo.scores, "clips": demo.clips, "timing": demo.timing,
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
    let clips = demo.clips.as_ref().map(clips).unwrap_or_default();
    format!(
        "adapter  {}\nmodel    {}, {:.1} M parameters, {:.1} MB\n\nright name first / among the first five, %\n{}{clips}\n{:.0} pictures a second, {seconds:.1} s in all\nreport   {report}\n",
        demo.adapter,
        demo.model,
        demo.parameters as f64 / 1e6,
        demo.weight_bytes as f64 / 1e6,
        output::columns(&rows),
        demo.pictures_per_second(),
    )
}

/// The questions about clips, a line each.
fn clips(clips: &Clips) -> String {
    let right = clips.actions.iter().filter(|answered| answered.place == 1).count();
    let found = clips.searches.iter().filter(|search| search.truth.1 == 1).count();
    let rows: Vec<Vec<String>> = (clips.questions.iter())
        .map(|a| {
            let answer = a.answers.first().map_or("", |(answer, _)| answer.as_str());
            let verdict = if a.place == 1 { "right".to_owned() } else { format!("the right answer is {}", a.truth) };
            vec![a.question.clone(), answer.to_owned(), verdict]
        })
        .collect();
    format!(
        "\nclips of the same designer's drawings in motion, {}: what happens in {} of {}, and {} of {} found by caption among {}\n{}",
        clips.model,
        right,
        clips.actions.len(),
        found,
        clips.searches.len(),
        clips.clips,
        output::columns(&rows),
    )
}
