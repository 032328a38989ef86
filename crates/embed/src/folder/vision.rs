//! Folders of a V-JEPA 2 in the layout of the model hub: `config.json`, weights, the configuration of the image
//! processor.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vljepa_data::{IMAGENET, Preprocess, ResizeRule};
use vljepa_model::config::{Vjepa2Config, parameter_count};
use vljepa_model::weights::{Vjepa2Parts, bare_vjepa2};

use super::config::ConfigFile;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Hint, Result};
use crate::files::{self, MAX_JSON};
use crate::hash::hash_of;
use crate::names;

/// Largest side of the model's input in pixels, as for `crop_size`.
const MAX_SIDE: usize = 1 << 14;

/// The files of a V-JEPA 2, base model or classifier.
#[derive(Debug)]
pub struct VisionFolder {
    dir: PathBuf,
    origin: String,
    config: Vjepa2Config,
    config_file: ConfigFile,
    /// The name of the image processor's configuration and its text, where there is one.
    processor: Option<(&'static str, String)>,
    preprocess: Preprocess,
    checkpoint: Checkpoint,
    parts: Vjepa2Parts,
    labels: Option<Vec<String>>,
}

impl VisionFolder {
    /// Opens a folder and checks its weights against its configuration. Without a configuration of the image processor,
    /// pictures are prepared with the defaults of V-JEPA 2's processor for `crop_size`.
    ///
    /// # Errors
    /// Missing, empty or damaged files, an invalid configuration, tensors that are missing, unknown or of another
    /// shape, class names that do not match the classifier.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::with_config(dir, ConfigFile::read(dir)?)
    }

    /// As [`Self::open`], with a configuration that has been read already.
    pub(super) fn with_config(dir: &Path, config_file: ConfigFile) -> Result<Self> {
        let path = &config_file.path;
        let config = config_file.parse(Vjepa2Config::from_value, Vjepa2Config::from_json)?;
        if config.in_chans != 3 {
            let reason =
                format!("`in_chans` is {}, pictures and videos have 3 channels; use another model", config.in_chans);
            return Err(Error::content(path, reason));
        }
        let mut preprocess = Preprocess::vjepa2(config.crop_size as u32);
        let mut processor = None;
        for name in names::PROCESSORS {
            if processor.is_none() && files::is_there(&dir.join(name))? {
                processor = Some((name, files::read_text(&dir.join(name), MAX_JSON)?));
            }
        }
        if let Some((name, text)) = &processor {
            let file = dir.join(name);
            preprocess = Preprocess::from_processor_json(&file.display().to_string(), text)?;
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
            Some(count) => Some(class_names(&config_file.value, count).map_err(|reason| Error::content(path, reason))?),
            None => None,
        };
        let origin = dir.display().to_string();
        let dir = dir.to_path_buf();
        Ok(Self { dir, origin, config, config_file, processor, preprocess, checkpoint, parts, labels })
    }

    /// The path of the folder, as given.
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

    /// The preprocessing of pictures and frames.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The configuration as the file has it, with keys that no [`Vjepa2Config`] has.
    pub(super) fn config_value(&self) -> &Value {
        &self.config_file.value
    }

    /// The name of the image processor's configuration and its text: the file of the folder, or what stands for it.
    pub(super) fn processor(&self) -> (&'static str, Cow<'_, str>) {
        if let Some((name, text)) = &self.processor {
            return (name, text.into());
        }
        let side = self.config.crop_size;
        // As people write them, not as the nearest f64 of an f32.
        let [mean, std] = [IMAGENET.0, IMAGENET.1].map(|of| of.map(|v| v.to_string().parse().unwrap_or(f64::from(v))));
        let json = serde_json::json!({
            "video_processor_type": "VJEPA2VideoProcessor", "crop_size": {"height": side, "width": side},
            "size": {"shortest_edge": self.default_side()}, "do_resize": true, "do_center_crop": true, "resample": 2,
            "do_rescale": true, "rescale_factor": 1.0 / 255.0, "do_normalize": true, "image_mean": mean, "image_std": std,
        });
        (names::PROCESSORS[0], format!("{json:#}\n").into())
    }

    /// The shortest side to which V-JEPA 2's processor scales.
    fn default_side(&self) -> u32 {
        match Preprocess::vjepa2(self.config.crop_size as u32).resize {
            ResizeRule::ShortestSide(side) => side,
            _ => self.config.crop_size as u32,
        }
    }

    /// Names of the classes; `None` without a classifier.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// Number of elements of all tensors.
    pub fn parameters(&self) -> u64 {
        parameter_count(&self.parts.tensors(&self.config))
    }

    /// Size of the weight files in bytes.
    pub fn weight_bytes(&self) -> u64 {
        self.checkpoint.bytes()
    }

    /// SHA-256 of configurations and weights. Hexadecimal.
    pub fn hash(&self) -> String {
        let processor = self.processor.as_ref().map_or("", |(_, text)| text);
        let texts = [self.config_file.text.as_bytes(), processor.as_bytes()];
        hash_of(texts.into_iter().chain(self.checkpoint.slices()))
    }

    /// The weights.
    pub(crate) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Checks that the checkpoint has an attentive pooler.
    ///
    /// # Errors
    /// A checkpoint without a classifier.
    pub fn check_probe(&self) -> Result<()> {
        match self.labels {
            Some(_) => Ok(()),
            None => {
                let reason = "has no attentive pooler, which only classifier checkpoints have";
                Err(Error::content(self.checkpoint.path(), reason).hint(Hint::OtherPool))
            }
        }
    }
}

/// The names of `count` classes from `id2label`; without it, `LABEL_0`, `LABEL_1` and so on, as in transformers.
fn class_names(config: &Value, count: usize) -> std::result::Result<Vec<String>, String> {
    let names_by_class = match config.get("id2label") {
        None | Some(Value::Null) => return Ok((0..count).map(|i| format!("LABEL_{i}")).collect()),
        Some(Value::Object(names_by_class)) => names_by_class,
        Some(_) => return Err("`id2label` is no object that maps class numbers to names".into()),
    };
    if names_by_class.len() != count {
        return Err(format!("`id2label` names {} classes, the classifier has {count}", names_by_class.len()));
    }
    let name = |i: usize| {
        let name = names_by_class.get(&i.to_string()).and_then(Value::as_str);
        name.map(str::to_owned).ok_or_else(|| format!("`id2label` has no name for class {i}"))
    };
    (0..count).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn class_names_are_those_of_the_classifier() {
        assert_eq!(class_names(&json!({}), 2).unwrap(), ["LABEL_0", "LABEL_1"]);
        assert_eq!(class_names(&json!({"id2label": {"1": "b", "0": "a"}}), 2).unwrap(), ["a", "b"]);
        for (config, word) in [
            (json!({"id2label": {"0": "a"}}), "1 classes, the classifier has 2"),
            (json!({"id2label": {"0": "a", "2": "b"}}), "no name for class 1"),
            (json!({"id2label": {"0": "a", "1": 7}}), "no name for class 1"),
            (json!({"id2label": [1]}), "no object"),
        ] {
            assert!(class_names(&config, 2).unwrap_err().contains(word), "{config}");
        }
    }
}
