//! A whole run that trains a world model, from a configuration file.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use vljepa_embed::files::FolderLock;
use vljepa_embed::folder::LewmFiles;
use vljepa_worlds::trajectories::{Collect, Trajectories, collect};

use super::event::Event;
use super::log::{Log, Pace, round};
use super::options::{RunOptions, Summary, check_resume, restored, save};
use super::world_card::WorldCard;
use crate::card::{CARD, put_card};
use crate::checkpoint::Checkpoints;
use crate::error::Result;
use crate::feed::Feed;
use crate::places::{CHECKPOINTS, LOCK, MODEL};
use crate::schedule::duration;
use crate::start::WorldStart;
use crate::world::{WorldData, WorldFigures, WorldTrainer};

/// Trains a LeWM as `path` says. Writes into the run's folder: `checkpoints/`, `metrics.jsonl`, and at the end `model/` and
/// `cards.sha256`.
pub(super) fn run(path: &Path, options: RunOptions<'_>) -> Result<Summary> {
    let RunOptions { device, resume, output, usage: _, mut stop, mut observer } = options;
    let start = WorldStart::read(path, output.as_deref())?;
    let (config, output) = (&start.run, &start.run.output);
    let _lock = FolderLock::take(output, LOCK)?;
    let checkpoints = Checkpoints::new(output.join(CHECKPOINTS), config.checkpoint.keep);
    check_resume(&checkpoints, resume, output, &mut observer)?;
    let began = Instant::now();
    let episodes = play(&start)?;
    observer(&Event::Note(format!(
        "played {} episodes of {} with {} steps in {}",
        episodes.episodes.len(),
        start.world.name(),
        episodes.total_steps(),
        duration(began.elapsed().as_secs_f64())
    )));
    let data = WorldData::new(start.world.fork(), episodes, &start.config, start.frames(), config.world.validation)?;
    let data = Arc::new(data);
    let mut trainer = WorldTrainer::new(&device, config.clone(), start.model(&device)?, data.clone())?;
    let (mut seconds, mut last_device) = match resume {
        true => restored(&checkpoints, |loaded| trainer.restore(loaded), &mut observer)?,
        false => (0.0, None),
    };
    let (mut log, _) = Log::open(output, trainer.step_count(), config.steps)?;
    observer(&Event::Note(format!(
        "training {:.2} M parameters from step {} to {} on {} windows of {} frames, in {}",
        trainer.parameters() as f64 / 1e6,
        trainer.step_count(),
        config.steps,
        data.train.len(),
        data.frames(),
        output.display()
    )));
    let (seed, batch) = (config.seed, config.batch);
    let make = move |step| data.batch(seed, step, batch);
    let mut feed = Feed::of(make, trainer.step_count(), config.steps, config.world.prefetch)?;
    let (mut pace, mut last_save) = (Pace::new(), Instant::now());
    while trainer.step_count() < config.steps {
        let batch = feed.next_batch()?;
        let report = trainer.step(&batch)?;
        let step = trainer.step_count();
        seconds += pace.lap();
        last_device.get_or_insert_default().clone_from(&device.info().name);
        let rate = (config.batch * batch.frames) as f64 / pace.seconds_per_step();
        log.write(&json!({
            "step": report.step, "loss": report.loss, "prediction": report.prediction, "sigreg": report.sigreg,
            "roll_out": report.rolled, "grad_norm": report.grad_norm, "lr_factor": report.factor,
            "seconds": round(seconds), "frames_per_second": round(rate),
        }))?;
        let left = (config.steps - step) as f64 * pace.seconds_per_step();
        observer(&Event::WorldStep { report, steps: config.steps, rate, left });
        let last = step == config.steps;
        if !last && config.evaluate.every > 0 && step.is_multiple_of(config.evaluate.every) {
            evaluated(&trainer, false, &mut log, &mut observer)?;
            pace.skip();
        }
        let stopped = stop();
        if last || stopped || config.checkpoint.is_due(step, last_save) {
            save(&checkpoints, trainer.state()?, (seconds, &last_device), &mut observer)?;
            last_save = Instant::now();
            pace.skip();
        }
        if stopped && !last {
            return Ok(Summary { step, complete: false, model: None, validation: None, probe: None, world: None });
        }
    }
    let figures = evaluated(&trainer, true, &mut log, &mut observer)?;
    let model = output.join(MODEL);
    let described = trainer.described();
    let weights = trainer.model().save(config.model.storage)?;
    let card =
        WorldCard { start: &start, trainer: &trainer, figures: &figures, seconds, device: last_device.as_deref() };
    let files = LewmFiles { config: &described, weights: &weights };
    if let Some(new) = files.write_into(&model, |folder| put_card(folder, output, |licence| card.text(licence)))? {
        observer(&Event::card_kept(&model.join(CARD), &new));
    }
    observer(&Event::Finished { model: model.clone(), seconds });
    let (step, complete, model) = (config.steps, true, Some(model));
    Ok(Summary { step, complete, model, validation: None, probe: None, world: Some(figures) })
}

/// The episodes of a run: a function of its `[world]` alone.
fn play(start: &WorldStart) -> Result<Trajectories> {
    let w = &start.run.world;
    let (policy, episodes, max_steps) = (w.policy, w.episodes, w.max_steps);
    let options = Collect { policy, episodes, max_steps, stop_at_goal: w.stop_at_goal, seed: w.seed };
    Ok(collect(start.world.as_ref(), &options)?)
}

/// Measures the model, writes that into the log and reports it.
fn evaluated(
    trainer: &WorldTrainer,
    last: bool,
    log: &mut Log,
    observer: &mut dyn FnMut(&Event),
) -> Result<WorldFigures> {
    let (step, figures) = (trainer.step_count(), trainer.evaluate()?.figures());
    let mut line = json!({"step": step.saturating_sub(1), "validation": &figures});
    if last {
        line["final"] = true.into();
    }
    log.write(&line)?;
    observer(&Event::WorldEvaluated { step, figures });
    Ok(figures)
}
