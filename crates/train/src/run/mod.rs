//! A whole training run from a configuration file.

mod event;
mod log;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use vljepa_embed::files::FolderLock;
use vljepa_embed::folder::ModelFiles;
use vljepa_model::Storage;
use vljepa_tensor::Device;

use self::log::{Log, Pace};
use crate::card::{CARD, Card};
use crate::checkpoint::Checkpoints;
use crate::error::{Result, TrainError};
use crate::feed::{Feed, Maker};
use crate::metrics::Validation;
use crate::places::{CHECKPOINTS, LOCK, METRICS, MODEL};
use crate::start::{Prepared, Start};
use crate::trainer::{Trained, Trainer};

pub use event::Event;

/// How a run is made, beside its configuration: `RunOptions::new(device)` is a quiet run from step 0.
pub struct RunOptions<'a> {
    device: Device,
    resume: bool,
    output: Option<PathBuf>,
    usage: Option<String>,
    stop: Box<dyn FnMut() -> bool + 'a>,
    observer: Box<dyn FnMut(&Event) + 'a>,
}

impl<'a> RunOptions<'a> {
    /// A run that computes on `device`.
    pub fn new(device: Device) -> Self {
        let (stop, observer) = (Box::new(|| false), Box::new(|_: &Event| ()));
        Self { device, resume: false, output: None, usage: None, stop, observer }
    }

    /// Whether to go on from the newest good checkpoint; otherwise the run's folder must hold none.
    pub fn resume(self, resume: bool) -> Self {
        Self { resume, ..self }
    }

    /// Folder of the run in place of the configuration's.
    pub fn output(self, folder: impl Into<PathBuf>) -> Self {
        Self { output: Some(folder.into()), ..self }
    }

    /// Markdown on how the trained model is used, a section of its model card.
    pub fn usage(self, markdown: impl Into<String>) -> Self {
        Self { usage: Some(markdown.into()), ..self }
    }

    /// Called after every step; `true` saves a checkpoint and ends the run.
    pub fn stop(self, stop: impl FnMut() -> bool + 'a) -> Self {
        Self { stop: Box::new(stop), ..self }
    }

    /// Called with everything that happens.
    pub fn observer(self, observer: impl FnMut(&Event) + 'a) -> Self {
        Self { observer: Box::new(observer), ..self }
    }
}

impl fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions").field("resume", &self.resume).field("output", &self.output).finish_non_exhaustive()
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
pub fn run(path: &Path, options: RunOptions<'_>) -> Result<Summary> {
    let RunOptions { device, resume, output, usage, mut stop, mut observer } = options;
    let start = Start::read(path, output.as_deref())?;
    let (config, output) = (&start.config, &start.config.output);
    // Also before the list, which mends what a killed run left.
    let _lock = FolderLock::take(output, LOCK)?;
    let checkpoints = Checkpoints::new(output.join(CHECKPOINTS), config.checkpoint.keep);
    match checkpoints.list()?.is_empty() {
        false if !resume => {
            return Err(TrainError::Invalid(format!(
                "{}: holds checkpoints of a run already; resume it, or choose another `output`",
                output.display()
            )));
        }
        true if resume => {
            observer(&Event::Note(format!("nothing to resume in {}: starting from step 0", output.display())));
        }
        _ => {}
    }
    let noun = start.source.noun();
    observer(&Event::Note(format!("encoding the texts of the {noun}")));
    let Prepared { mut trainer, target_tokenizer, query_tokenizer } = start.assemble(&device)?;
    if let Some(cut) = trainer.cut_texts()? {
        observer(&Event::Note(format!("texts of the {noun}: {cut}")));
    }
    if let Some(cut) = start.queries.as_ref().and_then(|queries| queries.cut.as_ref()) {
        observer(&Event::Note(format!("queries of the {noun}: {cut}")));
    }

    let (mut seconds, mut last_device) = (0.0, None);
    if resume {
        let (found, faults) = checkpoints.latest(|loaded| trainer.restore(loaded))?;
        for fault in faults {
            observer(&Event::Note(format!("{fault}; going on from an older one")));
        }
        if let Some((loaded, ())) = found {
            (seconds, last_device) = (loaded.state.seconds, loaded.state.device);
        }
    }
    let mut log = Log::open(output.join(METRICS), trainer.step_count(), config.steps)?;
    observer(&Event::Started {
        step: trainer.step_count(),
        steps: config.steps,
        parameters: trainer.trained_parameters(),
        steps_per_epoch: start.source.steps_per_epoch(config.batch),
        candidates: trainer.candidates(),
        output: output.clone(),
    });
    let maker = Arc::new(Maker::new(start.source.clone(), config.clone(), trainer.preprocess()));
    let mut feed = Feed::start(maker, trainer.step_count(), config.steps, config.data.prefetch)?;
    let (mut last_save, mut validation) = (Instant::now(), None);
    let mut pace = Pace::new();
    while trainer.step_count() < config.steps {
        let batch = feed.next_batch()?;
        let report = trainer.step(&batch)?;
        let step = trainer.step_count();
        seconds += pace.lap();
        last_device.get_or_insert_default().clone_from(&device.info().name);
        let rate = config.batch as f64 / pace.seconds_per_step();
        let left = (config.steps - step) as f64 * pace.seconds_per_step();
        log.write(&json!({
            "step": report.step, "loss": report.loss, "grad_norm": report.grad_norm, "lr_factor": report.factor,
            "scale": report.scale, "image_size": batch.size, "seconds": round(seconds), "pictures_per_second": round(rate),
        }))?;
        observer(&Event::Step { report, steps: config.steps, rate, left });
        let last = step == config.steps;
        if !last && config.evaluate.every > 0 && step.is_multiple_of(config.evaluate.every) {
            validation = Some(evaluated(step, trainer.validate()?, &mut log, &mut observer)?);
            pace.skip();
        }
        let stopped = stop();
        let c = &config.checkpoint;
        let due = (c.every > 0 && step.is_multiple_of(c.every))
            || (c.seconds > 0 && last_save.elapsed().as_secs() >= c.seconds);
        if last || stopped || due {
            let (mut state, files) = trainer.state()?;
            (state.seconds, state.device) = (seconds, last_device.clone());
            let path = checkpoints.save(&state, &files)?;
            observer(&Event::Saved { path });
            last_save = Instant::now();
            pace.skip();
        }
        if stopped && !last {
            return Ok(Summary { step, complete: false, model: None, validation });
        }
    }
    let made = trainer.finish_with(Storage::F32, &mut |what| observer(&Event::Note(what.into())));
    let Trained { weights, validation } = made.map_err(|error| start.file.locate(error))?;
    let validation = evaluated(config.steps, validation, &mut log, &mut observer)?;
    let model = output.join(MODEL);
    let (device, usage) = (last_device.as_deref(), usage.as_deref());
    let card = Card { start: &start, trainer: &trainer, validation: &validation, seconds, device, usage };
    let files = ModelFiles {
        config: &trainer.model().config,
        weights: &weights,
        target_tokenizer: &target_tokenizer,
        query_tokenizer: query_tokenizer.as_deref(),
    };
    if let Some(new) = files.write_into(&model, |folder| card.write(folder))? {
        let (old, new) = (model.join(CARD), new.display());
        observer(&Event::Note(format!(
            "{} was changed since it was written and stays; {new} is the new card",
            old.display()
        )));
    }
    observer(&Event::Finished { model: model.clone(), seconds });
    Ok(Summary { step: trainer.step_count(), complete: true, model: Some(model), validation: Some(validation) })
}

/// Writes an evaluation after `step` steps into the log and reports it.
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
    let maker = Maker::new(start.source, start.config, trainer.preprocess());
    Ok((trainer, maker))
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
