//! `train` and `eval`.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use vljepa::{Need, Result};
use vljepa_data::emoji::EmojiVendors;
use vljepa_train::sources::emoji_vendors::EmojiVendorsOptions;
use vljepa_train::{Event, RunOptions};

use super::args::{Common, EvalArgs, Suite, TrainArgs};
use super::{Output, load, output};

/// Steps between two lines where stderr is no terminal.
const LINE_EVERY: u64 = 50;

/// What a model card says of the command.
const USAGE: &str = "```sh\n\
    vljepa classify PICTURE --model DIR --labels \"cat,dog\"    # DIR: this folder\n\
    vljepa index build PICTURES --model DIR --out pictures.idx\n\
    vljepa search pictures.idx \"something to drink\" --model DIR\n```";

pub fn train(args: &TrainArgs, common: &Common, out: &Output) -> Result<()> {
    // What is wrong with the file and what it names is known before a device is asked for.
    vljepa_train::check(&args.config, args.out.as_deref())?;
    let device = vljepa::open_device(&common.device)?;
    out.note(&format!("adapter: {}", vljepa::info::adapter_name(&device)));
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {msg}") {
        bar.set_style(style);
    }
    let options = RunOptions::new(device).resume(args.resume).usage(USAGE).observer(|event| match event {
        Event::Step { report, steps, .. } => {
            bar.set_length(*steps);
            bar.set_position(report.step + 1);
            bar.set_message(event.to_string());
            if bar.is_hidden() && ((report.step + 1).is_multiple_of(LINE_EVERY) || report.step + 1 == *steps) {
                out.note(&event.to_string());
            }
        }
        other => bar.suspend(|| out.note(&other.to_string())),
    });
    let options = match &args.out {
        Some(folder) => options.output(folder),
        None => options,
    };
    let summary = vljepa_train::run(&args.config, options)?;
    bar.finish_and_clear();
    let model = summary.model.as_ref().map(|p| p.display().to_string());
    if out.json {
        return out.document(&json!({
            "steps": summary.step, "complete": summary.complete, "model": model, "validation": summary.validation,
        }));
    }
    match model {
        Some(model) => out.text(&format!("{} steps; the model is in {model}\n", summary.step)),
        None => out.text(&format!("stopped after {} steps; go on with --resume\n", summary.step)),
    }
}

pub fn eval(args: &EvalArgs, common: &Common, out: &Output) -> Result<()> {
    let Suite::EmojiVendors = args.suite;
    let dir = args.data.clone().unwrap_or_else(EmojiVendors::default_dir);
    let set = EmojiVendors::open(dir)?;
    let (_, model) = load(&args.model, common, Need::Suite)?;
    let bar = out.progress("texts", 1 + 3);
    let report = model.eval_emoji_vendors(&set, &EmojiVendorsOptions::default(), |what| {
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
