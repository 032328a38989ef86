//! `vljepa-fuzz`: damaged input for every parser of the workspace, under limits of time and memory.

mod child;
mod error;
mod memory;
mod mutate;
mod parent;
mod random;
mod target;
mod targets;
mod tree;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use child::Work;
use error::{Failure, Result};
use parent::Plan;
use target::Target;
use targets::TARGETS;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

const HELP: &str = "\
Usage: vljepa-fuzz [--seconds N] [--only TARGET] [--seed S] [--out DIR] [--case-seconds N] [--replay FILE]

  --seconds N       run each target for N seconds (60)
  --only TARGET     run one target; may be given more than once
  --seed S          another path through the damage (1)
  --out DIR         write findings to DIR (target/fuzz)
  --case-seconds N  the longest that a case may take (10)
  --replay FILE     run one input of one target
";

struct Arguments {
    only: Vec<String>,
    seconds: u64,
    seed: u64,
    out: PathBuf,
    case_seconds: u64,
    replay: Option<PathBuf>,
    /// The folder of a process that the parent started.
    scratch: Option<PathBuf>,
    child: bool,
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Arguments>> {
    use lexopt::prelude::*;
    let mut parsed = Arguments {
        only: Vec::new(),
        seconds: 60,
        seed: 1,
        out: PathBuf::from("target/fuzz"),
        case_seconds: 10,
        replay: None,
        scratch: None,
        child: false,
    };
    let mut args = lexopt::Parser::from_args(args);
    while let Some(arg) = args.next()? {
        match arg {
            Long("seconds") => parsed.seconds = args.value()?.parse()?,
            Long("only") => parsed.only.push(args.value()?.string()?),
            Long("seed") => parsed.seed = args.value()?.parse()?,
            Long("out") => parsed.out = args.value()?.into(),
            Long("case-seconds") => parsed.case_seconds = args.value()?.parse()?,
            Long("replay") => parsed.replay = Some(args.value()?.into()),
            Long("scratch") => parsed.scratch = Some(args.value()?.into()),
            Long("child") => parsed.child = true,
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(parsed))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    let find = |name: &String| {
        TARGETS.iter().find(|target| target.name == *name).ok_or_else(|| {
            let all: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            Failure::Other(format!("there is no target {name:?}; there are {}", all.join(", ")))
        })
    };
    names.iter().map(find).collect()
}

fn run() -> Result {
    let Some(arguments) = parse(std::env::args_os().skip(1))? else {
        print!("{HELP}\nTargets:\n");
        for target in TARGETS {
            println!("  {:<12} {}", target.name, target.about);
        }
        return Ok(());
    };
    let targets = chosen(&arguments.only)?;
    let case = Duration::from_secs(arguments.case_seconds.max(1));
    if !arguments.child && arguments.replay.is_none() {
        let Arguments { seconds, seed, out, .. } = arguments;
        return Plan { targets, seconds, seed, out, case }.run();
    }
    let [target] = targets[..] else {
        return Err(Failure::Other("one target is needed: name it with --only".into()));
    };
    let own = tempfile::tempdir()?;
    let scratch = arguments.scratch.as_deref().unwrap_or(own.path());
    let time = Duration::from_secs(arguments.seconds);
    let work = Work { target, scratch, seed: arguments.seed, time, case };
    match &arguments.replay {
        Some(path) => child::replay(&work, &std::fs::read(path)?),
        None => child::run(&work),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}
