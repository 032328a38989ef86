//! Tests of the model crate that need files or other crates: one binary, a module per subject.

mod config;
mod fixtures;
mod hostile_weights;
mod weights;
