//! Tests of the model crate that need files or other crates: one binary, a module per subject.

// clippy.toml exempts functions marked as tests; here that goes for their helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod architectures;
mod config;
mod ensemble;
mod fixtures;
mod hostile_tokenizers;
mod hostile_weights;
mod infonce;
mod lewm;
mod llama;
mod memory;
mod narrow;
mod open_vljepa;
mod parity;
mod parts;
mod precision;
mod pt;
mod send;
mod sentence;
mod stem;
mod synthetic;
mod tables;
mod text_config;
mod text_parity;
mod tokenizers;
mod v2_1;
mod vision;
mod vjepa2_checkpoint;
mod weights;
mod y_decoder;
