//! What a run would take, from a few of its steps, of which nothing is kept.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use vljepa_tensor::Device;

use crate::error::{Result, TrainError};
use crate::feed::Maker;
use crate::start::{Kind, Prepared, Start, kind};

/// Steps that are timed, after one in which pipelines are compiled.
const TIMED: usize = 3;

/// What a run would take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Steps of the run.
    pub steps: u64,
    /// Samples of a step.
    pub batch: usize,
    /// Queries and targets of the first step.
    pub pairs: usize,
    /// All parameters of the model.
    pub parameters: u64,
    /// Those that are trained.
    pub trained: usize,
    /// Candidates of each prediction.
    pub candidates: usize,
    /// Bytes on the device, free buffers included, at most.
    pub device_bytes: u64,
    /// Seconds of a step, the middle one of three; of several sizes of pictures the mean over the run.
    pub seconds_per_step: f64,
    /// Seconds that making its batch takes, which is done beside the steps.
    pub seconds_per_batch: f64,
    /// Seconds of all steps, without evaluations and checkpoints.
    pub seconds: f64,
}

impl Estimate {
    /// Takes a few steps of the run that `path` describes, one kind for each size of its pictures. Nothing is written.
    ///
    /// # Errors
    /// As [`super::run`]; also for a run on a frozen X-Encoder, whose features would have to be made first.
    pub fn of(path: &Path, device: &Device) -> Result<Self> {
        let no = |what: &str| Err(TrainError::Invalid(format!("{}: a dry run {what}", path.display())));
        match kind(path)? {
            Kind::VlJepa => {}
            Kind::Probe => return no("is not there for `[probe]`"),
            Kind::World => return no("is not there for `[world]`"),
        }
        let start = Start::read(path, None)?;
        if start.config.model.x_encoder.is_some() {
            return no(
                "cannot tell how long `model.x_encoder` takes, which is run once for each row; start the run and stop it",
            );
        }
        let Prepared { mut trainer, .. } = start.assemble(device)?;
        let config = start.config;
        let maker = Maker::new(start.source, config.clone(), trainer.preprocess());
        let starts = config.data.phases.iter().map(|phase| (phase.from * config.steps as f64).ceil() as u64);
        let starts: Vec<u64> = std::iter::once(0).chain(starts).filter(|first| *first < config.steps).collect();
        let (mut pairs, mut candidates, mut making, mut stepping) = (0, 0, 0.0, 0.0);
        for (i, &first) in starts.iter().enumerate() {
            let steps = starts.get(i + 1).copied().unwrap_or(config.steps).saturating_sub(first) as f64;
            let start = Instant::now();
            let batch = maker.make(first)?;
            making += steps * start.elapsed().as_secs_f64();
            if i == 0 {
                (pairs, candidates) = (batch.pairs.len(), trainer.candidates_in(&batch));
            }
            trainer.step(&batch)?;
            let mut seconds = [0.0; TIMED];
            for slot in &mut seconds {
                let start = Instant::now();
                trainer.step(&batch)?;
                *slot = start.elapsed().as_secs_f64();
            }
            seconds.sort_by(f64::total_cmp);
            stepping += steps * seconds[TIMED / 2];
        }
        let steps = config.steps as f64;
        Ok(Self {
            steps: config.steps,
            batch: config.batch,
            pairs,
            parameters: trainer.model().config.parameters(),
            trained: trainer.trained_parameters(),
            candidates,
            device_bytes: device.memory().peak,
            seconds_per_step: stepping / steps,
            seconds_per_batch: making / steps,
            // Batches are made ahead on another thread: the slower of the two sets the pace.
            seconds: stepping.max(making),
        })
    }
}
