//! Planning with a world model: the planners of `vljepa-worlds` on the latents of a LeWM.

mod agent;
pub mod energy;
mod episode;
mod evaluate;
mod guide;
mod latents;
mod open;
pub mod picture;
mod probe;

pub use agent::{Agent, Toward, distance};
pub use episode::{Outcome, Outcomes, PlanOptions, Round, run};
pub use evaluate::{EvaluateOptions, PlanReport, SeedReport, Task, drawn, evaluate, held_out};
pub use guide::{GUIDE, Guide, GuideOptions, Place};
pub use latents::{LatentOptions, LatentReport, Probed, RollOut, Surprise, latents};
pub use open::Opened;
