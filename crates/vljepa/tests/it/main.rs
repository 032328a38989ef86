//! The command as its users meet it: what it prints, what it writes, how it fails.

mod files;
mod learning;
mod machine;
mod models;
mod support;
mod verbs;
