//! The build driver: `cargo xtask VERB`. One file per verb; `README.md` lists them.

mod adapter;
mod adapters;
mod bench;
mod check;
mod ci;
mod data;
mod demo;
mod fuzz;
mod package;
mod process;
mod reproduce;
mod setup;
mod shaders;
mod test;
mod tidy;
mod verb;
mod vulkan;
mod wasm;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use verb::{Failure, Result, Verb};

const VERBS: &[Verb] = &[
    demo::VERB,
    test::VERB,
    setup::VERB,
    data::VERB,
    check::VERB,
    tidy::VERB,
    shaders::VERB,
    wasm::VERB,
    bench::VERB,
    reproduce::VERB,
    fuzz::VERB,
    package::VERB,
    adapters::VERB,
    ci::VERB,
];

const HINT: &str = "`cargo xtask --help` lists the verbs";

fn usage() -> String {
    let mut text = String::from("Usage: cargo xtask VERB [OPTIONS]\n\nVerbs:\n");
    for verb in VERBS {
        text.push_str(&format!("  {:<9} {}\n", verb.name, verb.about));
    }
    text.push_str("\n`cargo xtask VERB --help` says more about one.\n");
    text
}

/// Whether help is asked for, in the arguments that are ours (those before `--`).
fn wants_help(args: &[OsString]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "-h" || arg == "--help")
}

fn dispatch(args: Vec<OsString>) -> Result {
    let Some(first) = args.first() else {
        return Err(Failure::Usage(format!("a verb is missing; {HINT}")));
    };
    let name = first.to_string_lossy();
    if matches!(name.as_ref(), "-h" | "--help" | "help") {
        print!("{}", usage());
        return Ok(());
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        return Err(Failure::Usage(format!("there is no verb `{name}`; {HINT}")));
    };
    let rest = &args[1..];
    if wants_help(rest) {
        println!("{}\n\n{}", verb.about, verb.help.trim_end());
        return Ok(());
    }
    (verb.run)(lexopt::Parser::from_args(rest.iter().cloned())).map_err(|failure| match failure {
        Failure::Usage(message) => {
            let usage = verb.help.lines().next().unwrap_or_default();
            Failure::Usage(format!("{message}\n{usage}"))
        }
        other => other,
    })
}

fn main() -> ExitCode {
    match dispatch(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(1)
        }
        Err(Failure::Exit(code)) => ExitCode::from(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result {
        dispatch(args.iter().map(OsString::from).collect())
    }

    #[test]
    fn bad_usage_is_told_apart_from_failure() {
        for args in [
            &[][..],
            &["no-such-verb"],
            &["setup", "--no-such-option"],
            &["test", "stray"],
            &["test", "--disable"],
            &["data", "--only", "no-such-set"],
            &["check", "stray"],
            &["fuzz", "stray"],
        ] {
            assert!(matches!(run(args), Err(Failure::Usage(_))), "`xtask {}` was not refused", args.join(" "));
        }
    }

    #[test]
    fn every_verb_has_help_and_a_name_of_its_own() {
        for (i, verb) in VERBS.iter().enumerate() {
            assert!(run(&[verb.name, "--help"]).is_ok());
            assert!(verb.help.starts_with("Usage: cargo xtask "), "{}", verb.name);
            assert!(VERBS[..i].iter().all(|other| other.name != verb.name));
        }
    }

    #[test]
    fn help_after_the_separator_belongs_to_the_runner() {
        let args: Vec<OsString> = ["--", "--help"].iter().map(OsString::from).collect();
        assert!(!wants_help(&args));
    }
}
