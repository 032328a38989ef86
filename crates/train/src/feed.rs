//! Batches, made ahead on a thread while the GPU works. Only their order in time depends on the thread, not their contents.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use vljepa_data::{Augmenter, Preprocess, Rgba8Image, Sample, SampleKey};

use crate::config::TrainConfig;
use crate::corpus::Corpus;
use crate::error::{Result, TrainError};

/// The pictures of one step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The step it is for.
    pub step: u64,
    /// Side of the pictures.
    pub size: u32,
    /// Normalised values, `[batch, 3, size, size]`.
    pub pixels: Vec<f32>,
    /// Class of each picture.
    pub classes: Vec<u32>,
}

/// Makes batches.
#[derive(Debug)]
pub struct Maker {
    corpus: Arc<Corpus>,
    config: TrainConfig,
    /// Normalisation; its size is the model's own.
    preprocess: Preprocess,
}

impl Maker {
    /// For a run whose model takes pictures as `preprocess` says.
    pub fn new(corpus: Arc<Corpus>, config: TrainConfig, preprocess: Preprocess) -> Self {
        Self { corpus, config, preprocess }
    }

    /// The batch of a step, a function of the configuration and the step alone.
    ///
    /// # Errors
    /// Pictures that cannot be read.
    pub fn make(&self, step: u64) -> Result<Batch> {
        let (config, set) = (&self.config, &self.corpus.set);
        let size = config.data.image_size_at(step, config.steps, self.preprocess.size);
        let draws = self.corpus.draws(step, config.batch);
        let mut pictures = Vec::with_capacity(draws.len());
        for draw in &draws {
            let id = self.corpus.concepts[draw.class as usize];
            let found = (set.picture(draw.vendor, id)?, set.concept(id));
            let (Some(picture), Some(concept)) = found else {
                return Err(TrainError::Invalid(format!("class {} has no drawing any more", draw.class)));
            };
            pictures.push((picture, concept));
        }
        let other = |i: usize| -> Option<&Rgba8Image> { pictures.get((i + 1) % pictures.len()).map(|(p, _)| p) };
        let samples: Vec<Sample<'_>> = pictures
            .iter()
            .enumerate()
            .map(|(i, (picture, concept))| Sample {
                picture,
                other: other(i),
                mirror_allowed: concept.mirror_safe(),
                color_bound: config.data.keep_named_colors && concept.color_bound(),
                key: SampleKey { seed: config.seed, epoch: step, index: i as u64, stream: 0 },
            })
            .collect();
        let to = Preprocess { size, ..self.preprocess.clone() };
        let pixels = Augmenter::new(size, config.data.augment.clone())?.batch(&samples, &to)?;
        Ok(Batch { step, size, pixels, classes: draws.iter().map(|d| d.class).collect() })
    }
}

/// Batches in order.
#[derive(Debug)]
pub struct Feed {
    maker: Arc<Maker>,
    next: u64,
    ahead: Option<(Receiver<Result<Batch>>, JoinHandle<()>)>,
}

impl Feed {
    /// Batches of the steps `from..to`, up to `prefetch` of them made ahead.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(maker: Arc<Maker>, from: u64, to: u64, prefetch: usize) -> Result<Self> {
        if prefetch == 0 {
            return Ok(Self { maker, next: from, ahead: None });
        }
        // One waits in the thread's hands, the others in the channel.
        let (sender, receiver) = sync_channel(prefetch - 1);
        let worker = maker.clone();
        let thread = std::thread::Builder::new()
            .name("batches".into())
            .spawn(move || {
                for step in from..to {
                    // The receiver is gone when the run has ended.
                    if sender.send(worker.make(step)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|e| TrainError::Invalid(format!("no thread for batches: {e}")))?;
        Ok(Self { maker, next: from, ahead: Some((receiver, thread)) })
    }

    /// The next batch.
    ///
    /// # Errors
    /// What making it reported.
    pub fn next_batch(&mut self) -> Result<Batch> {
        let step = self.next;
        self.next += 1;
        match &self.ahead {
            None => self.maker.make(step),
            Some((receiver, _)) => match receiver.recv() {
                Ok(batch) => batch,
                Err(_) => Err(TrainError::Invalid(format!("the thread that makes batches ended before step {step}"))),
            },
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some((receiver, thread)) = self.ahead.take() {
            drop(receiver);
            let _ = thread.join();
        }
    }
}
