//! The crate's integration tests: one binary, one module per subject.

// clippy.toml exempts test functions; their helpers need the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod augment;
#[cfg(feature = "build")]
mod build;
mod clips;
mod decode;
mod emoji;
mod h264;
mod labels;
mod manifest;
mod manifest_views;
mod media;
mod pictures;
mod preprocess;
mod processor;
mod resample;
mod sprite_world;
mod video;
mod video_ffmpeg;
mod video_sources;
mod walk;
mod whole;
