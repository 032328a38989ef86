//! Batches, made ahead on a thread while the device works. Only their order in time depends on the thread, not their contents.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;
use vljepa_data::Preprocess;
use vljepa_embed::at_size;
use vljepa_embed::features::RowFeatures;

use crate::config::TrainConfig;
use crate::data::{Batch, Source};
use crate::error::{Result, TrainError};

/// Makes batches.
#[derive(Clone, Debug)]
pub struct Maker {
    source: Arc<dyn Source>,
    config: TrainConfig,
    /// How the model takes pictures, at its own size.
    preprocess: Preprocess,
    /// What a frozen X-Encoder made of the source's rows.
    stored: Option<Arc<RowFeatures>>,
}

impl Maker {
    /// For a run whose model takes pictures as `preprocess` says.
    pub fn new(source: Arc<dyn Source>, config: TrainConfig, preprocess: Preprocess) -> Self {
        Self { source, config, preprocess, stored: None }
    }

    /// With what a frozen X-Encoder made of the source's rows: batches hold their tokens in the place of pixels.
    pub fn with_features(self, stored: Arc<RowFeatures>) -> Self {
        Self { stored: Some(stored), ..self }
    }

    /// The batch of a step, a function of the configuration and the step alone.
    ///
    /// # Errors
    /// Pictures that cannot be read, and as [`Batch::new`].
    pub fn make(&self, step: u64) -> Result<Batch> {
        let config = &self.config;
        let size = config.data.image_size_at(step, config.steps, self.preprocess.size);
        if let Some(stored) = &self.stored {
            let rows = self.source.row_samples(config.seed, step, config.batch).into_par_iter();
            let samples = rows.map(|(sample, row)| Ok((sample, stored.get(row)?))).collect::<Result<_>>()?;
            return Batch::encoded(step, size, samples);
        }
        let to = at_size(&self.preprocess, size);
        Batch::new(step, size, self.source.samples(config.seed, step, config.batch, &to)?)
    }
}

/// Makes the batch of a step.
type Make<B> = Arc<dyn Fn(u64) -> Result<B> + Send + Sync>;

/// Batches in order.
pub struct Feed<B = Batch> {
    make: Make<B>,
    next: u64,
    ahead: Option<(Receiver<Result<B>>, JoinHandle<()>)>,
}

impl<B> fmt::Debug for Feed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Feed {
    /// Batches of the steps `from..to`, up to `prefetch` of them made ahead.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(maker: Arc<Maker>, from: u64, to: u64, prefetch: usize) -> Result<Self> {
        Self::of(move |step| maker.make(step), from, to, prefetch)
    }
}

impl<B: Send + 'static> Feed<B> {
    /// What `make` gives for the steps `from..to`, up to `prefetch` of them made ahead.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn of(
        make: impl Fn(u64) -> Result<B> + Send + Sync + 'static,
        from: u64,
        to: u64,
        prefetch: usize,
    ) -> Result<Self> {
        let make: Make<B> = Arc::new(make);
        if prefetch == 0 {
            return Ok(Self { make, next: from, ahead: None });
        }
        // The thread holds one finished batch while it waits to send, so the channel needs one place less.
        let (sender, receiver) = sync_channel(prefetch - 1);
        let worker = make.clone();
        let thread = std::thread::Builder::new()
            .name("batches".into())
            .spawn(move || {
                for step in from..to {
                    // The receiver is gone when the run has ended.
                    if sender.send(worker(step)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|e| TrainError::Invalid(format!("no thread for batches: {e}")))?;
        Ok(Self { make, next: from, ahead: Some((receiver, thread)) })
    }

    /// The next batch.
    ///
    /// # Errors
    /// What making it reported.
    pub fn next_batch(&mut self) -> Result<B> {
        let step = self.next;
        self.next += 1;
        match &self.ahead {
            None => (self.make)(step),
            Some((receiver, _)) => match receiver.recv() {
                Ok(batch) => batch,
                Err(_) => Err(TrainError::Invalid(format!("the thread that makes batches ended before step {step}"))),
            },
        }
    }
}

impl<B> Drop for Feed<B> {
    fn drop(&mut self) {
        if let Some((receiver, thread)) = self.ahead.take() {
            drop(receiver);
            let _ = thread.join();
        }
    }
}
