//! `train`: runs a training that a TOML file describes.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use vljepa_tensor::Device;
use vljepa_train::probe::{Figures, ProbeReport};
use vljepa_train::{Estimate, Event, RunOptions};

use super::common::Common;
use super::failure::Result;
use super::output::Output;

/// Steps between two progress lines if stderr is not a terminal.
const LINE_EVERY: u64 = 50;

/// Time between two pages of curves, but for the last.
const PAGE_EVERY: Duration = Duration::from_secs(60);

/// What a model card says of the command.
const USAGE: &str = "```sh\n\
    vljepa classify PICTURE --model DIR --labels \"cat,dog\"    # DIR: this folder\n\
    vljepa index build PICTURES --model DIR --out pictures.idx\n\
    vljepa search pictures.idx \"something to drink\" --model DIR\n```";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration of the run: model, data, objective, optimiser, schedule; its paths are relative to its folder
    #[arg(value_name = "CONFIG.toml")]
    pub config: PathBuf,
    /// Resume from the newest good checkpoint; if there is none, start from step 0 and say so on stderr
    #[arg(long)]
    pub resume: bool,
    /// Folder of the run; replaces `output` of the file
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Take a few steps, write nothing, and say what the run would take: parameters, memory, seconds a step, hours
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    // Check the configuration and the files that it names before opening a device.
    vljepa_train::check(&args.config, args.out.as_deref())?;
    let device = vljepa::open_device(&common.device)?;
    out.note(&format!("adapter: {}", vljepa::info::adapter_name(&device)));
    if args.dry_run {
        return estimate(args, &device, out);
    }
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {msg}") {
        bar.set_style(style);
    }
    let (folder, written) = (RefCell::new(None::<PathBuf>), Cell::new(None::<Instant>));
    // On a terminal the bar, else now and then a line.
    let advance = |event: &Event, done: u64, of: u64| {
        bar.set_length(of);
        bar.set_position(done);
        bar.set_message(event.to_string());
        if bar.is_hidden() && (done.is_multiple_of(LINE_EVERY) || done == of) {
            out.note(&event.to_string());
        }
    };
    let options = RunOptions::new(device).resume(args.resume).usage(USAGE).observer(|event| match event {
        Event::Step { report, steps, .. } => advance(event, report.step + 1, *steps),
        Event::ProbeStep { report, steps, .. } => advance(event, report.step + 1, *steps),
        Event::WorldStep { report, steps, .. } => advance(event, report.step + 1, *steps),
        Event::Features { done, of, .. } => advance(event, *done as u64, *of as u64),
        other => bar.suspend(|| {
            out.note(&other.to_string());
            if let Event::Started { output, .. } = other {
                folder.replace(Some(output.clone()));
            }
            let folder = folder.borrow();
            // The whole log is read for a page: not more often than a reader looks.
            let due = match other {
                Event::Evaluated { .. } => written.get().is_none_or(|at| at.elapsed() > PAGE_EVERY),
                other => matches!(other, Event::Finished { .. }),
            };
            if due {
                written.set(Some(Instant::now()));
            }
            // A page that cannot be written is no reason to lose a run.
            if let Some(Err(error)) = folder.as_deref().filter(|_| due).map(vljepa::run_report::write) {
                out.note(&error.to_string());
            }
        }),
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
            "probe": summary.probe, "world": summary.world,
        }));
    }
    if let (Some(model), Some(report)) = (&model, &summary.probe) {
        return out.text(&probe(report, summary.step, model));
    }
    match model {
        Some(model) => out.text(&format!("{} steps; the model is in {model}\n", summary.step)),
        None => out.text(&format!("stopped after {} steps; go on with --resume\n", summary.step)),
    }
}

/// What the run would take.
fn estimate(args: &Args, device: &Device, out: &Output) -> Result {
    let estimate = Estimate::of(&args.config, device)?;
    if out.json {
        return out.document(&estimate);
    }
    let Estimate { steps, batch, pairs, parameters, trained, candidates, device_bytes, .. } = estimate;
    let Estimate { seconds_per_step, seconds_per_batch, seconds, .. } = estimate;
    out.text(&format!(
        "{steps} steps of {batch} samples, {pairs} pairs in the first, each among {candidates} candidates\n\
         {:.2} M parameters, {:.2} M of them trained\n\
         {:.2} GB on the device at most\n\
         {seconds_per_step:.3} s a step, {seconds_per_batch:.3} s for its batch beside it\n\
         {:.2} hours, without evaluations and checkpoints\n",
        parameters as f64 / 1e6,
        trained as f64 / 1e6,
        device_bytes as f64 / 1e9,
        seconds / 3600.0
    ))
}

/// What a run with `[probe]` prints in the end.
fn probe(report: &ProbeReport, steps: u64, model: &str) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let mut text = String::new();
    for (name, figures) in [("validation", &report.validation), ("test", &report.test)] {
        let Some(Figures { n, top1, top1_interval: [low, high], majority, chance, .. }) = figures else { continue };
        text += &format!(
            "top-1 of {n} {name} clips: {} (95 %: {} to {}); always \"{}\": {}; any class: {}\n",
            percent(*top1),
            percent(*low),
            percent(*high),
            majority.label,
            percent(majority.top1),
            percent(*chance)
        );
    }
    let head = &report.head;
    text + &format!(
        "{steps} steps; the classifier (learning rate {}, weight decay {}) is in {model}\n",
        head.learning_rate, head.weight_decay
    )
}
