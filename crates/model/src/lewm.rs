//! LeWM (LeWorldModel, arXiv 2603.19312): from pictures to latents, and from latents and actions to the next latents.
//!
//! Sizes and names are those of the published checkpoints, `quentinll/lewm-*`.

mod config;
mod init;
mod predictor;
mod projection;

mod names;
mod vit;

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Activation, Device, Error, Tensor, ops};

pub use config::{ActionStatistics, FramePredictorConfig, LewmConfig};
pub use init::LewmInit;
pub use names::published_lewm;
pub use predictor::Drops;

use crate::error::{ModelError, Result};
use crate::formats::{Storage, Writer};
use crate::layers::Linear;
use crate::param::{Builder, Forward, Param, ParamSource};
use predictor::FramePredictor;
use projection::{Projection, Seen};
use vit::Vit;

/// What the batch norms saw in a training pass; [`Lewm::remember`] takes it after the step.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    projector: Option<Seen>,
    pred_proj: Option<Seen>,
}

/// What a training pass sees, and what drops out of it.
#[derive(Clone, Copy, Debug)]
pub struct LewmBatch<'a> {
    /// Normalised pictures, `[B, F, 3, side, side]`, F above the history.
    pub pictures: &'a Tensor,
    /// Normalised action blocks between them, `[B, F − 1, block]`.
    pub actions: &'a Tensor,
    /// What is dropped.
    pub drops: Drops,
    /// Whether predictions are followed by predictions of what comes after them, up to the last frame.
    pub roll_out: bool,
}

/// Latents of a training pass and what is foretold of them.
#[derive(Clone, Debug)]
pub struct LewmPass {
    /// Latents of all frames, `[B, F, D]`.
    pub latents: Var,
    /// What is foretold from true latents, `[B · (F − history), history, D]`.
    pub predicted: Var,
    /// The latents that came, as many.
    pub targets: Var,
    /// What is foretold from predictions, and the latents that came, `[B, F − history − 1, D]` each; `None` where there are none.
    pub rolled: Option<(Var, Var)>,
    /// For [`Lewm::remember`].
    pub statistics: BatchStatistics,
}

/// A world model: encoder, projector, action encoder, predictor and its projector.
#[derive(Clone, Debug)]
pub struct Lewm {
    config: LewmConfig,
    encoder: Vit,
    projector: Projection,
    action_encoder: ActionEncoder,
    predictor: FramePredictor,
    pred_proj: Projection,
}

impl Lewm {
    /// A model with parameters from `source`, by the names of [`LewmConfig::tensors`].
    ///
    /// # Errors
    /// An invalid configuration, what the source and the device report.
    pub fn load(device: &Device, config: &LewmConfig, source: &mut dyn ParamSource) -> Result<Self> {
        config.validate()?;
        let (b, d) = (&mut Builder::new(device, source), config.hidden_size);
        Ok(Self {
            encoder: Vit::new(b, config)?,
            projector: Projection::new(b, "projector", d, config.projection_size)?,
            action_encoder: ActionEncoder::new(b, config)?,
            predictor: FramePredictor::new(b, config)?,
            pred_proj: Projection::new(b, "pred_proj", d, config.projection_size)?,
            config: config.clone(),
        })
    }

    /// A model with random weights.
    ///
    /// # Errors
    /// As [`Lewm::load`].
    pub fn random(device: &Device, config: &LewmConfig, init: LewmInit) -> Result<Self> {
        Self::load(device, config, &mut init.of(config))
    }

    /// The configuration.
    pub fn config(&self) -> &LewmConfig {
        &self.config
    }

    /// All weights, and the running statistics of the batch norms ([`Lewm::is_trained`] tells them apart).
    pub fn params(&self) -> Vec<&Param> {
        let mut out = Vec::new();
        self.encoder.collect(&mut out);
        self.projector.collect(&mut out);
        self.action_encoder.collect(&mut out);
        self.predictor.collect(&mut out);
        self.pred_proj.collect(&mut out);
        out
    }

    /// Whether a parameter has a gradient; running statistics have none.
    pub fn is_trained(name: &str) -> bool {
        !name.contains(".running_")
    }

    /// Normalised pictures `[N, 3, side, side]` → latents `[N, D]`.
    ///
    /// # Errors
    /// Pictures of another size, what the device reports.
    pub fn encode(&self, f: &Forward, pictures: &Tensor) -> Result<Var> {
        Ok(self.projector.forward(f, &self.encoder.forward(f, pictures)?, false)?.0)
    }

    /// Latents `[B, T, D]` and the normalised action blocks `[B, T, block]` that leave them → `[B, T, D]`; row `t` foretells latent
    /// `t + 1` from those up to `t`. T is at most the history.
    ///
    /// # Errors
    /// Shapes that do not fit, what the device reports.
    pub fn predict(&self, f: &Forward, latents: &Var, actions: &Var) -> Result<Var> {
        let actions = self.action_encoder.forward(f, actions)?;
        Ok(self.predict_with(f, latents, &actions, None, false)?.0)
    }

    fn predict_with(
        &self,
        f: &Forward,
        latents: &Var,
        actions: &Var,
        drops: Option<Drops>,
        training: bool,
    ) -> Result<(Var, Option<Seen>)> {
        let shape = latents.shape().to_vec();
        let (rows, d) = latents.value().rows_cols();
        let x = self.predictor.forward(f, latents, actions, drops)?.reshape(&[rows, d])?;
        let (x, seen) = self.pred_proj.forward(f, &x, training)?;
        Ok((x.reshape(&shape)?, seen))
    }

    /// The training pass. Batch norms take the statistics of the batch.
    ///
    /// # Errors
    /// Shapes that do not fit, what the device reports.
    pub fn train(&self, f: &Forward, batch: &LewmBatch<'_>) -> Result<LewmPass> {
        let LewmBatch { pictures, actions, drops, roll_out } = *batch;
        let (side, history, d) = (self.config.image_size, self.config.history, self.config.hidden_size);
        let (batch, frames) = match (pictures.shape(), actions.shape()) {
            (&[batch, frames, 3, height, width], &[of, steps, block])
                if frames > history
                    && (height, width) == (side, side)
                    && (of, steps, block) == (batch, frames - 1, self.config.block_size()) =>
            {
                (batch, frames)
            }
            (pictures, actions) => {
                let what = format!(
                    "pictures {pictures:?} and actions {actions:?} are not [B, F, 3, {side}, {side}] and [B, F − 1, {}] with F above {history}",
                    self.config.block_size()
                );
                return Err(ModelError::Tensor(Error::Shape { op: "lewm", what }));
            }
        };
        let seen = self.encoder.forward(f, &pictures.reshape(&[batch * frames, 3, side, side])?)?;
        let (latents, projector) = self.projector.forward(f, &seen, true)?;
        let latents = latents.reshape(&[batch, frames, d])?;
        let actions = self.action_encoder.forward(f, &Var::constant(actions.clone()))?;
        let windows = |of: &Var, first: usize| -> Result<Var> {
            let parts = (0..frames - history).map(|i| autograd::slice(of, 1, first + i, history));
            let parts = parts.collect::<std::result::Result<Vec<_>, _>>()?;
            match &parts[..] {
                [one] => Ok(one.clone()),
                parts => Ok(autograd::concat(&parts.iter().collect::<Vec<_>>(), 0)?),
            }
        };
        let targets = windows(&latents, 1)?;
        let steer = windows(&actions, 0)?;
        let (predicted, pred_proj) = self.predict_with(f, &windows(&latents, 0)?, &steer, Some(drops), true)?;
        let rolled = match roll_out && frames > history + 1 {
            true => Some(self.rolled(f, &latents, &actions, drops)?),
            false => None,
        };
        Ok(LewmPass { latents, predicted, targets, rolled, statistics: BatchStatistics { projector, pred_proj } })
    }

    /// Predictions that look back on predictions, from the first window on, and the latents that came.
    fn rolled(&self, f: &Forward, latents: &Var, actions: &Var, drops: Drops) -> Result<(Var, Var)> {
        let (frames, history) = (latents.shape()[1], self.config.history);
        let mut window: Vec<Var> =
            (0..history).map(|i| autograd::slice(latents, 1, i, 1)).collect::<std::result::Result<_, _>>()?;
        let mut made = Vec::with_capacity(frames - history);
        for first in 0..frames - history {
            let x = autograd::concat(&window[first..].iter().collect::<Vec<_>>(), 1)?;
            let steer = autograd::slice(actions, 1, first, history)?;
            let (foretold, _) = self.predict_with(f, &x, &steer, Some(drops), true)?;
            let newest = autograd::slice(&foretold, 1, history - 1, 1)?;
            window.push(newest.clone());
            made.push(newest);
        }
        // The first is foretold from true latents alone.
        let made = autograd::concat(&made[1..].iter().collect::<Vec<_>>(), 1)?;
        Ok((made, autograd::slice(latents, 1, history + 1, frames - history - 1)?))
    }

    /// Moves the running statistics towards those of a training pass, as PyTorch's `BatchNorm1d` does.
    ///
    /// # Errors
    /// What the device reports.
    pub fn remember(&self, statistics: &BatchStatistics) -> Result<()> {
        if let Some(seen) = &statistics.projector {
            self.projector.remember(seen)?;
        }
        if let Some(seen) = &statistics.pred_proj {
            self.pred_proj.remember(seen)?;
        }
        Ok(())
    }

    /// What plans lead to: latents `[P, H, D]` of the frames so far, the newest last, the normalised action blocks
    /// `[P, H − 1, block]` between them, and plans `[P · S, horizon, block]`, S for each of the P pasts → latents
    /// `[P · S, horizon, D]`. The predictor looks back on its history, its own predictions among it (stable-worldmodel,
    /// `planning/objective.py`).
    ///
    /// # Errors
    /// Shapes that do not fit, what the device reports.
    pub fn roll_out(&self, f: &Forward, seen: &Var, before: Option<&Var>, plans: &Var) -> Result<Var> {
        let (d, block) = (self.config.hidden_size, self.config.block_size());
        let (&[pasts, frames, width], &[count, horizon, own]) = (seen.shape(), plans.shape()) else {
            return Err(self.no_roll_out(seen, before, plans));
        };
        let between = match before {
            Some(before) => *before.shape() == [pasts, frames.saturating_sub(1), block],
            None => frames == 1,
        };
        let fits = width == d && own == block && pasts > 0 && frames > 0 && horizon > 0 && between;
        if !fits || !count.is_multiple_of(pasts) {
            return Err(self.no_roll_out(seen, before, plans));
        }
        let device = seen.value().device();
        let each = count / pasts;
        // The row of a past, once for each of its plans.
        let spread = |rows: &Var, place: usize| -> Result<Var> {
            let rows = autograd::slice(rows, 1, place, 1)?.reshape(&[pasts, d])?;
            let ids: Vec<u32> = (0..count).map(|i| (i / each) as u32).collect();
            let ids = ops::upload_ids(device, &[count], &ids, pasts)?;
            Ok(autograd::gather_rows(&rows, &ids)?.reshape(&[count, 1, d])?)
        };
        let first = frames.saturating_sub(self.config.history);
        let mut latents = (first..frames).map(|i| spread(seen, i)).collect::<Result<Vec<_>>>()?;
        let mut actions = Vec::with_capacity(latents.len() + horizon);
        if let Some(before) = before {
            let before = self.action_encoder.forward(f, before)?;
            actions = (first..frames - 1).map(|i| spread(&before, i)).collect::<Result<Vec<_>>>()?;
        }
        let known = latents.len();
        let encoded = self.action_encoder.forward(f, plans)?;
        for step in 0..horizon {
            actions.push(autograd::slice(&encoded, 1, step, 1)?);
            let window = latents.len().min(self.config.history);
            let last = |rows: &[Var]| -> Result<Var> {
                let rows: Vec<&Var> = rows[rows.len() - window..].iter().collect();
                Ok(if let [one] = rows[..] { one.clone() } else { autograd::concat(&rows, 1)? })
            };
            let foretold = self.predictor.forward(f, &last(&latents)?, &last(&actions)?, None)?;
            let newest = autograd::slice(&foretold, 1, window - 1, 1)?.reshape(&[count, d])?;
            latents.push(self.pred_proj.forward(f, &newest, false)?.0.reshape(&[count, 1, d])?);
        }
        Ok(autograd::concat(&latents[known..].iter().collect::<Vec<_>>(), 1)?)
    }

    fn no_roll_out(&self, seen: &Var, before: Option<&Var>, plans: &Var) -> ModelError {
        let what = format!(
            "frames {:?}, actions between them {:?} and plans {:?}; they must be [P, H, {d}], [P, H − 1, {block}] and [P · S, horizon, {block}]",
            seen.shape(),
            before.map(Var::shape),
            plans.shape(),
            d = self.config.hidden_size,
            block = self.config.block_size()
        );
        ModelError::Tensor(Error::Shape { op: "lewm roll-out", what })
    }

    /// The weights as a safetensors file. Waits for the device.
    ///
    /// # Errors
    /// A tensor that is not finite, values that the storage cannot hold, [`Storage::Int8Rows`], what the device reports.
    pub fn save(&self, storage: Storage) -> Result<Vec<u8>> {
        let mut writer = Writer::new();
        for param in self.params() {
            let (values, shape) = (param.tensor().to_f32()?, param.tensor().shape());
            match storage {
                Storage::F32 => writer.f32(param.name(), shape, &values)?,
                Storage::F16 => writer.f16(param.name(), shape, &values)?,
                Storage::Int8Rows => {
                    let what = "a world model is stored as f32 or f16".to_owned();
                    return Err(ModelError::Tensor(Error::Invalid(what)));
                }
            };
        }
        writer.finish()
    }
}

/// Normalised action blocks to what steers the predictor: a convolution of width 1, then two linear maps.
#[derive(Clone, Debug)]
struct ActionEncoder {
    patch_embed_weight: Param,
    patch_embed_bias: Param,
    embed_in: Linear,
    embed_out: Linear,
}

impl ActionEncoder {
    fn new(b: &mut Builder<'_>, c: &LewmConfig) -> Result<Self> {
        let (d, inner) = (c.hidden_size, c.action_mlp_ratio * c.hidden_size);
        Ok(Self {
            patch_embed_weight: b
                .param("action_encoder.patch_embed.weight", &[c.action_features, c.block_size(), 1])?,
            patch_embed_bias: b.param("action_encoder.patch_embed.bias", &[c.action_features])?,
            embed_in: Linear::new(b, "action_encoder.embed.0", c.action_features, inner, true)?,
            embed_out: Linear::new(b, "action_encoder.embed.2", inner, d, true)?,
        })
    }

    /// `[.., block]` → `[.., D]`.
    fn forward(&self, f: &Forward, actions: &Var) -> Result<Var> {
        let weight = f.var(&self.patch_embed_weight);
        let &[outputs, inputs, _] = weight.shape() else { return Ok(weight) };
        let weight = weight.reshape(&[outputs, inputs])?;
        let h = autograd::linear(actions, &weight, Some(&f.var(&self.patch_embed_bias)))?;
        let h = autograd::activate(&self.embed_in.forward(f, &h)?, Activation::Silu)?;
        self.embed_out.forward(f, &h)
    }

    fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.extend([&self.patch_embed_weight, &self.patch_embed_bias]);
        self.embed_in.collect(out);
        self.embed_out.collect(out);
    }
}
