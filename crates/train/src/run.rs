//! A whole training run from a configuration file: `vljepa train CONFIG.toml [--resume]`.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use vljepa_data::atomic::{sync_folder_of, write_atomically};
use vljepa_model::Storage;
use vljepa_model::config::VlJepaConfig;
use vljepa_tensor::Device;

use crate::card::{CARD, Card};
use crate::checkpoint::Checkpoints;
use crate::error::{Result, TrainError};
use crate::eval::{Cell, Validation};
use crate::feed::{Feed, Maker};
use crate::start::{Prepared, Start};
use crate::trainer::{StepReport, Trained, Trainer};

/// How a run is made, beside its configuration.
pub struct RunOptions<'a> {
    /// Where it computes.
    pub device: Device,
    /// Go on from the newest good checkpoint; without it the run's folder must hold none.
    pub resume: bool,
    /// Folder of the run in place of the configuration's.
    pub output: Option<PathBuf>,
    /// Asked after every step; `true` saves a checkpoint and ends the run.
    pub stop: &'a dyn Fn() -> bool,
}

impl fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions").field("resume", &self.resume).field("output", &self.output).finish()
    }
}

/// What happens in a run. `Display` gives the line for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// What is being prepared, or something that was put right.
    Note(String),
    /// Training begins or goes on.
    Started {
        /// Steps taken so far.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Trained parameters.
        parameters: usize,
        /// Candidates of each prediction.
        candidates: usize,
        /// Folder of the run.
        output: PathBuf,
    },
    /// A step was taken.
    Step {
        /// What it gave.
        report: StepReport,
        /// Steps in all.
        steps: u64,
        /// Pictures per second, over the last steps.
        rate: f64,
        /// Seconds left at this rate.
        left: f64,
    },
    /// The validation data was looked at.
    Evaluated {
        /// Steps taken.
        step: u64,
        /// The figures.
        validation: Box<Validation>,
    },
    /// A checkpoint was written.
    Saved {
        /// Its folder.
        path: PathBuf,
    },
    /// The model folder was written.
    Finished {
        /// The model folder.
        model: PathBuf,
        /// Seconds of training, earlier parts of the run included.
        seconds: f64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Note(text) => f.write_str(text),
            Event::Started { step, steps, parameters, candidates, output } => write!(
                f,
                "training {:.2} M parameters from step {step} to {steps}, {candidates} candidates (ln {:.3}), in {}",
                *parameters as f64 / 1e6,
                (*candidates as f64).ln(),
                output.display()
            ),
            Event::Step { report: r, steps, rate, left } => write!(
                f,
                "step {}/{steps}  loss {:.4}  norm {:.2}  1/τ {:.1}  lr ×{:.3}  {rate:.0} pictures/s  {} left",
                r.step + 1,
                r.loss,
                r.grad_norm,
                r.scale,
                r.factor,
                duration(*left)
            ),
            Event::Evaluated { step, validation: v } => {
                let percent = |v: Option<f64>| v.map_or_else(|| "–".into(), |v| format!("{:.1}", 100.0 * v));
                let pair = |c: &Cell| format!("{}/{} of {}", percent(c.r1), percent(c.r5), c.candidates);
                write!(
                    f,
                    "after step {step}: R@1/R@5 % of seen concepts in a new design {}; new concepts in seen designs {}, in a new one {}",
                    pair(&v.seen_concept_new_vendor),
                    pair(&v.new_concept_seen_vendor),
                    pair(&v.new_concept_new_vendor)
                )
            }
            Event::Saved { path } => write!(f, "saved {}", path.display()),
            Event::Finished { model, seconds } => {
                write!(f, "trained in {}: {}", duration(*seconds), model.display())
            }
        }
    }
}

pub(crate) fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02} min", s / 60, s % 60),
        _ => format!("{}:{:02} h", s / 3600, s / 60 % 60),
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Steps taken.
    pub step: u64,
    /// Whether all steps were taken.
    pub complete: bool,
    /// The model folder, when complete.
    pub model: Option<PathBuf>,
    /// The last evaluation.
    pub validation: Option<Validation>,
}

/// Trains as `path` says. Writes into the run's folder: `checkpoints/`, `metrics.jsonl`, and at the end `model/` and
/// `cards.sha256`, by which it knows the model cards that it wrote.
///
/// # Errors
/// Everything of [`TrainError`]; what was saved before stays.
pub fn run(path: &Path, options: &RunOptions<'_>, observer: &mut dyn FnMut(&Event)) -> Result<Summary> {
    let start = Start::read(path, options.output.as_deref())?;
    let (config, corpus, output) = (&start.config, &start.corpus, &start.config.output);
    let checkpoints = Checkpoints::new(output.join("checkpoints"), config.checkpoint.keep);
    match checkpoints.list()?.is_empty() {
        false if !options.resume => {
            return Err(TrainError::Invalid(format!(
                "{}: holds checkpoints of a run already; resume it, or choose another `output`",
                output.display()
            )));
        }
        true if options.resume => {
            observer(&Event::Note(format!("nothing to resume in {}: starting from step 0", output.display())));
        }
        _ => {}
    }
    observer(&Event::Note("encoding the texts of the concepts".into()));
    let Prepared { mut trainer, tokenizer_json } = start.assemble(&options.device)?;
    if let Some(cut) = trainer.cut_texts()? {
        observer(&Event::Note(format!("texts of the concepts: {cut}")));
    }

    let (mut seconds, mut last_device) = (0.0, None);
    if options.resume {
        let (found, faults) = checkpoints.latest(|loaded| trainer.restore(loaded))?;
        for fault in faults {
            observer(&Event::Note(format!("{fault}; going on from an older one")));
        }
        if let Some((loaded, ())) = found {
            (seconds, last_device) = (loaded.state.seconds, loaded.state.device);
        }
    }
    fs::create_dir_all(output).map_err(TrainError::io(output, "creating"))?;
    let mut log = Log::open(output.join("metrics.jsonl"), trainer.step_count(), config.steps)?;
    observer(&Event::Started {
        step: trainer.step_count(),
        steps: config.steps,
        parameters: trainer.trained_parameters(),
        candidates: trainer.candidates(),
        output: output.clone(),
    });
    let maker = Arc::new(Maker::new(corpus.clone(), config.clone(), trainer.preprocess()));
    let mut feed = Feed::start(maker, trainer.step_count(), config.steps, config.data.prefetch)?;
    let (mut last_save, mut validation) = (Instant::now(), None);
    let mut pace = Pace::new();
    while trainer.step_count() < config.steps {
        let batch = feed.next_batch()?;
        let report = trainer.step(&batch)?;
        let step = trainer.step_count();
        seconds += pace.lap();
        last_device.get_or_insert_default().clone_from(&options.device.info().name);
        let rate = config.batch as f64 / pace.seconds_per_step();
        let left = (config.steps - step) as f64 * pace.seconds_per_step();
        log.write(&json!({
            "step": report.step, "loss": report.loss, "grad_norm": report.grad_norm, "lr_factor": report.factor,
            "scale": report.scale, "image_size": batch.size, "seconds": round(seconds), "pictures_per_second": round(rate),
        }))?;
        observer(&Event::Step { report, steps: config.steps, rate, left });
        let last = step == config.steps;
        if !last && config.evaluate.every > 0 && step.is_multiple_of(config.evaluate.every) {
            validation = Some(evaluated(step, trainer.validate()?, &mut log, observer)?);
            pace.skip();
        }
        let stop = (options.stop)();
        let c = &config.checkpoint;
        let due = (c.every > 0 && step.is_multiple_of(c.every))
            || (c.seconds > 0 && last_save.elapsed().as_secs() >= c.seconds);
        if last || stop || due {
            let (mut state, files) = trainer.state()?;
            (state.seconds, state.device) = (seconds, last_device.clone());
            let path = checkpoints.save(&state, &files)?;
            observer(&Event::Saved { path });
            last_save = Instant::now();
            pace.skip();
        }
        if stop && !last {
            return Ok(Summary { step, complete: false, model: None, validation });
        }
    }
    let made = trainer.finish(Storage::F32, &mut |what| observer(&Event::Note(what.into())));
    let Trained { weights, validation } = made.map_err(|error| start.file.locate(error))?;
    let validation = evaluated(config.steps, validation, &mut log, observer)?;
    let model = output.join("model");
    let device = last_device.as_deref();
    let card = Card { start: &start, trainer: &trainer, validation: &validation, seconds, device };
    if let Some(new) = write_model(&model, &weights, &tokenizer_json, &trainer.model().config, &card)? {
        let (old, new) = (model.join(CARD), new.display());
        observer(&Event::Note(format!(
            "{} was changed since it was written and stays; {new} is the new card",
            old.display()
        )));
    }
    observer(&Event::Finished { model: model.clone(), seconds });
    Ok(Summary { step: trainer.step_count(), complete: true, model: Some(model), validation: Some(validation) })
}

/// Notes an evaluation after `step` steps.
fn evaluated(step: u64, found: Validation, log: &mut Log, observer: &mut dyn FnMut(&Event)) -> Result<Validation> {
    log.write(&json!({"step": step - 1, "validation": &found}))?;
    observer(&Event::Evaluated { step, validation: Box::new(found.clone()) });
    Ok(found)
}

/// A trainer at step 0 and the maker of its batches, as `path` says, for measuring and for loops of one's own.
///
/// # Errors
/// As [`run`].
pub fn prepare(device: &Device, path: &Path) -> Result<(Trainer, Maker)> {
    let start = Start::read(path, None)?;
    let Prepared { trainer, .. } = start.assemble(device)?;
    let maker = Maker::new(start.corpus, start.config, trainer.preprocess());
    Ok((trainer, maker))
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A model folder, its files one by one so that each is whole. The one without which it is no model folder is removed
/// first and written last. Gives the path of the card where it lies beside an earlier one; see [`Card::write`].
fn write_model(
    folder: &Path,
    weights: &[u8],
    tokenizer: &[u8],
    config: &VlJepaConfig,
    card: &Card<'_>,
) -> Result<Option<PathBuf>> {
    let (path, json) = (folder.join("config.json"), config.to_json()?);
    fs::create_dir_all(folder).map_err(TrainError::io(folder, "creating"))?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(TrainError::io(path, "removing")(error)),
        _ => sync_folder_of(&path),
    }
    write_atomically(&folder.join("model.safetensors"), weights)?;
    write_atomically(&folder.join("target_tokenizer.json"), tokenizer)?;
    let beside = card.write(folder)?;
    write_atomically(&path, json.as_bytes())?;
    Ok(beside)
}

/// A file as text, with � for what is not UTF-8; `None` where there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TrainError::io(path, "reading")(error)),
    }
}

/// `metrics.jsonl`: one object a line, flushed line by line.
struct Log {
    path: PathBuf,
    file: fs::File,
}

impl Log {
    /// Opens the file for appending, without the lines of steps that are taken again, and without the evaluation after the
    /// last of all `steps`, which is made again.
    fn open(path: PathBuf, step: u64, steps: u64) -> Result<Self> {
        if let Some(old) = read_if_there(&path)? {
            let taken = |line: &&str| {
                let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { return false };
                let last = |s: u64| s + 1 == steps && value.get("validation").is_some();
                value["step"].as_u64().is_some_and(|s| s < step && !last(s))
            };
            let kept: String = old.lines().filter(taken).flat_map(|line| [line, "\n"]).collect();
            write_atomically(&path, kept.as_bytes())?;
        }
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self { file: file.map_err(TrainError::io(&path, "opening"))?, path })
    }

    fn write(&mut self, value: &serde_json::Value) -> Result<()> {
        self.file
            .write_all(format!("{value}\n").as_bytes())
            .and_then(|()| self.file.flush())
            .map_err(TrainError::io(&self.path, "writing"))
    }
}

/// Seconds per step, averaged over about the last twenty.
struct Pace {
    last: Instant,
    average: Option<f64>,
}

impl Pace {
    fn new() -> Self {
        Self { last: Instant::now(), average: None }
    }

    /// Seconds since the last call, counted as one step.
    fn lap(&mut self) -> f64 {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        self.average = Some(self.average.map_or(seconds, |a| a + 0.05 * (seconds - a)));
        seconds
    }

    /// Leaves out what was done since the last call.
    fn skip(&mut self) {
        self.last = Instant::now();
    }

    fn seconds_per_step(&self) -> f64 {
        self.average.unwrap_or(f64::INFINITY).max(1e-9)
    }
}
