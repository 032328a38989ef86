//! `test`: every test, on an adapter.

use std::ffi::OsString;
use std::process::Command;

use crate::verb::{Result, Verb};
use crate::{adapter, data, process, setup, workspace};

/// The verb.
pub const VERB: Verb = Verb {
    name: "test",
    about: "Run every test on the adapter that it prints; without one it fails.",
    help: HELP,
    run: main,
};

const HELP: &str = "\
Usage: cargo xtask test [-p PACKAGE]... [--disable LIST] [--offline] [-- RUNNER-ARGS]

Makes sure of a Vulkan driver and of the weights, tokenizers and clips that tests read, then runs the tests (with
cargo-nextest where it is installed, else with `cargo test`), the documentation's examples, and one iteration of each bench.

  -p, --package PACKAGE  only this package's tests and examples
      --disable LIST     force capabilities off: f16,subgroup,coop,… or all
      --offline          fetch nothing; tests of fetched weights may then be skipped, and those of fetched clips fail
  RUNNER-ARGS            go to the runner, which then is all that runs, for example: -- matmul
";

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Packages; empty means all.
    pub packages: Vec<String>,
    /// For `VLJEPA_DISABLE`.
    pub disable: Option<String>,
    /// Fetch nothing.
    pub offline: bool,
    /// Passed on to the runner.
    pub runner_args: Vec<OsString>,
}

fn main(args: lexopt::Parser) -> Result {
    run(&parse(args)?)
}

fn parse(mut args: lexopt::Parser) -> Result<Options> {
    use lexopt::prelude::*;
    let mut own: Vec<OsString> = args.raw_args()?.collect();
    let mut options = Options::default();
    if let Some(at) = own.iter().position(|arg| arg == "--") {
        options.runner_args = own.split_off(at + 1);
        own.pop();
    }
    let mut args = lexopt::Parser::from_args(own);
    while let Some(arg) = args.next()? {
        match arg {
            Short('p') | Long("package") => options.packages.push(args.value()?.string()?),
            Long("disable") => options.disable = Some(args.value()?.string()?),
            Long("offline") => options.offline = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

/// Runs the tests as asked.
pub fn run(options: &Options) -> Result {
    setup::ensure(false)?;
    let cache = data::cache_dir()?;
    if !options.offline {
        data::fetch_minilm(&cache)?;
        data::fetch_tokenizers(&cache)?;
        data::fetch_video(&cache)?;
        data::fetch_films(&cache)?;
    }
    let workspace = workspace::load()?;
    let command = workspace.package("vljepa");
    if command.is_some_and(|package| package.has_target("bin", "vljepa")) {
        let vljepa = if options.packages.is_empty() { adapter::build_tests()? } else { adapter::build_command(false)? };
        adapter::report(&vljepa)?;
    }
    if let Some(list) = &options.disable {
        println!("disabled {list}");
    }

    let environment = |command: &mut Command| {
        command.env("VLJEPA_REQUIRE_GPU", "1");
        command.env("VLJEPA_CACHE", &cache);
        if !options.offline {
            command.env("VLJEPA_REQUIRE_DATA", "1");
        }
        if let Some(list) = &options.disable {
            command.env("VLJEPA_DISABLE", list);
        }
    };
    let has_nextest = process::succeeds(&mut workspace::cargo(&["nextest", "--version"]));
    let mut runner = runner(has_nextest, options);
    environment(&mut runner);
    process::run(&mut runner)?;
    if !options.runner_args.is_empty() {
        return Ok(());
    }

    let has_lib = |name: &&String| {
        workspace.package(name).is_none_or(|package| package.targets.iter().any(|(kind, _)| kind == "lib"))
    };
    let packages: Vec<String> = options.packages.iter().filter(has_lib).cloned().collect();
    if options.packages.is_empty() || !packages.is_empty() {
        let mut docs = workspace::cargo(&["test", "--doc"]);
        docs.args(selection(&packages)).args(["--", "--test-threads=2"]);
        environment(&mut docs);
        process::run(&mut docs)?;
    }
    // Selected over the whole workspace, so that dependencies keep the features, and the builds, that the tests had.
    let has_benches = workspace.packages.iter().any(|package| package.targets.iter().any(|(kind, _)| kind == "bench"));
    if options.packages.is_empty() && has_benches {
        let mut benches = workspace::cargo(&["test", "--workspace", "--bench", "*"]);
        environment(&mut benches);
        process::run(&mut benches)?;
    }
    Ok(())
}

fn selection(packages: &[String]) -> Vec<String> {
    if packages.is_empty() {
        return vec!["--workspace".to_owned()];
    }
    packages.iter().flat_map(|package| ["-p".to_owned(), package.clone()]).collect()
}

/// The command that runs the tests proper. Two at a time: a software adapter spreads each dispatch over every core.
fn runner(has_nextest: bool, options: &Options) -> Command {
    let mut command = if has_nextest {
        // Threads and time limits are in .config/nextest.toml.
        workspace::cargo(&["nextest", "run"])
    } else {
        workspace::cargo(&["test", "--lib", "--bins", "--tests", "--no-fail-fast"])
    };
    command.args(selection(&options.packages));
    command.args(&options.runner_args);
    if !has_nextest {
        command.env("RUST_TEST_THREADS", "2");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options> {
        parse(lexopt::Parser::from_args(args.iter().copied()))
    }

    #[test]
    fn options_are_ours_until_the_separator() {
        let options = parsed(&["-p", "vljepa-tensor", "--disable=f16,coop", "--", "-p", "x"]);
        assert_eq!(
            options.unwrap(),
            Options {
                packages: vec!["vljepa-tensor".into()],
                disable: Some("f16,coop".into()),
                offline: false,
                runner_args: vec!["-p".into(), "x".into()],
            }
        );
        assert!(parsed(&["matmul"]).is_err());
        assert_eq!(parsed(&[]).unwrap(), Options::default());
    }

    #[test]
    fn both_runners_get_the_packages_and_the_arguments() {
        let options = parsed(&["-p", "a", "--", "matmul"]).unwrap();
        let shown = |nextest| process::shown(&runner(nextest, &options));
        assert!(shown(true).ends_with("nextest run -p a matmul"));
        assert!(shown(false).ends_with("test --lib --bins --tests --no-fail-fast -p a matmul"));
        assert!(process::shown(&runner(true, &Options::default())).ends_with("--workspace"));
    }
}
