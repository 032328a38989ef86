//! `check`: what a contributor runs before a commit; needs no adapter.

use crate::verb::{Result, Verb, no_options};
use crate::{process, tidy, workspace};

/// The verb.
pub const VERB: Verb = Verb {
    name: "check",
    about: "Formatting, clippy and docs with warnings denied, and the tidy rules.",
    help: HELP,
    run: |args| {
        no_options(args)?;
        run()
    },
};

const HELP: &str = "\
Usage: cargo xtask check

Runs `tidy`, `cargo fmt --check`, `cargo clippy` and `cargo doc` over the whole workspace; a warning is a failure.
";

/// Runs all of it; stops at the first failure.
pub fn run() -> Result {
    tidy::run()?;
    process::run(&mut workspace::cargo(&["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    process::run(&mut workspace::cargo(&clippy))?;
    let mut docs = workspace::cargo(&["doc", "--workspace", "--no-deps"]);
    process::run(docs.env("RUSTDOCFLAGS", "-D warnings"))
}
