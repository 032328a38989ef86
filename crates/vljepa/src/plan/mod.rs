//! Planning with a world model: the planners of `vljepa-worlds` on the latents of a LeWM.

mod agent;
mod episode;
mod evaluate;
mod guide;
pub mod picture;

pub use agent::{Agent, Toward, distance};
pub use episode::{Outcome, Outcomes, PlanOptions, Round, run};
pub use evaluate::{EvaluateOptions, PlanReport, SeedReport, Task, drawn, evaluate, held_out};
pub use guide::{Guide, GuideOptions, Place};
