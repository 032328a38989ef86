//! A V-JEPA 2 on a device: gives tokens, pooled vectors, or class scores for pictures and clips.

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
use crate::visuals::{Embedded, FileOptions, Reading, RowOf, Skipped, VisualEncoder, embed_files};

/// How the tokens of a picture or clip are pooled into its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VisionPool {
    /// No pooling: a row is `[tokens, width]`, ordered by tubelet, then row, then column of the patch grid, as the
    /// encoder's last norm gives them and not scaled to unit length.
    None,
    /// The mean of the tokens.
    #[default]
    Mean,
    /// The last token: the lower right patch of the last tubelet.
    Last,
    /// The attentive pooler of a classifier checkpoint.
    Probe,
}

/// The score of one class for a picture or clip.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// The name of the class in `id2label`.
    pub label: String,
    /// Softmax over all classes, 0..1.
    pub score: f64,
    /// The score before the softmax.
    pub logit: f32,
}

/// Classes of files.
#[derive(Debug)]
pub struct Classified {
    /// The best classes of each row, best first.
    pub classes: Vec<Vec<ClassScore>>,
    /// What each row stands for.
    pub of: Vec<RowOf>,
    /// The files that were left out.
    pub skipped: Vec<Skipped>,
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
    /// Loads the encoder and, if the checkpoint has one, the attentive probe onto `device`, with matrices in
    /// `precision`.
    ///
    /// # Errors
    /// Corrupt weights, NaN, a number that the precision cannot hold, too little memory.
    pub fn load_as(device: &Device, folder: &VisionFolder, precision: Precision) -> Result<Self> {
        let source = folder.checkpoint().source()?;
        let fault = || Error::model(folder.checkpoint().path().display());
        let (weights, parts) = bare_vjepa2(&source, folder.config()).map_err(fault())?;
        let c = folder.config();
        let encoder = Vjepa2Encoder::load_as(device, c, &mut &weights, "encoder", precision).map_err(fault())?;
        let probe = |n| AttentiveProbe::load_as(device, c, n, &mut &weights, precision);
        Ok(Self {
            origin: folder.origin().to_owned(),
            config: c.clone(),
            device: device.clone(),
            encoder,
            probe: parts.labels.map(probe).transpose().map_err(fault())?,
            labels: folder.labels().unwrap_or_default().to_vec(),
            preprocess: folder.preprocess().clone(),
        })
    }

    /// With another preprocessing than the folder's.
    #[must_use]
    pub fn preprocessed(self, preprocess: Preprocess) -> Self {
        Self { preprocess, ..self }
    }

    /// The path of the folder, as given.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The device of the model.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The model with the given pooling, as an encoder of pictures and clips.
    ///
    /// # Errors
    /// [`VisionPool::Probe`] for a model without an attentive probe.
    pub fn pooled(&self, pool: VisionPool) -> Result<PooledVision<'_>> {
        let head = match pool {
            VisionPool::None => Head::Tokens,
            VisionPool::Mean => Head::Mean,
            VisionPool::Last => Head::Last,
            VisionPool::Probe => Head::Probe(self.probe()?),
        };
        Ok(PooledVision { model: self, head })
    }

    /// Checks how files are to be read for [`Self::classify`].
    ///
    /// # Errors
    /// A checkpoint without a classifier, and as [`Reading::check`].
    pub fn check_classify(&self, reading: &Reading) -> Result<()> {
        reading.check(&PooledVision { model: self, head: Head::Logits(self.probe()?) })
    }

    fn probe(&self) -> Result<&AttentiveProbe> {
        let missing =
            || Error::Invalid(format!("{}: has no attentive probe; use a V-JEPA 2 classifier checkpoint", self.origin));
        self.probe.as_ref().ok_or_else(missing)
    }

    /// The `k` best classes of each picture or clip.
    ///
    /// # Errors
    /// A checkpoint without a classifier, a file that cannot be read unless such files are skipped, no readable file at
    /// all, and errors of the device.
    pub fn classify(&self, files: &[PathBuf], k: usize, options: FileOptions<'_>) -> Result<Classified> {
        let scores = PooledVision { model: self, head: Head::Logits(self.probe()?) };
        let Embedded { rows: logits, of, skipped } = embed_files(&scores, files, options)?;
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
        Ok(Classified { classes: (0..logits.rows()).map(ranked).collect(), of, skipped })
    }
}

/// The output that is computed from the tokens.
#[derive(Clone, Copy, Debug)]
enum Head<'a> {
    Tokens,
    Mean,
    Last,
    Probe(&'a AttentiveProbe),
    Logits(&'a AttentiveProbe),
}

/// A V-JEPA 2 with a pooling, which encodes pictures and clips.
#[derive(Clone, Copy, Debug)]
pub struct PooledVision<'a> {
    model: &'a VisionModel,
    head: Head<'a>,
}

impl PooledVision<'_> {
    fn run(&self, pixels: &[f32], count: usize, frames: usize) -> vljepa_model::Result<Var> {
        let (f, model) = (Forward::inference(), self.model);
        let size = model.preprocess.size as usize;
        let frames = Tensor::from_f32(&model.device, &[count, frames, model.config.in_chans, size, size], pixels)?;
        let tokens = model.encoder.forward(&f, &frames)?;
        let width = model.config.hidden_size;
        Ok(match self.head {
            Head::Tokens => tokens,
            Head::Mean => autograd::masked_mean(&tokens, None)?,
            Head::Last => {
                let last = tokens.shape()[1].saturating_sub(1);
                autograd::slice(&tokens, 1, last, 1)?.reshape(&[count, width])?
            }
            Head::Probe(probe) => probe.pool(&f, &tokens)?,
            Head::Logits(probe) => probe.forward(&f, &tokens)?,
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

    fn tubelet(&self) -> usize {
        self.model.config.tubelet_size
    }

    fn tokens(&self, frames: usize) -> usize {
        let size = self.model.preprocess.size as usize;
        let (t, rows, columns) = self.model.config.grid(frames, size, size);
        t * rows * columns
    }

    fn shape(&self, frames: usize) -> Vec<usize> {
        match self.head {
            Head::Tokens => vec![self.tokens(frames), self.model.config.hidden_size],
            Head::Logits(probe) => vec![probe.labels()],
            _ => vec![self.model.config.hidden_size],
        }
    }

    fn unit(&self) -> bool {
        !matches!(self.head, Head::Tokens | Head::Logits(_))
    }

    fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
        let value = self.run(pixels, count, frames).map_err(Error::model(&self.model.origin))?;
        Ok(value.value().to_f32()?)
    }
}
