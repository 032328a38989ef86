//! Sprite World: clips of drawings in motion, and texts that say exactly what happens in them.
//!
//! A clip is a function of a key: [`SpriteWorld::scene`] draws who is there and what they do, [`SpriteWorld::render`] the pixels, and
//! [`words`] captions, questions and answers from the true state. Three things are held out of training: concepts and
//! designers as in [`crate::emoji`], a tenth of the pairs of thing and action ([`is_held_out`]), and whole wordings.

mod action;
mod cast;
mod color;
mod motion;
mod plan;
mod render;
mod scene;
mod sheet;
mod stream;
pub mod words;
mod world;

pub use action::{Action, Direction, Place, Speed};
pub use cast::{Cast, Drawing, LABELS, MIN_THINGS, Thing, plays};
pub use color::Color;
pub use scene::{Actor, Event, Pose, Scene, Script};
pub use sheet::sheet;
pub use stream::{Shot, SpriteStream};
pub use world::{Pairs, SpriteOptions, SpriteWorld, is_held_out};
