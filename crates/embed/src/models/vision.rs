//! A V-JEPA 2 on a device: pictures and clips to tokens, pooled vectors, or the classes of a classifier checkpoint.

use std::path::PathBuf;

use serde::Serialize;
use vljepa_data::Preprocess;
use vljepa_model::config::Vjepa2Config;
use vljepa_model::weights::bare_vjepa2;
use vljepa_model::{AttentiveProbe, Forward, Precision, Vjepa2Encoder};
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Device, Tensor};

use crate::error::{Error, Result};
use crate::folder::VisionFolder;
use crate::rows::{Match, best, softmax};
use crate::visuals::{FileOptions, Skipped, VisualEncoder, embed_files};

/// How the tokens of a picture or clip become its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VisionPool {
    /// Not at all: a row is `[tokens, width]`, by tubelet, row, column of the patch grid, after the encoder's last norm and
    /// without a norm of ours.
    None,
    /// Their mean.
    #[default]
    Mean,
    /// The last one: the lower right patch of the last frames.
    Last,
    /// The attentive pooler of a classifier checkpoint.
    Probe,
}

/// One class of a classifier checkpoint for a picture or clip.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// Its name in `id2label`.
    pub label: String,
    /// Softmax over all classes, 0..1.
    pub score: f64,
    /// Before the softmax.
    pub logit: f32,
}

/// A V-JEPA 2 on a device.
#[derive(Debug)]
pub struct VisionModel {
    origin: String,
    config: Vjepa2Config,
    device: Device,
    encoder: Vjepa2Encoder,
    probe: Option<AttentiveProbe>,
    labels: Vec<String>,
    preprocess: Preprocess,
}

impl VisionModel {
    /// Loads encoder and, where there is one, probe onto `device`, matrices in `precision`.
    ///
    /// # Errors
    /// Corrupt weights, NaN, a number that the precision cannot hold, no memory.
    pub fn load_as(device: &Device, folder: &VisionFolder, precision: Precision) -> Result<Self> {
        let source = folder.checkpoint().source()?;
        let named = || Error::model(folder.checkpoint().path().display());
        let (weights, parts) = bare_vjepa2(&source, folder.config()).map_err(named())?;
        let c = folder.config();
        let encoder = Vjepa2Encoder::load_as(device, c, &mut &weights, "encoder", precision).map_err(named())?;
        let probe = |n| AttentiveProbe::load_as(device, c, n, &mut &weights, precision);
        Ok(Self {
            origin: folder.origin().to_owned(),
            config: c.clone(),
            device: device.clone(),
            encoder,
            probe: parts.labels.map(probe).transpose().map_err(named())?,
            labels: folder.labels().unwrap_or_default().to_vec(),
            preprocess: folder.preprocess().clone(),
        })
    }

    /// The folder as given.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The device that computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// This model with a way of pooling, as something that takes pictures.
    ///
    /// # Errors
    /// A probe that it has not.
    pub fn pooled(&self, pool: VisionPool) -> Result<PooledVision<'_>> {
        let out = match pool {
            VisionPool::None => Out::Tokens,
            VisionPool::Mean => Out::Mean,
            VisionPool::Last => Out::Last,
            VisionPool::Probe => Out::Probe(self.probe()?),
        };
        Ok(PooledVision { model: self, out })
    }

    fn probe(&self) -> Result<&AttentiveProbe> {
        let what =
            || Error::Invalid(format!("{}: has no attentive probe; use a V-JEPA 2 classifier checkpoint", self.origin));
        self.probe.as_ref().ok_or_else(what)
    }

    /// The `k` best classes of each of `files` that is not left out, best first, by the classifier of the checkpoint; and the
    /// files left out.
    ///
    /// # Errors
    /// A checkpoint without classifier, a file that cannot be read where such files are not left out, no file that can be
    /// read, and what the device reports.
    pub fn classify(
        &self,
        files: &[PathBuf],
        k: usize,
        options: FileOptions<'_>,
    ) -> Result<(Vec<Vec<ClassScore>>, Vec<Skipped>)> {
        let scores = PooledVision { model: self, out: Out::Logits(self.probe()?) };
        let (logits, skipped) = embed_files(&scores, files, options)?;
        let ranked = |i: usize| {
            let logits = logits.row(i);
            let scores = softmax(logits, 1.0);
            let class = |m: Match| ClassScore {
                label: self.labels.get(m.index).cloned().unwrap_or_default(),
                score: scores[m.index],
                logit: logits[m.index],
            };
            best(logits, k).into_iter().map(class).collect()
        };
        Ok(((0..logits.rows()).map(ranked).collect(), skipped))
    }
}

/// What is made of the tokens.
#[derive(Clone, Copy, Debug)]
enum Out<'a> {
    Tokens,
    Mean,
    Last,
    Probe(&'a AttentiveProbe),
    Logits(&'a AttentiveProbe),
}

/// A V-JEPA 2 with what is made of its tokens.
#[derive(Clone, Copy, Debug)]
pub struct PooledVision<'a> {
    model: &'a VisionModel,
    out: Out<'a>,
}

impl PooledVision<'_> {
    fn run(&self, pixels: &[f32], count: usize, frames: usize) -> vljepa_model::Result<Var> {
        let (f, model) = (Forward::inference(), self.model);
        let size = model.preprocess.size as usize;
        let frames = Tensor::from_f32(&model.device, &[count, frames, model.config.in_chans, size, size], pixels)?;
        let tokens = model.encoder.forward(&f, &frames)?;
        let width = model.config.hidden_size;
        Ok(match self.out {
            Out::Tokens => tokens,
            Out::Mean => autograd::masked_mean(&tokens, None)?,
            Out::Last => {
                let last = tokens.shape()[1].saturating_sub(1);
                autograd::slice(&tokens, 1, last, 1)?.reshape(&[count, width])?
            }
            Out::Probe(probe) => probe.pool(&f, &tokens)?,
            Out::Logits(probe) => probe.forward(&f, &tokens)?,
        })
    }
}

impl VisualEncoder for PooledVision<'_> {
    fn preprocess(&self) -> &Preprocess {
        &self.model.preprocess
    }

    fn frames(&self) -> usize {
        self.model.config.frames_per_clip
    }

    fn tokens(&self, frames: usize) -> usize {
        let size = self.model.preprocess.size as usize;
        let (t, rows, columns) = self.model.config.grid(frames, size, size);
        t * rows * columns
    }

    fn shape(&self, frames: usize) -> Vec<usize> {
        match self.out {
            Out::Tokens => vec![self.tokens(frames), self.model.config.hidden_size],
            Out::Logits(probe) => vec![probe.labels()],
            _ => vec![self.model.config.hidden_size],
        }
    }

    fn unit(&self) -> bool {
        !matches!(self.out, Out::Tokens | Out::Logits(_))
    }

    fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
        let value = self.run(pixels, count, frames).map_err(Error::model(&self.model.origin))?;
        Ok(value.value().to_f32()?)
    }
}
