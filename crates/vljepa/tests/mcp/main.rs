//! The tools for agents, as clients of the protocol meet them: in the process, over standard input and output, over HTTP.

// Tests may stop where they stand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../model/tests/it/fixtures.rs"]
#[allow(dead_code)]
mod fixtures;
#[path = "../it/support.rs"]
#[allow(dead_code)]
mod support;
#[path = "../../../model/tests/it/synthetic.rs"]
#[allow(dead_code)]
mod synthetic;

mod client;
mod connections;
mod refusals;
mod tools;
