//! Places on the way to goals that lie beyond a plan's horizon: a graph of latents that were seen in earlier episodes, in which an edge is
//! what one plan can do (after SoRB, arXiv 1906.05253, with distances in steps that episodes took instead of a learned value).

mod file;
mod graph;
mod make;
mod places;

pub use file::GUIDE;
pub use places::{Guide, GuideOptions, Place};
