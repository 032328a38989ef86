//! A whole training run from a configuration file.

mod best;
mod estimate;
mod event;
mod events;
mod features;
mod log;
mod options;
mod prepare;
mod probe;
mod probe_card;
mod world;
mod world_card;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use vljepa_embed::files::FolderLock;
use vljepa_embed::folder::ModelFiles;
use vljepa_model::Storage;

use self::best::Best;
use self::log::{Log, Pace, round};
use self::options::{check_resume, restored};
use crate::card::{CARD, Card};
use crate::checkpoint::Checkpoints;
use crate::error::Result;
use crate::feed::{Feed, Maker};
use crate::metrics::Validation;
use crate::places::{CHECKPOINTS, LOCK, MODEL};
use crate::start::{Kind, Prepared, Start, kind};
use crate::trainer::Trained;

pub use estimate::Estimate;
pub use event::Event;
pub use events::numbers;
pub use options::{RunOptions, Summary};
use prepare::features_of;
pub use prepare::prepare;

/// Trains as `path` says, a VL-JEPA or, where the file has `[probe]`, a classifier, where it has `[world]`, a world model. Writes into the run's folder: `checkpoints/`, `metrics.jsonl`, and at the end `model/` and
/// `cards.sha256`, by which it knows the model cards that it wrote.
///
/// # Errors
/// Everything of [`TrainError`](crate::TrainError); what was saved before stays.
pub fn run(path: &Path, options: RunOptions<'_>) -> Result<Summary> {
    match kind(path)? {
        Kind::VlJepa => {}
        Kind::Probe => return probe::run(path, options),
        Kind::World => return world::run(path, options),
    }
    let RunOptions { device, resume, output, usage, mut stop, mut observer } = options;
    let start = Start::read(path, output.as_deref())?;
    let (config, output) = (&start.config, &start.config.output);
    // Also before the list, which mends what a killed run left.
    let _lock = FolderLock::take(output, LOCK)?;
    let checkpoints = Checkpoints::new(output.join(CHECKPOINTS), config.checkpoint.keep);
    check_resume(&checkpoints, resume, output, &mut observer)?;
    let stored = features_of(&start, &device, &mut observer)?;
    let noun = start.source.noun();
    observer(&Event::Note(format!("encoding the texts of the {noun}")));
    let Prepared { mut trainer, target_tokenizer, query_tokenizer } = start.assemble(&device)?;
    if let Some(cut) = trainer.cut_texts()? {
        observer(&Event::Note(format!("texts of the {noun}: {cut}")));
    }
    if let Some(cut) = start.queries.as_ref().and_then(|queries| queries.cut.as_ref()) {
        observer(&Event::Note(format!("queries of the {noun}: {cut}")));
    }

    let mut maker = Maker::new(start.source.clone(), config.clone(), trainer.preprocess());
    if let Some(stored) = stored {
        trainer = trainer.with_features(stored.clone());
        maker = maker.with_features(stored);
    }
    let (mut seconds, mut last_device) = match resume {
        true => restored(&checkpoints, |loaded| trainer.restore(loaded), &mut observer)?,
        false => (0.0, None),
    };
    let (mut log, lines) = Log::open(output, trainer.step_count(), config.steps)?;
    let (mut best, patience) = (Best::of(&lines), config.evaluate.patience);
    let keeps_best = config.checkpoint.best || patience > 0;
    if keeps_best && best.step().is_some() {
        // The log may tell of an evaluation whose checkpoint was not kept, or was lost.
        match checkpoints.best() {
            Ok(loaded) if Some(loaded.state.step) == best.step() => {}
            found => {
                let what = found.map_or_else(
                    |error| error.to_string(),
                    |loaded| format!("{} is of another step", loaded.path.display()),
                );
                observer(&Event::Note(format!("{what}; the best evaluation is looked for anew")));
                best = Best::default();
            }
        }
    }
    let mut feed = Feed::start(Arc::new(maker), trainer.step_count(), config.steps, config.data.prefetch)?;
    let mut first = match trainer.step_count() < config.steps {
        true => Some(feed.next_batch()?),
        false => None,
    };
    observer(&Event::Started {
        step: trainer.step_count(),
        steps: config.steps,
        parameters: trainer.trained_parameters(),
        steps_per_epoch: start.source.steps_per_epoch(config.batch),
        candidates: first.as_ref().map_or_else(|| trainer.candidates(), |batch| trainer.candidates_in(batch)),
        output: output.clone(),
    });
    let (mut last_save, mut validation) = (Instant::now(), None);
    let mut pace = Pace::new();
    while trainer.step_count() < config.steps && !best.is_over(patience) {
        let batch = match first.take() {
            Some(batch) => batch,
            None => feed.next_batch()?,
        };
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
        let due = config.evaluate.every > 0 && step.is_multiple_of(config.evaluate.every);
        if let Some(spreads) = if last || due { trainer.spreads()? } else { None } {
            log.write(&json!({"step": report.step, "embeddings": &spreads}))?;
            observer(&Event::Embeddings { step, spreads });
        }
        let mut is_best = false;
        if !last && due {
            let found = evaluated((step, false), trainer.validate()?, &mut log, &mut observer)?;
            is_best = best.take(step, found.score()) && keeps_best;
            validation = Some(found);
            pace.skip();
        }
        let stopped = stop();
        let saves = last || stopped || best.is_over(patience) || config.checkpoint.is_due(step, last_save);
        if is_best || saves {
            let (mut state, files) = trainer.state()?;
            (state.seconds, state.device) = (seconds, last_device.clone());
            if is_best {
                checkpoints.save_best(&state, &files)?;
            }
            if saves {
                let path = checkpoints.save(&state, &files)?;
                observer(&Event::Saved { path });
                last_save = Instant::now();
            }
            pace.skip();
        }
        if stopped && !last {
            return Ok(Summary { step, complete: false, model: None, validation, probe: None, world: None });
        }
    }
    let ended = trainer.step_count();
    if ended < config.steps {
        let loaded = checkpoints.best()?;
        trainer.restore(&loaded)?;
        let step = trainer.step_count();
        observer(&Event::Note(format!(
            "no better evaluation in {patience}: ended after step {ended}; the model is that of step {step}"
        )));
    }
    let made = trainer.finish_with(Storage::F32, &mut |what| observer(&Event::Note(what.into())));
    let Trained { weights, validation } = made.map_err(|error| start.file.locate(error))?;
    let validation = evaluated((trainer.step_count(), true), validation, &mut log, &mut observer)?;
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
        observer(&Event::card_kept(&model.join(CARD), &new));
    }
    observer(&Event::Finished { model: model.clone(), seconds });
    Ok(Summary {
        step: ended,
        complete: true,
        model: Some(model),
        validation: Some(validation),
        probe: None,
        world: None,
    })
}

/// Writes an evaluation after `step` steps, during the run or of the finished model, into the log and reports it.
fn evaluated(
    (step, is_final): (u64, bool),
    found: Validation,
    log: &mut Log,
    observer: &mut dyn FnMut(&Event),
) -> Result<Validation> {
    let mut line = json!({"step": step.saturating_sub(1), "validation": &found});
    if is_final {
        line["final"] = true.into();
    }
    log.write(&line)?;
    observer(&Event::Evaluated { step, validation: Box::new(found.clone()) });
    Ok(found)
}
