//! Environments and planners for world models. Headless and deterministic; no model, no device, no picture format.
//!
//! A [`World`] is a state, a goal, a rule by which an action changes the state, and a picture that is a function of the state
//! alone. [`planners`] look for actions of least cost, [`trajectories`] are what episodes leave, and [`protocol`] is how plans are
//! judged.

mod error;
pub mod planners;
mod policy;
pub mod protocol;
mod push_t;
mod random;
mod registry;
pub mod sprite_rooms;
pub mod trajectories;
mod two_room;
mod world;

pub use error::{Result, WorldError};
pub use policy::Policy;
pub use push_t::{PushT, PushTAction, PushTData, PushTOptions, PushTOrder, PushTSuccess};
pub use random::Random;
pub use registry::{WORLDS, world_by_name, world_with_options};
pub use sprite_rooms::{SpriteRooms, SpriteRoomsOptions};
pub use two_room::{TwoRoom, TwoRoomOptions};
pub use world::{MAX_SIDE, World, check_action, check_finite, check_picture};
