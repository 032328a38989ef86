//! What a world model is trained on: episodes in an environment, windows of them, and their pictures.

use std::sync::Arc;

use rayon::prelude::*;
use vljepa_model::config::LewmConfig;
use vljepa_worlds::World;
use vljepa_worlds::trajectories::{ActionStats, Trajectories, Window};

use crate::error::{Result, TrainError};
use crate::random::seen_at;

/// Episodes of an environment, and how a model sees them.
#[derive(Clone)]
pub struct WorldData {
    world: Arc<dyn World>,
    episodes: Arc<Trajectories>,
    /// Windows to train on, by episode and step.
    pub train: Vec<Window>,
    /// Windows of the episodes that are kept for validation.
    pub validation: Vec<Window>,
    config: LewmConfig,
    statistics: ActionStats,
    frames: usize,
}

impl std::fmt::Debug for WorldData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorldData")
            .field("world", &self.world.name())
            .field("train", &self.train.len())
            .field("validation", &self.validation.len())
            .finish_non_exhaustive()
    }
}

/// Windows of a step, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldBatch {
    /// Normalised pictures, `[windows, frames, 3, side, side]`.
    pub pictures: Vec<f32>,
    /// Normalised action blocks, `[windows, frames − 1, block]`.
    pub actions: Vec<f32>,
    /// Number of windows.
    pub windows: usize,
    /// Frames of a window.
    pub frames: usize,
}

impl WorldData {
    /// Windows of `frames` frames of `episodes` in `world`, as a model of `config` sees them. The last `validation` of the episodes
    /// are not trained on. Actions are normalised as the configuration says, or by the statistics of all episodes.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] where the actions are not those of the model, or no episode is long enough.
    pub fn new(
        world: Box<dyn World>,
        episodes: Trajectories,
        config: &LewmConfig,
        frames: usize,
        validation: f64,
    ) -> Result<Self> {
        let size = world.action_size();
        if size != config.action_size {
            let (own, name) = (config.action_size, world.name());
            return Err(TrainError::Invalid(format!(
                "an action of {name} has {size} numbers, `action_size` of the model is {own}; set it to {size}"
            )));
        }
        let kept = (validation * episodes.episodes.len() as f64).ceil() as usize;
        let first_kept = episodes.episodes.len().saturating_sub(kept);
        let windows = episodes.windows(frames, config.frameskip)?;
        let (train, validation): (Vec<Window>, Vec<Window>) =
            windows.into_iter().partition(|window| (window.episode as usize) < first_kept);
        if train.is_empty() {
            let span = (frames - 1) * config.frameskip;
            return Err(TrainError::Invalid(format!(
                "no episode has the {span} steps of a window of {frames} frames; take more or longer episodes (`world.max_steps`)"
            )));
        }
        let statistics = match &config.actions {
            Some(own) => ActionStats { mean: own.mean.clone(), std: own.std.clone() },
            None => episodes.action_stats()?,
        };
        let (world, episodes, config) = (Arc::from(world), Arc::new(episodes), config.clone());
        Ok(Self { world, episodes, train, validation, config, statistics, frames })
    }

    /// The environment.
    pub fn world(&self) -> &dyn World {
        self.world.as_ref()
    }

    /// How actions are normalised.
    pub fn statistics(&self) -> &ActionStats {
        &self.statistics
    }

    /// Frames of a window.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The batch of a step, a function of the seed and the step alone; an epoch shows every window at most once.
    ///
    /// # Errors
    /// What drawing pictures reports.
    pub fn batch(&self, seed: u64, step: u64, batch: usize) -> Result<WorldBatch> {
        let seen = seen_at(seed, step, batch, self.train.len());
        self.windows(&seen.iter().map(|&i| self.train[i as usize]).collect::<Vec<_>>())
    }

    /// The pictures and actions of some windows.
    ///
    /// # Errors
    /// What drawing pictures reports.
    pub fn windows(&self, windows: &[Window]) -> Result<WorldBatch> {
        let (side, skip) = (self.config.image_size, self.config.frameskip);
        let outside = || TrainError::Invalid("a window reaches beyond its episode".into());
        let places: Vec<(Window, usize)> =
            windows.iter().flat_map(|window| (0..self.frames).map(|i| (*window, i))).collect();
        let draw = |&(window, i): &(Window, usize)| -> Result<Vec<f32>> {
            let state = self.episodes.frame(window, i, skip).ok_or_else(outside)?;
            picture(self.world.as_ref(), state, side, &self.config)
        };
        let pictures: Vec<Vec<f32>> = places.par_iter().map(draw).collect::<Result<_>>()?;
        let mut actions = Vec::with_capacity(windows.len() * (self.frames - 1) * self.config.block_size());
        for window in windows {
            for i in 0..self.frames - 1 {
                actions.extend_from_slice(self.episodes.block(*window, i, skip).ok_or_else(outside)?);
            }
        }
        self.statistics.normalize(&mut actions);
        Ok(WorldBatch { pictures: pictures.concat(), actions, windows: windows.len(), frames: self.frames })
    }
}

/// The picture of a state as a model takes it, `[3, side, side]`: colours in 0..=1, each less its mean over its deviation.
///
/// # Errors
/// What drawing reports.
pub fn picture(world: &dyn World, state: &[f64], side: usize, config: &LewmConfig) -> Result<Vec<f32>> {
    let mut rgb = vec![0u8; 3 * side * side];
    world.draw(state, side, &mut rgb)?;
    Ok(normalise_picture(&rgb, config))
}

/// Pixels `[side, side, 3]` of 8 bits → `[3, side, side]`, normalised.
pub fn normalise_picture(rgb: &[u8], config: &LewmConfig) -> Vec<f32> {
    let pixels = rgb.len() / 3;
    let mut out = vec![0.0; rgb.len()];
    for (c, plane) in out.chunks_exact_mut(pixels.max(1)).enumerate() {
        let table: Vec<f32> =
            (0..=255u8).map(|v| (f32::from(v) / 255.0 - config.image_mean[c]) / config.image_std[c]).collect();
        plane.iter_mut().zip(rgb.chunks_exact(3)).for_each(|(out, pixel)| *out = table[usize::from(pixel[c])]);
    }
    out
}
