//! `shaders`: every permutation through every back end, without a GPU.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::verb::{Failure, Result, Verb, failed};
use crate::{process, workspace};

/// The verb.
pub const VERB: Verb = Verb {
    name: "shaders",
    about: "Validate and lower every shader permutation, or print one expanded.",
    help: HELP,
    run: main,
};

const HELP: &str = "\
Usage: cargo xtask shaders [--dump NAME]

Runs the tests of vljepa-shaders (every permutation parses, validates and lowers to SPIR-V, MSL and HLSL), then gives
the expanded text of each to the command-line tools `naga` and `tint` where they are on the PATH.

  --dump NAME  only print the expanded WGSL of this permutation, for example matmul_tile
";

fn main(mut args: lexopt::Parser) -> Result {
    use lexopt::prelude::*;
    let mut dump = None;
    while let Some(arg) = args.next()? {
        match arg {
            Long("dump") => dump = Some(args.value()?.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    run(dump.as_deref())
}

/// Prints one permutation, or checks them all.
pub fn run(dump: Option<&str>) -> Result {
    if let Some(name) = dump {
        let mut command = workspace::cargo(&["run", "--quiet", "-p", "vljepa-shaders", "--example", "dump", "--"]);
        // Only the text goes to stdout; the program itself says what is wrong with a name.
        return match process::quiet_status(command.arg(name))? {
            0 => Ok(()),
            code => Err(Failure::Exit(code)),
        };
    }
    process::run(&mut workspace::cargo(&["test", "-p", "vljepa-shaders"]))?;
    let target = workspace::load()?.target.join("shaders");
    for tool in [&NAGA, &TINT] {
        if process::on_path(tool.name).is_none() {
            println!("{:<5} is not on the PATH: left out", tool.name);
            continue;
        }
        let dir = target.join(tool.name);
        write_permutations(&dir, tool.target)?;
        check_with(tool, &dir)?;
    }
    Ok(())
}

/// A program that checks a WGSL file.
struct Tool {
    name: &'static str,
    /// The target that the text is expanded for.
    target: &'static str,
    args: &'static [&'static str],
}

const NAGA: Tool = Tool { name: "naga", target: "native", args: &[] };
const TINT: Tool = Tool { name: "tint", target: "web", args: &["--format", "wgsl"] };

fn write_permutations(dir: &Path, target: &str) -> Result {
    if dir.exists() {
        // A kernel that is gone must not be checked again.
        fs::remove_dir_all(dir).map_err(|e| failed(format!("cannot remove {}: {e}", dir.display())))?;
    }
    let mut dump = workspace::cargo(&["run", "--quiet", "-p", "vljepa-shaders", "--example", "dump", "--"]);
    process::output(dump.args(["--target", target, "--all"]).arg(dir)).map(drop)
}

fn check_with(tool: &Tool, dir: &Path) -> Result {
    let entries = fs::read_dir(dir).map_err(|e| failed(format!("cannot read {}: {e}", dir.display())))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    if files.is_empty() {
        return Err(failed(format!("no permutation was written to {}", dir.display())));
    }
    let mut refused = Vec::new();
    for file in &files {
        let out = Command::new(tool.name)
            .args(tool.args)
            .arg(file)
            .output()
            .map_err(|e| failed(format!("cannot run `{}`: {e}", tool.name)))?;
        if !out.status.success() {
            eprint!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
            refused.push(file.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    println!("{:<5} {} of {} permutations pass", tool.name, files.len() - refused.len(), files.len());
    if refused.is_empty() {
        return Ok(());
    }
    Err(failed(format!("{} refuses {}", tool.name, refused.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_permutation_at_all_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_with(&NAGA, dir.path()).is_err());
        assert!(check_with(&NAGA, &dir.path().join("gone")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_refused_permutation_is_named() {
        // `grep` stands for a checker: it succeeds on files that hold the word.
        const CHECKER: Tool = Tool { name: "grep", target: "native", args: &["-q", "fine"] };
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.wgsl"), "fine").unwrap();
        assert!(check_with(&CHECKER, dir.path()).is_ok());
        fs::write(dir.path().join("b-f16.wgsl"), "wrong").unwrap();
        let Err(Failure::Failed(message)) = check_with(&CHECKER, dir.path()) else { panic!("it passed") };
        assert_eq!(message, "grep refuses b-f16");
    }
}
