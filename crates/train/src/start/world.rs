//! What a run with `[world]` starts from.

use std::path::Path;

use vljepa_embed::folder::LewmFolder;
use vljepa_model::config::LewmConfig;
use vljepa_model::{Lewm, LewmInit};
use vljepa_tensor::Device;
use vljepa_worlds::{World, world_with_options};

use super::file::{ConfigFile, no_folder};
use super::read::{fault, file_fault, read_config};
use crate::config::{at_line, located};
use crate::error::{Result, TrainError};
use crate::world::WorldRun;

/// A run's file and what it says, all that needs no device.
pub(crate) struct WorldStart {
    pub file: ConfigFile,
    pub run: WorldRun,
    pub config: LewmConfig,
    pub world: Box<dyn World>,
    folder: Option<LewmFolder>,
}

/// Parses and checks the text of a configuration; paths stay as they are.
fn parse(text: &str) -> Result<WorldRun, String> {
    let run: WorldRun = toml::from_str(text).map_err(|error| located(text, &error))?;
    match run.problem() {
        Some((key, what)) => Err(at_line(text, &key, what)),
        None => Ok(run),
    }
}

impl WorldStart {
    /// Reads and checks; `output` stands in place of the file's.
    pub fn read(path: &Path, output: Option<&Path>) -> Result<Self> {
        let mut file = ConfigFile::open(path)?;
        let mut run = parse(file.text()).map_err(|what| TrainError::Config { path: path.into(), what })?;
        file.paths_are(["output", "model.config", "model.folder"]);
        let base = path.parent().unwrap_or(Path::new(""));
        let model = &mut run.model;
        for slot in [&mut run.output].into_iter().chain(&mut model.config).chain(&mut model.folder) {
            *slot = base.join(&*slot);
        }
        if let Some(output) = output {
            match no_folder(output) {
                Some(what) => return Err(TrainError::Invalid(what)),
                None => run.output = output.into(),
            }
        }
        match Self::find(&run) {
            Ok((config, world, folder)) => Ok(Self { file, run, config, world, folder }),
            Err(error) => Err(file.locate(error)),
        }
    }

    #[allow(clippy::type_complexity)]
    fn find(run: &WorldRun) -> Result<(LewmConfig, Box<dyn World>, Option<LewmFolder>)> {
        if let Some(what) = no_folder(&run.output) {
            return Err(TrainError::setting("output", format!("`output`: {what}")));
        }
        let folder = match &run.model.folder {
            Some(path) => Some(LewmFolder::open(path).map_err(file_fault("model.folder"))?),
            None => None,
        };
        let config = match (&folder, &run.model.config) {
            (Some(folder), _) => folder.config().clone(),
            (None, Some(path)) => {
                let text = read_config("model.config", path)?;
                LewmConfig::from_json(&text).map_err(fault("model.config", path, ""))?
            }
            (None, None) => return Err(TrainError::setting("model", "`model` names neither `config` nor `folder`")),
        };
        let options = serde_json::Value::Object(run.world.options.clone());
        let world = world_with_options(&run.world.name, &options)
            .map_err(|error| TrainError::setting("world.name", format!("`world`: {error}")))?;
        if world.action_size() != config.action_size {
            let what = format!(
                "`world.name`: an action of {} has {} numbers, `action_size` of the model is {}; set it in the model's configuration",
                world.name(),
                world.action_size(),
                config.action_size
            );
            return Err(TrainError::setting("world.name", what));
        }
        let frames = run.objective.frames;
        if frames != 0 && frames <= config.history {
            let (least, history) = (config.history + 1, config.history);
            let what =
                format!("`objective.frames` is {frames}; a model with a history of {history} needs {least} or more");
            return Err(TrainError::setting("objective.frames", what));
        }
        if run.objective.roll_out > 0.0 && frames < config.history + 2 {
            let what = format!(
                "`objective.roll_out` needs frames behind the first window: set `objective.frames` to {} or more",
                config.history + 2
            );
            return Err(TrainError::setting("objective.roll_out", what));
        }
        Ok((config, world, folder))
    }

    /// Frames of a window.
    pub fn frames(&self) -> usize {
        match self.run.objective.frames {
            0 => self.config.history + 1,
            frames => frames,
        }
    }

    /// The model at step 0.
    ///
    /// # Errors
    /// Weights that cannot be read, what the device reports.
    pub fn model(&self, device: &Device) -> Result<Lewm> {
        Ok(match &self.folder {
            Some(folder) => folder.load(device)?,
            None => Lewm::random(device, &self.config, LewmInit { seed: self.run.seed })?,
        })
    }
}
