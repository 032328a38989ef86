//! Prints or writes the expanded WGSL of permutations: `dump NAME`, `dump --all DIR`, `dump --list`.
//! `--target web` writes what a browser and `tint` read; the default is what naga reads.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use vljepa_shaders::{Target, kernels};

const USAGE: &str = "usage: dump [--target native|web] (NAME | --all DIR | --list)";

fn permutations(target: Target) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut all = Vec::new();
    for kernel in kernels::all() {
        for (name, elem, consts) in kernel.permutations() {
            let text = kernel.source(elem, consts, target).map_err(|e| format!("{name}: {e}"))?;
            all.push((name, text));
        }
    }
    Ok(all)
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut target = Target::Native;
    if args.first().is_some_and(|arg| arg == "--target") {
        target = match args.get(1).map(String::as_str) {
            Some("native") => Target::Native,
            Some("web") => Target::Web,
            _ => return Err(USAGE.into()),
        };
        args.drain(..2);
    }
    let all = permutations(target)?;
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => all.iter().for_each(|(name, _)| println!("{name}")),
        ["--all", dir] => {
            std::fs::create_dir_all(dir)?;
            for (name, text) in &all {
                std::fs::write(Path::new(dir).join(format!("{name}.wgsl")), text)?;
            }
        }
        [name] if !name.starts_with('-') => match all.iter().find(|(n, _)| n == name) {
            Some((_, text)) => print!("{text}"),
            None => {
                let known = all.iter().map(|(n, _)| n.as_str()).filter(|n| n.starts_with(name));
                let known: Vec<&str> = known.collect();
                let hint = if known.is_empty() { "`--list` lists them".to_owned() } else { known.join(", ") };
                return Err(format!("there is no permutation `{name}`; {hint}").into());
            }
        },
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
