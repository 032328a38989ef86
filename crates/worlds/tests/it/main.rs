//! The crate's integration tests: one binary, one module per subject.

// clippy.toml exempts test functions; their helpers need the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod planners;
mod plans;
mod protocol;
mod push_t;
mod sprite_rooms;
mod trajectories;
mod two_room;
mod worlds;
