//! V-JEPA 2 as the model hub has it: `config.json`, weights, the processor's configuration; base model or classifier.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use vljepa_data::Preprocess;
use vljepa_model::config::{Vjepa2Config, parameter_count};
use vljepa_model::weights::{Vjepa2Parts, bare_vjepa2};
use vljepa_model::{AttentiveProbe, Forward, Precision, Vjepa2Encoder};
use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Device, Tensor};

use super::{CONFIG, MAX_JSON, hash_of};
use crate::checkpoint::Checkpoint;
use crate::embeddings::softmax;
use crate::error::{Error, Result};
use crate::files;
use crate::media::{Broken, PictureEncoder, Skipped, embed_files};

/// Configurations of the processor, the first that is there. Those of videos are V-JEPA 2's own.
const PROCESSORS: [&str; 2] = ["video_preprocessor_config.json", "preprocessor_config.json"];

/// Longest side of the model's pictures, as for `crop_size`.
const MAX_SIDE: usize = 1 << 14;

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

/// The files of a V-JEPA 2.
#[derive(Debug)]
pub struct VisionFolder {
    dir: PathBuf,
    origin: String,
    config: Vjepa2Config,
    config_text: String,
    processor_text: String,
    preprocess: Preprocess,
    checkpoint: Checkpoint,
    parts: Vjepa2Parts,
    labels: Option<Vec<String>>,
}

impl VisionFolder {
    /// Opens a folder and holds its weights against its configuration. Where it has no configuration of a processor, pictures
    /// are prepared as V-JEPA 2's processor does by default for `crop_size`.
    ///
    /// # Errors
    /// Missing, empty or damaged files, an invalid configuration, tensors that are missing, unknown or of another shape,
    /// class names that do not fit the classifier.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG);
        let config_text = files::read_text(&path, MAX_JSON)?;
        let config = Vjepa2Config::from_json(&config_text).map_err(Error::model(path.display()))?;
        if config.in_chans != 3 {
            let reason =
                format!("`in_chans` is {}, pictures and videos have 3 channels; use another model", config.in_chans);
            return Err(Error::content(path, reason));
        }
        let mut preprocess = Preprocess::vjepa2(config.crop_size as u32);
        let mut processor_text = String::new();
        if let Some(file) = PROCESSORS.iter().map(|name| dir.join(name)).find(|p| p.exists()) {
            processor_text = files::read_text(&file, MAX_JSON)?;
            preprocess = Preprocess::from_processor_json(&file.display().to_string(), &processor_text)?;
            let (side, patch) = (preprocess.size as usize, config.patch_size);
            if !side.is_multiple_of(patch) || side > MAX_SIDE {
                let reason = format!(
                    "gives pictures of {side} pixels; a multiple of the patch of {patch} is expected, at most {MAX_SIDE}"
                );
                return Err(Error::content(file, reason));
            }
        }
        let checkpoint = Checkpoint::open(dir)?;
        let source = checkpoint.source()?;
        let (_, parts) = bare_vjepa2(&source, &config).map_err(Error::model(checkpoint.path().display()))?;
        let labels = match parts.labels {
            Some(count) => Some(class_names(&config_text, count).map_err(|reason| Error::content(&path, reason))?),
            None => None,
        };
        let origin = dir.display().to_string();
        let dir = dir.to_path_buf();
        Ok(Self { dir, origin, config, config_text, processor_text, preprocess, checkpoint, parts, labels })
    }

    /// The folder as given.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The configuration.
    pub fn config(&self) -> &Vjepa2Config {
        &self.config
    }

    /// How pictures are prepared.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Names of the classes of a classifier checkpoint.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// Elements of all tensors.
    pub fn parameters(&self) -> u64 {
        parameter_count(&self.parts.tensors(&self.config))
    }

    /// Bytes of the weights on disk.
    pub fn weight_bytes(&self) -> u64 {
        self.checkpoint.bytes()
    }

    /// SHA-256 over everything that embeddings depend on. Hexadecimal.
    pub fn hash(&self) -> String {
        let texts = [self.config_text.as_bytes(), self.processor_text.as_bytes()];
        hash_of(texts.into_iter().chain(self.checkpoint.slices()))
    }

    /// Refuses a way of pooling that these weights have not.
    ///
    /// # Errors
    /// [`VisionPool::Probe`] of a checkpoint without one.
    pub fn check_pool(&self, pool: VisionPool) -> Result<()> {
        if pool == VisionPool::Probe && self.labels.is_none() {
            let reason = "has no attentive pooler: --pool probe takes a classifier checkpoint; use none, mean or last";
            return Err(Error::content(self.checkpoint.path(), reason));
        }
        Ok(())
    }
}

/// The names of `count` classes in `id2label`; `LABEL_0` and so on where there is none, as transformers calls them.
fn class_names(config: &str, count: usize) -> std::result::Result<Vec<String>, String> {
    let value: Value = serde_json::from_str(config).map_err(|e| e.to_string())?;
    let named = match value.get("id2label") {
        None | Some(Value::Null) => return Ok((0..count).map(|i| format!("LABEL_{i}")).collect()),
        Some(Value::Object(named)) => named,
        Some(_) => return Err("`id2label` is no object of class numbers and names".into()),
    };
    if named.len() != count {
        return Err(format!("`id2label` names {} classes, the classifier has {count}", named.len()));
    }
    let name = |i: usize| {
        let name = named.get(&i.to_string()).and_then(Value::as_str);
        name.map(str::to_owned).ok_or_else(|| format!("`id2label` has no name for class {i}"))
    };
    (0..count).map(name).collect()
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
        let source = folder.checkpoint.source()?;
        let named = || Error::model(folder.checkpoint.path().display());
        let (weights, parts) = bare_vjepa2(&source, &folder.config).map_err(named())?;
        let c = &folder.config;
        let encoder = Vjepa2Encoder::load_as(device, c, &mut &weights, "encoder", precision).map_err(named())?;
        let probe = |n| AttentiveProbe::load_as(device, c, n, &mut &weights, precision);
        Ok(Self {
            origin: folder.origin.clone(),
            config: c.clone(),
            device: device.clone(),
            encoder,
            probe: parts.labels.map(probe).transpose().map_err(named())?,
            labels: folder.labels.clone().unwrap_or_default(),
            preprocess: folder.preprocess.clone(),
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
        broken: Broken,
        done: impl FnMut(usize),
    ) -> Result<(Vec<Vec<ClassScore>>, Vec<Skipped>)> {
        let scores = PooledVision { model: self, out: Out::Logits(self.probe()?) };
        let (logits, skipped) = embed_files(&scores, files, broken, done)?;
        let ranked = |i: usize| {
            let logits = logits.row(i);
            let scores = softmax(logits, 1.0);
            let class = |m: crate::Match| ClassScore {
                label: self.labels.get(m.index).cloned().unwrap_or_default(),
                score: scores[m.index],
                logit: logits[m.index],
            };
            crate::embeddings::best(logits, k).into_iter().map(class).collect()
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

impl PictureEncoder for PooledVision<'_> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_are_those_of_the_classifier() {
        assert_eq!(class_names("{}", 2).unwrap(), ["LABEL_0", "LABEL_1"]);
        assert_eq!(class_names(r#"{"id2label": {"1": "b", "0": "a"}}"#, 2).unwrap(), ["a", "b"]);
        for (config, word) in [
            (r#"{"id2label": {"0": "a"}}"#, "1 classes, the classifier has 2"),
            (r#"{"id2label": {"0": "a", "2": "b"}}"#, "no name for class 1"),
            (r#"{"id2label": {"0": "a", "1": 7}}"#, "no name for class 1"),
            (r#"{"id2label": [1]}"#, "no object"),
        ] {
            assert!(class_names(config, 2).unwrap_err().contains(word), "{config}");
        }
    }
}
