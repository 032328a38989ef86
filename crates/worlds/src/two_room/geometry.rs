//! The plan of TwoRoom, in pixels of a square of 224.

/// The name of the world.
pub(super) const NAME: &str = "two-room";
/// Side of the world, px.
pub(super) const SIDE: usize = 224;
/// Where the border's inner edge is, px from the edge of the picture.
pub(super) const BORDER: f32 = 14.0;
/// Middle of the wall, px.
pub(super) const WALL: f32 = 112.0;
/// Half of the wall's thickness, px.
pub(super) const WALL_HALF: f32 = 5.0;
/// Half of the door's height, px.
pub(super) const DOOR_HALF: f32 = 14.0;
/// How far outside of the door an agent still passes, px.
pub(super) const DOOR_MARGIN: f32 = 1.75;
/// The agent's radius, and the standard deviation of its blob, px.
pub(super) const RADIUS: f32 = 7.0;
/// How far from the zone of the wall an agent is put that ran into it, px.
pub(super) const PUSH_BACK: f32 = 0.5;
/// Where agents and targets are drawn from, px.
pub(super) const SPAWN: (f32, f32) = (14.0, 209.0);
/// Where an agent can be after a step, px.
pub(super) const INSIDE: (f32, f32) = (BORDER + RADIUS, SIDE as f32 - BORDER - RADIUS);
/// The zone of the wall, where an agent can only be in the door, px.
pub(super) const ZONE: (f32, f32) = (WALL - WALL_HALF - RADIUS, WALL + WALL_HALF + RADIUS);
/// The goal is reached below this distance, px.
pub(super) const REACH: f32 = 16.0;
/// The expert makes for the target from this distance to the door on, px.
pub(super) const AT_DOOR: f32 = 10.5;
