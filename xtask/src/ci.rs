//! `ci`: everything that must hold before a merge.

use crate::verb::{Result, Verb, no_options};
use crate::{check, package, shaders, test, wasm};

/// The verb.
pub const VERB: Verb = Verb {
    name: "ci",
    about: "Everything that must hold before a merge: check, wasm, shaders, test twice, package.",
    help: HELP,
    run: main,
};

const HELP: &str = "\
Usage: cargo xtask ci

Runs `check`, `wasm`, `shaders`, `test`, `test -p vljepa-tensor --disable all` and `package`, and stops at the first
failure. `.ci/run` is its core: `check`, `wasm` and `test`.
";

fn main(args: lexopt::Parser) -> Result {
    no_options(args)?;
    check::run()?;
    wasm::run()?;
    shaders::run(None)?;
    test::run(&test::Options::default())?;
    // The least that an adapter may offer: plain WebGPU with default limits.
    test::run(&test::Options {
        packages: vec!["vljepa-tensor".to_owned()],
        disable: Some("all".to_owned()),
        ..test::Options::default()
    })?;
    package::run(false)
}
