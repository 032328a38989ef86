//! Worlds by name.

use serde_json::Value;

use crate::error::{Result, WorldError};
use crate::push_t::PushT;
use crate::sprite_rooms::SpriteRooms;
use crate::two_room::TwoRoom;
use crate::world::World;

/// Names of all worlds.
pub const WORLDS: &[&str] = &["two-room", "push-t", "sprite-rooms"];

/// A world with its default options. Sprite Rooms has plain shapes; one with drawings is made by [`SpriteRooms::new`].
///
/// # Errors
/// A name that is not in [`WORLDS`].
pub fn world_by_name(name: &str) -> Result<Box<dyn World>> {
    world_with_options(name, &Value::Object(serde_json::Map::new()))
}

/// A world with options, as [`World::options`] gives them; keys that are absent have their defaults.
///
/// # Errors
/// A name that is not in [`WORLDS`], unknown keys, values outside of their range.
pub fn world_with_options(name: &str, options: &Value) -> Result<Box<dyn World>> {
    match name {
        "two-room" => Ok(Box::new(TwoRoom::new(read("two-room", options)?)?)),
        "push-t" => Ok(Box::new(PushT::new(read("push-t", options)?)?)),
        "sprite-rooms" => Ok(Box::new(SpriteRooms::shapes(read("sprite-rooms", options)?)?)),
        _ => Err(WorldError::Unknown { name: name.to_owned(), known: WORLDS.join(", ") }),
    }
}

fn read<T: serde::de::DeserializeOwned>(origin: &'static str, options: &Value) -> Result<T> {
    serde_json::from_value(options.clone()).map_err(|e| WorldError::Options { origin, what: e.to_string() })
}
