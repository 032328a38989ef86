//! The server as its clients meet it: over a port, with requests of every kind, and with what can go wrong.

// Tests may stop where they stand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod client;
mod faults;
mod process;
mod streams;
#[path = "../it/support.rs"]
#[allow(dead_code)]
mod support;
