//! The command as its users meet it: what it prints, what it writes, how it fails.

// Tests may stop where they stand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checkpoints;
mod files;
mod learning;
mod machine;
mod models;
mod support;
mod verbs;
mod videos;
