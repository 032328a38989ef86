//! The command as its users meet it: what it prints, what it writes, how it fails.

// Tests may stop where they stand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod apart;
mod ask;
mod checkpoints;
mod clips;
mod encoders;
mod files;
#[path = "../../../model/tests/it/fixtures.rs"]
#[allow(dead_code)]
mod fixtures;
mod foreign;
mod hub;
mod hub_faults;
mod hub_server;
mod hub_whole;
mod index;
mod labels;
mod learning;
mod machine;
mod manifest;
mod models;
mod own_data;
mod plan;
mod probe;
mod resume;
mod sprites;
mod stopped;
mod support;
mod surprise;
#[path = "../../../model/tests/it/synthetic.rs"]
#[allow(dead_code)]
mod synthetic;
mod texts;
mod v2_1;
mod verbs;
mod videos;
mod watch;
