//! Environments and planners for world models. Headless and deterministic; no model, no device, no picture format.
//!
//! A [`World`] is a state, a goal, a rule by which an action changes the state, and a picture that is a function of the state
//! alone.

mod error;
mod random;
mod world;

pub use error::{Result, WorldError};
pub use random::Random;
pub use world::{World, check_action, check_finite, check_picture};
