//! A whole run that trains probes, from a configuration file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use vljepa_data::atomic::write_atomically;
use vljepa_embed::features::size;
use vljepa_embed::files::FolderLock;
use vljepa_embed::folder::{ClassifierFiles, ProbeTensor};
use vljepa_embed::models::VisionTokens;
use vljepa_model::LinearProbe;
use vljepa_tensor::Device;

use super::event::Event;
use super::features;
use super::log::{Log, Pace, round};
use super::options::{RunOptions, Summary, check_resume, restored, save};
use super::probe_card::ProbeCard;
use crate::card::{CARD, put_card};
use crate::checkpoint::Checkpoints;
use crate::error::{Result, TrainError};
use crate::feed::Feed;
use crate::places::{CHECKPOINTS, LOCK, MODEL, REPORT};
use crate::probe::{
    FeatureSource, InMemory, Measured, OnDisk, ProbeBatch, ProbeData, ProbeKind, ProbePart, ProbeReport, ProbeTrainer,
};
use crate::start::ProbeStart;

/// Numbers that stay on the device for each parameter of a head: its value and two moments.
const HELD: u64 = 3;

/// Trains probes as `path` says. Writes into the run's folder: `features/` unless another folder is named, `checkpoints/`,
/// `metrics.jsonl`, and at the end `model/`, `probe.json` and `cards.sha256`.
pub(super) fn run(path: &Path, options: RunOptions<'_>) -> Result<Summary> {
    let RunOptions { device, resume, output, usage: _, mut stop, mut observer } = options;
    let start = ProbeStart::read(path, output.as_deref())?;
    let (config, output) = (&start.run, &start.run.output);
    let _lock = FolderLock::take(output, LOCK)?;
    let checkpoints = Checkpoints::new(output.join(CHECKPOINTS), config.checkpoint.keep);
    check_resume(&checkpoints, resume, output, &mut observer)?;
    start.notes().into_iter().for_each(|note| observer(&Event::Note(note)));
    let data = prepare(&start, &device, &mut observer)?;
    let mut trainer = ProbeTrainer::new(&device, config.clone(), start.encoder.config(), data)?;
    let (mut seconds, mut last_device) = match resume {
        true => restored(&checkpoints, |loaded| trainer.restore(loaded), &mut observer)?,
        false => (0.0, None),
    };
    let (steps, per_epoch) = (trainer.steps(), trainer.steps_per_epoch());
    let every = per_epoch.saturating_mul(config.probe.evaluate_every);
    let (mut log, _) = Log::open(output, trainer.step_count(), steps)?;
    observer(&Event::Note(begun(&trainer, &start)));
    let (part, width) = (trainer.data().train.clone(), trainer.config().hidden_size);
    let (seed, batch) = (config.seed, config.batch);
    let make = move |step| ProbeBatch::new(&part, width, seed, step, batch);
    let mut feed = Feed::of(make, trainer.step_count(), steps, config.data.prefetch)?;
    let (mut pace, mut last_save) = (Pace::new(), Instant::now());
    while trainer.step_count() < steps {
        let batch = feed.next_batch()?;
        let report = trainer.step(&batch)?;
        let step = trainer.step_count();
        seconds += pace.lap();
        last_device.get_or_insert_default().clone_from(&device.info().name);
        let rate = config.batch as f64 / pace.seconds_per_step();
        log.write(&json!({
            "step": report.step, "losses": report.losses, "lr_factor": report.factor, "seconds": round(seconds),
            "clips_per_second": round(rate),
        }))?;
        let left = (steps - step) as f64 * pace.seconds_per_step();
        observer(&Event::ProbeStep { report, steps, rate, left });
        let last = step == steps;
        if last || step.is_multiple_of(every) {
            let found = trainer.evaluate()?;
            evaluated(&trainer, &found, &mut log, &mut observer)?;
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
    let report = trainer.report()?;
    let card = ProbeCard { start: &start, trainer: &trainer, report: &report, seconds, device: last_device.as_deref() };
    let model = write(&start, &trainer, &report, &card, &mut observer)?;
    observer(&Event::Finished { model: model.clone(), seconds });
    Ok(Summary { step: steps, complete: true, model: Some(model), validation: None, probe: Some(report), world: None })
}

/// What is said when training begins.
fn begun(trainer: &ProbeTrainer, start: &ProbeStart) -> String {
    let (heads, parameters) = (trainer.heads(), trainer.parameters());
    let kind = match start.run.probe.kind {
        ProbeKind::Attentive => "attentive",
        ProbeKind::Linear => "linear",
    };
    format!(
        "training {heads} {kind} head{} of {} parameters ({} with their moments) from step {} to {}, {} an epoch, in {}",
        if heads == 1 { "" } else { "s" },
        in_short(parameters as u64),
        size(heads as u64 * parameters as u64 * HELD * 4),
        trainer.step_count(),
        trainer.steps(),
        trainer.steps_per_epoch(),
        start.run.output.display()
    )
}

/// A count as people say it: "520", "8.2 k", "12.35 M".
fn in_short(count: u64) -> String {
    let n = count as f64;
    match count {
        0..1_000 => count.to_string(),
        1_000..100_000 => format!("{:.1} k", n / 1e3),
        _ => format!("{:.2} M", n / 1e6),
    }
}

/// The features of all rows, made where they are not there, and what the kind of probe takes of them.
fn prepare(start: &ProbeStart, device: &Device, observer: &mut dyn FnMut(&Event)) -> Result<ProbeData> {
    let stored = start.stored()?;
    let rows: Vec<_> = start.rows().collect();
    features::make(&stored, &rows, VisionTokens::new(device, &start.encoder), device, observer)?;
    if start.run.probe.kind == ProbeKind::Linear {
        observer(&Event::Note("taking the mean of each clip's tokens".into()));
    }
    let mut made = Vec::with_capacity(3);
    for part in &start.parts {
        let keys = part.rows.iter().map(|row| Ok(stored.key(row)?.clone())).collect::<Result<_>>()?;
        let on_disk = OnDisk { cache: stored.cache().clone(), keys };
        let features: Arc<dyn FeatureSource> = match start.run.probe.kind {
            ProbeKind::Attentive => Arc::new(on_disk),
            ProbeKind::Linear => Arc::new(InMemory::pooled(&on_disk, start.encoder.config(), &mut |_| ())?),
        };
        made.push(ProbePart { examples: part.examples.clone(), features });
    }
    let none = || TrainError::Invalid("a part of the data is missing".into());
    let [train, validation, test] = <[ProbePart; 3]>::try_from(made).map_err(|_| none())?;
    Ok(ProbeData { labels: start.labels.clone(), train, validation, test })
}

/// Writes an evaluation into the log and reports it.
fn evaluated(
    trainer: &ProbeTrainer,
    found: &[Option<Measured>],
    log: &mut Log,
    observer: &mut dyn FnMut(&Event),
) -> Result<()> {
    let (step, n) = (trainer.step_count(), trainer.data().validation.len());
    if n == 0 {
        return Ok(());
    }
    let share = |measured: &Measured| measured.correct as f64 / n as f64;
    let heads: Vec<_> = found.iter().map(|m| m.as_ref().map(|m| json!({"top1": share(m), "loss": m.loss}))).collect();
    log.write(&json!({"step": step.saturating_sub(1), "validation": {"n": n, "heads": heads}}))?;
    let best = |a: &&Measured, b: &&Measured| a.is_better_than(b).cmp(&b.is_better_than(a));
    let now = found.iter().flatten().max_by(best).map_or(0.0, share);
    let picked = trainer.picked().and_then(|picked| picked.measured.as_ref()).map_or(0.0, share);
    observer(&Event::ProbeEvaluated { step, epoch: step / trainer.steps_per_epoch().max(1), n, now, best: picked });
    Ok(())
}

/// The tensors of the best head as a published classifier has them.
fn tensors(trainer: &ProbeTrainer, kind: ProbeKind) -> Vec<ProbeTensor> {
    let own = trainer.picked().map(|picked| picked.weights.clone()).unwrap_or_default();
    match kind {
        ProbeKind::Attentive => own,
        ProbeKind::Linear => LinearProbe::pooler(trainer.config()).into_iter().chain(own).collect(),
    }
}

/// Writes the classifier's folder, then the report.
fn write(
    start: &ProbeStart,
    trainer: &ProbeTrainer,
    report: &ProbeReport,
    card: &ProbeCard<'_>,
    observer: &mut dyn FnMut(&Event),
) -> Result<PathBuf> {
    let (output, config) = (&start.run.output, trainer.config());
    let model = output.join(MODEL);
    let probe = tensors(trainer, start.run.probe.kind);
    let files = ClassifierFiles {
        encoder: &start.encoder,
        probe: &probe,
        num_pooler_layers: config.num_pooler_layers,
        labels: &start.labels,
        frames: start.viewing.frames,
    };
    let changed = files.write_into(&model, |folder| put_card(folder, output, |licence| card.text(licence)))?;
    if let Some(new) = changed {
        observer(&Event::card_kept(&model.join(CARD), &new));
    }
    let text = serde_json::to_string_pretty(report)
        .map_err(|e| TrainError::Invalid(format!("the report cannot be written: {e}")))?;
    write_atomically(&output.join(REPORT), format!("{text}\n").as_bytes())?;
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_a_unit_that_fits() {
        let shown = [0, 520, 8_192, 409_200, 12_345_678].map(in_short);
        assert_eq!(shown, ["0", "520", "8.2 k", "0.41 M", "12.35 M"]);
    }
}
