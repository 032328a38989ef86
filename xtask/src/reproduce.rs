//! `reproduce`: measures at length and writes a report.

use std::process::Command;

use crate::verb::{Failure, Result, Verb, failed};
use crate::{adapter, process, setup, workspace};

/// The verb.
pub const VERB: Verb =
    Verb { name: "reproduce", about: "Measure something at length and write a report of it.", help: HELP, run: main };

const HELP: &str = "\
Usage: cargo xtask reproduce REPORT

Makes sure of a Vulkan driver, builds `vljepa` with optimisation, measures, and writes target/reproduce/REPORT.html and REPORT.json.

  selective    how few sentences tell a stream as well as many; about ten minutes on two cores
";

fn main(mut args: lexopt::Parser) -> Result {
    use lexopt::prelude::*;
    let name = match args.next()? {
        Some(Value(value)) => value.string()?,
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(Failure::Usage("name a report: selective".into())),
    };
    if let Some(other) = args.next()? {
        return Err(other.unexpected().into());
    }
    let suite = match name.as_str() {
        "selective" => ["eval", "selective"],
        other => return Err(Failure::Usage(format!("there is no report `{other}`; there is: selective"))),
    };
    setup::ensure(false)?;
    let vljepa = adapter::build_command(true)?;
    adapter::report(&vljepa)?;
    let out = workspace::load()?.target.join("reproduce");
    std::fs::create_dir_all(&out).map_err(|e| failed(format!("cannot create {}: {e}", out.display())))?;
    let (page, json) = (out.join(format!("{name}.html")), out.join(format!("{name}.json")));
    // What is there stays until the new one is whole.
    let part = out.join(format!("{name}.json.part"));
    let file = std::fs::File::create(&part).map_err(|e| failed(format!("cannot create {}: {e}", part.display())))?;
    let mut measure = Command::new(vljepa);
    measure.args(suite).arg("--json").arg("--html").arg(&page).stdout(file);
    match process::status(&mut measure)? {
        0 => {
            std::fs::rename(&part, &json).map_err(|e| failed(format!("cannot write {}: {e}", json.display())))?;
            println!("{}\n{}", page.display(), json.display());
            Ok(())
        }
        code => Err(Failure::Exit(code)),
    }
}
