//! Builds the `emoji-vendors` set from the vendors' packages: the engine of `cargo xtask data`.

use std::path::PathBuf;
use std::process::ExitCode;

use vljepa_data::emoji::build::{Options, build};

const USAGE: &str = "usage: build-emoji-vendors --cache DIR [--out DIR] [--full DIR] [--quality 0..100] [--offline]
  --cache DIR     package archives; missing ones are fetched with `npm pack`
  --out DIR       writes the compact form (lossy sheets, freely licensed vendors only)
  --full DIR      writes the full form (lossless sheets, OpenMoji too: do not commit it)
  --quality N     WebP quality of the compact form (default 84)
  --offline       never start npm";

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { cache: PathBuf::new(), offline: false, compact: None, full: None, quality: 84.0 };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--cache" => options.cache = value()?.into(),
            "--out" => options.compact = Some(value()?.into()),
            "--full" => options.full = Some(value()?.into()),
            "--quality" => {
                let text = value()?;
                let quality = text.parse().ok().filter(|q: &f32| (0.0..=100.0).contains(q));
                options.quality = quality.ok_or_else(|| format!("--quality {text}: expected 0 to 100"))?;
            }
            "--offline" => options.offline = true,
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    if options.cache.as_os_str().is_empty() {
        return Err("--cache is missing".to_owned());
    }
    if options.compact.is_none() && options.full.is_none() {
        return Err("nothing to build: give --out, --full or both".to_owned());
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("error: {reason}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match build(&options, &mut |line| eprintln!("{line}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
