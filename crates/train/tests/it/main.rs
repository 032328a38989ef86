//! The crate's integration tests: one binary, one module per subject.

// clippy.toml exempts test functions; their helpers need the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checkpoint;
mod config;
mod data;
mod decoder;
mod faults;
mod frozen;
mod golden;
mod manifest;
mod muon;
mod probe;
mod probe_runs;
mod reference;
mod runs;
mod samples;
mod sprite_world;
mod support;
mod text_encoders;
mod training;
mod world;
