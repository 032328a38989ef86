//! How a run is made, and how it ended.

use std::fmt;
use std::path::{Path, PathBuf};

use vljepa_tensor::Device;

use super::event::Event;
use crate::checkpoint::{Checkpoints, Loaded, RunState};
use crate::error::{Result, TrainError};
use crate::metrics::Validation;
use crate::probe::ProbeReport;
use crate::trainer::NamedFile;
use crate::world::WorldFigures;

/// How a run is made, beside its configuration: `RunOptions::new(device)` is a quiet run from step 0.
pub struct RunOptions<'a> {
    pub(super) device: Device,
    pub(super) resume: bool,
    pub(super) output: Option<PathBuf>,
    pub(super) usage: Option<String>,
    pub(super) stop: Box<dyn FnMut() -> bool + 'a>,
    pub(super) observer: Box<dyn FnMut(&Event) + 'a>,
}

impl<'a> RunOptions<'a> {
    /// A run that computes on `device`.
    pub fn new(device: Device) -> Self {
        let (stop, observer) = (Box::new(|| false), Box::new(|_: &Event| ()));
        Self { device, resume: false, output: None, usage: None, stop, observer }
    }

    /// Whether to go on from the newest good checkpoint; otherwise the run's folder must hold none.
    pub fn resume(self, resume: bool) -> Self {
        Self { resume, ..self }
    }

    /// Folder of the run in place of the configuration's.
    pub fn output(self, folder: impl Into<PathBuf>) -> Self {
        Self { output: Some(folder.into()), ..self }
    }

    /// Markdown on how the trained model is used, a section of its model card.
    pub fn usage(self, markdown: impl Into<String>) -> Self {
        Self { usage: Some(markdown.into()), ..self }
    }

    /// Called after every step; `true` saves a checkpoint and ends the run.
    pub fn stop(self, stop: impl FnMut() -> bool + 'a) -> Self {
        Self { stop: Box::new(stop), ..self }
    }

    /// Called with everything that happens.
    pub fn observer(self, observer: impl FnMut(&Event) + 'a) -> Self {
        Self { observer: Box::new(observer), ..self }
    }
}

impl fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions").field("resume", &self.resume).field("output", &self.output).finish_non_exhaustive()
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Steps taken.
    pub step: u64,
    /// Whether the run is over: all steps were taken, or it got no better ([`EvaluateConfig::patience`](crate::config::EvaluateConfig)).
    pub complete: bool,
    /// The model folder, when complete.
    pub model: Option<PathBuf>,
    /// The last evaluation.
    pub validation: Option<Validation>,
    /// What a run with `[probe]` has made, when complete.
    pub probe: Option<ProbeReport>,
    /// What a run with `[world]` has reached, when complete.
    pub world: Option<WorldFigures>,
}

/// Checks that there are checkpoints only where a run goes on; a run that has none to go on from says so.
pub(super) fn check_resume(
    checkpoints: &Checkpoints,
    resume: bool,
    output: &Path,
    observer: &mut dyn FnMut(&Event),
) -> Result<()> {
    match checkpoints.list()?.is_empty() {
        false if !resume => {
            return Err(TrainError::Invalid(format!(
                "{}: holds checkpoints of a run already; resume it, or choose another `output`",
                output.display()
            )));
        }
        true if resume => {
            observer(&Event::Note(format!("nothing to resume in {}: starting from step 0", output.display())));
        }
        _ => {}
    }
    Ok(())
}

/// Writes a checkpoint of a run that has trained for `seconds`, its last step on `device`, and tells of it.
pub(super) fn save(
    checkpoints: &Checkpoints,
    (mut state, files): (RunState, Vec<NamedFile>),
    (seconds, device): (f64, &Option<String>),
    observer: &mut dyn FnMut(&Event),
) -> Result<()> {
    (state.seconds, state.device) = (seconds, device.clone());
    let path = checkpoints.save(&state, &files)?;
    observer(&Event::Saved { path });
    Ok(())
}

/// Goes on from the newest good checkpoint, if there is one: the seconds of training so far, and the device of the last step.
/// Newer checkpoints that are damaged are told of.
pub(super) fn restored(
    checkpoints: &Checkpoints,
    restore: impl FnMut(&Loaded) -> Result<()>,
    observer: &mut dyn FnMut(&Event),
) -> Result<(f64, Option<String>)> {
    let (found, faults) = checkpoints.latest(restore)?;
    for fault in faults {
        observer(&Event::Note(format!("{fault}; going on from an older one")));
    }
    Ok(found.map_or((0.0, None), |(loaded, ())| (loaded.state.seconds, loaded.state.device)))
}
