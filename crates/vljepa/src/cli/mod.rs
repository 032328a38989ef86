//! The verbs of the command.

mod args;
mod bench;
mod info;
mod output;

use clap::Parser;
use vljepa::{Error, Result};

use args::{Cli, Verb};
use output::Output;

/// Runs the command that the arguments name. Bad usage ends the process with 2, `--help` with 0.
pub fn main() -> Result<()> {
    let cli = Cli::parse();
    let out = Output::new(cli.common.json);
    let common = &cli.common;
    match &cli.verb {
        Verb::Info(args) => info::run(args, common, &out),
        Verb::Bench(args) => bench::run(args, common, &out),
    }
}

/// A failure of JSON output, which only numbers that are not finite can bring about.
fn not_json(error: serde_json::Error) -> Error {
    Error::Invalid(format!("the result is not JSON: {error}"))
}
