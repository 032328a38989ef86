//! `fuzz`: damaged input for every parser of untrusted bytes.

use crate::verb::{Result, Verb};
use crate::{process, workspace};

/// The verb.
pub const VERB: Verb = Verb {
    name: "fuzz",
    about: "Feed damaged input to every parser, under limits of time and memory.",
    help: HELP,
    run: main,
};

const HELP: &str = "\
Usage: cargo xtask fuzz [--seconds N] [--only TARGET] [--seed S] [--replay FILE]

Builds vljepa-fuzz and runs each of its targets in a process of its own. A case that hangs, panics, crashes or takes more
memory than its target allows is shortened and written to target/fuzz; then the exit status is 1.

  --seconds N    run each target for N seconds (60)
  --only TARGET  run one target; may be given more than once
  --seed S       another path through the damage (1)
  --replay FILE  run one input of one target again
";

fn main(mut args: lexopt::Parser) -> Result {
    use lexopt::prelude::*;
    let mut passed = Vec::new();
    while let Some(arg) = args.next()? {
        let name = match arg {
            Long(name @ ("seconds" | "only" | "seed" | "replay")) => format!("--{name}"),
            other => return Err(other.unexpected().into()),
        };
        passed.extend([name.into(), args.value()?]);
    }
    let out = workspace::load()?.target.join("fuzz");
    let mut command = workspace::cargo(&["run", "--quiet", "-p", "vljepa-fuzz", "--"]);
    process::run(command.args(passed).arg("--out").arg(out))
}
