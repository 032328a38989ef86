//! `demo`: what the project does, on held-out pictures, from a fresh clone.

use std::process::Command;

use crate::verb::{Failure, Result, Verb, failed, no_options};
use crate::{adapter, process, setup, workspace};

/// The verb.
pub const VERB: Verb = Verb {
    name: "demo",
    about: "Classify and search held-out pictures and clips with the built-in models; writes a report.",
    help: HELP,
    run: main,
};

const HELP: &str = "\
Usage: cargo xtask demo

Makes sure of a Vulkan driver, builds `vljepa` with optimisation and runs `vljepa demo`, which prints a table of scores
and writes target/demo/report.html, a page that needs no other file.
";

fn main(args: lexopt::Parser) -> Result {
    no_options(args)?;
    setup::ensure(false)?;
    let vljepa = adapter::build_command(true)?;
    adapter::report(&vljepa)?;
    let out = workspace::load()?.target.join("demo");
    std::fs::create_dir_all(&out).map_err(|e| failed(format!("cannot create {}: {e}", out.display())))?;
    let mut demo = Command::new(vljepa);
    demo.arg("demo").arg("--out").arg(out.join("report.html"));
    match process::status(&mut demo)? {
        0 => Ok(()),
        code => Err(Failure::Exit(code)),
    }
}
