//! What happens in a run, for whoever watches it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::metrics::{NamedCell, Validation};
use crate::probe::ProbeStep;
use crate::schedule::duration;
use crate::spread::Spreads;
use crate::trainer::StepReport;
use crate::world::{WorldFigures, WorldStep};

/// What happens in a run. `Display` gives the line for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// What is being prepared, or a fault that does not stop the run.
    Note(String),
    /// Training begins or goes on.
    Started {
        /// Steps taken so far.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Trained parameters.
        parameters: usize,
        /// Steps until every sample has been seen once; absent where none comes twice.
        steps_per_epoch: Option<u64>,
        /// Candidates of each prediction.
        candidates: usize,
        /// Folder of the run.
        output: PathBuf,
    },
    /// A step was taken.
    Step {
        /// What it gave.
        report: StepReport,
        /// Steps in all.
        steps: u64,
        /// Pictures per second, over the last steps.
        rate: f64,
        /// Seconds left at this rate.
        left: f64,
    },
    /// The weights were evaluated on validation data.
    Evaluated {
        /// Steps taken.
        step: u64,
        /// The figures.
        validation: Box<Validation>,
    },
    /// How the embeddings of a step lie.
    Embeddings {
        /// Steps taken.
        step: u64,
        /// The figures.
        spreads: Spreads,
    },
    /// The features of a clip were made.
    Features {
        /// Clips that are done.
        done: usize,
        /// Clips whose features were not there.
        of: usize,
        /// Bytes that were written.
        bytes: u64,
        /// Seconds left at this rate.
        left: f64,
    },
    /// A step of all heads of a probe was taken.
    ProbeStep {
        /// What it gave.
        report: ProbeStep,
        /// Steps in all.
        steps: u64,
        /// Clips per second, over the last steps.
        rate: f64,
        /// Seconds left at this rate.
        left: f64,
    },
    /// The heads of a probe were measured on the validation clips.
    ProbeEvaluated {
        /// Steps taken.
        step: u64,
        /// Epochs that are done.
        epoch: u64,
        /// Clips.
        n: usize,
        /// The share of clips that the best head now gave their class, 0..=1.
        now: f64,
        /// The share of the head that is kept.
        best: f64,
    },
    /// A step of a world model was taken.
    WorldStep {
        /// What it gave.
        report: WorldStep,
        /// Steps in all.
        steps: u64,
        /// Frames per second, over the last steps.
        rate: f64,
        /// Seconds left at this rate.
        left: f64,
    },
    /// A world model was measured on validation episodes.
    WorldEvaluated {
        /// Steps taken.
        step: u64,
        /// The figures.
        figures: WorldFigures,
    },
    /// A checkpoint was written.
    Saved {
        /// Its folder.
        path: PathBuf,
    },
    /// The model folder was written.
    Finished {
        /// The model folder.
        model: PathBuf,
        /// Seconds of training, earlier parts of the run included.
        seconds: f64,
    },
}

impl Event {
    /// The note for a card that was changed by hand and stays; `new` is the one that stands beside it.
    pub(super) fn card_kept(old: &Path, new: &Path) -> Self {
        let (old, new) = (old.display(), new.display());
        Self::Note(format!("{old} was changed since it was written and stays; {new} is the new card"))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Note(text) => f.write_str(text),
            Event::Started { step, steps, parameters, steps_per_epoch, candidates, output } => {
                let epoch = steps_per_epoch.map(|steps| format!(", {steps} an epoch")).unwrap_or_default();
                write!(
                    f,
                    "training {:.2} M parameters from step {step} to {steps}{epoch}, {candidates} candidates (ln {:.3}), in {}",
                    *parameters as f64 / 1e6,
                    (*candidates as f64).ln(),
                    output.display()
                )
            }
            Event::Step { report: r, steps, rate, left } => write!(
                f,
                "step {}/{steps}  loss {:.4}  norm {:.2}  1/τ {:.1}  lr ×{:.3}  {rate:.0} pictures/s  {} left",
                r.step + 1,
                r.loss,
                r.grad_norm,
                r.scale,
                r.factor,
                duration(*left)
            ),
            Event::Evaluated { step, validation: v } => {
                let percent = |v: Option<f64>| v.map_or_else(|| "–".into(), |v| format!("{:.1}", 100.0 * v));
                write!(f, "after step {step}: R@1/R@5 %")?;
                for (i, NamedCell { title, cell, .. }) in v.0.iter().enumerate() {
                    let (r1, r5) = (percent(cell.r1), percent(cell.r5));
                    write!(f, "{} {title} {r1}/{r5} of {}", if i == 0 { "" } else { ";" }, cell.candidates)?;
                }
                Ok(())
            }
            Event::Embeddings { step, spreads: Spreads { prediction, target, alignment } } => write!(
                f,
                "after step {step}: effective rank of predictions {:.1} and targets {:.1}, squared distance {alignment:.2}",
                prediction.effective_rank, target.effective_rank
            ),
            Event::Features { done, of, bytes, left } => {
                write!(f, "features of {done}/{of} clips  {:.1} MB  {} left", *bytes as f64 / 1e6, duration(*left))
            }
            Event::ProbeStep { report: r, steps, rate, left } => {
                let lowest = r.losses.iter().flatten().copied().fold(f32::INFINITY, f32::min);
                let (active, heads) = (r.losses.iter().flatten().count(), r.losses.len());
                let rest = if active < heads { format!(" ({} rest)", heads - active) } else { String::new() };
                write!(
                    f,
                    "step {}/{steps}  lowest loss of {heads} heads{rest} {lowest:.4}  lr ×{:.3}  {rate:.1} clips/s  {} left",
                    r.step + 1,
                    r.factor,
                    duration(*left)
                )
            }
            Event::ProbeEvaluated { epoch, n, now, best, .. } => write!(
                f,
                "after epoch {epoch}: top-1 {:.1} % of {n} validation clips, {:.1} % at best",
                100.0 * now,
                100.0 * best
            ),
            Event::WorldStep { report: r, steps, rate, left } => {
                let rolled = r.rolled.map(|rolled| format!("  rolled out {rolled:.4}")).unwrap_or_default();
                write!(
                    f,
                    "step {}/{steps}  prediction {:.4}{rolled}  SIGReg {:.3}  norm {:.2}  lr ×{:.3}  {rate:.0} frames/s  {} left",
                    r.step + 1,
                    r.prediction,
                    r.sigreg,
                    r.grad_norm,
                    r.factor,
                    duration(*left)
                )
            }
            Event::WorldEvaluated { step, figures: v } => {
                let linear = v.linear.map(|linear| format!(", the line {linear:.4}")).unwrap_or_default();
                write!(
                    f,
                    "after step {step}: off by {:.4}, the frame before {:.4}{linear}, variance of latents {:.2}",
                    v.prediction, v.copy_last, v.variance
                )
            }
            Event::Saved { path } => write!(f, "saved {}", path.display()),
            Event::Finished { model, seconds } => {
                write!(f, "trained in {}: {}", duration(*seconds), model.display())
            }
        }
    }
}
