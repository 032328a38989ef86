//! `bench`: the benches, with the machine they ran on beside the numbers.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::verb::{Result, Verb, failed};
use crate::{adapter, process, setup, workspace};

/// The verb.
pub const VERB: Verb =
    Verb { name: "bench", about: "Run the benches, or other runtimes on the same shapes.", help: HELP, run: main };

const HELP: &str = "\
Usage: cargo xtask bench [--peers] [-- ARGS]

Runs the criterion benches of vljepa-benches and writes target/criterion/machine.json beside their numbers: adapter,
processor, commit, compiler, date and arguments.

  --peers  run benches/peers instead: other runtimes on the same adapter and shapes, one table with ratios
  ARGS     go to `cargo bench`, or to the peers' program, for example: -- --bench matmul -- vitl_qkv
";

fn main(mut args: lexopt::Parser) -> Result {
    use lexopt::prelude::*;
    let mut own: Vec<OsString> = args.raw_args()?.collect();
    let mut passed = Vec::new();
    if let Some(at) = own.iter().position(|arg| arg == "--") {
        passed = own.split_off(at + 1);
        own.pop();
    }
    let mut peers = false;
    let mut args = lexopt::Parser::from_args(own);
    while let Some(arg) = args.next()? {
        match arg {
            Long("peers") => peers = true,
            other => return Err(other.unexpected().into()),
        }
    }
    setup::ensure(false)?;
    if peers {
        let mut command = workspace::cargo(&["run", "--release"]);
        command.args(["--manifest-path", "benches/peers/Cargo.toml", "--"]);
        return process::run(command.args(passed));
    }
    let vljepa = adapter::build_command(true)?;
    let adapters = adapter::seen_by(&vljepa)?;
    let mut command = workspace::cargo(&["bench", "-p", "vljepa-benches"]);
    process::run(command.args(&passed))?;
    write_machine(&adapters, &passed)
}

fn write_machine(adapters: &[String], args: &[OsString]) -> Result {
    let dir = workspace::load()?.target.join("criterion");
    let file = dir.join("machine.json");
    let text = format!("{:#}\n", machine(adapters, args));
    std::fs::create_dir_all(&dir)
        .and_then(|()| std::fs::write(&file, text))
        .map_err(|e| failed(format!("cannot write {}: {e}", file.display())))?;
    println!("machine  {}", file.display());
    Ok(())
}

/// What the numbers depend on besides our code's speed.
fn machine(adapters: &[String], args: &[OsString]) -> Value {
    let root = workspace::root();
    let line = |command: &mut Command| {
        let text = process::output(command.current_dir(&root)).ok()?;
        Some(text.trim().to_owned())
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    json!({
        "adapters": adapters,
        "processor": processor(Path::new("/proc/cpuinfo")),
        "cores": std::thread::available_parallelism().map(usize::from).ok(),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "commit": line(Command::new("git").args(["rev-parse", "HEAD"])),
        "uncommitted_changes": line(Command::new("git").args(["status", "--porcelain"]))
            .map(|changes| !changes.is_empty()),
        "compiler": line(Command::new("rustc").arg("--version")),
        "unix_time": now.map(|since| since.as_secs()).ok(),
        "arguments": args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>(),
    })
}

fn processor(cpuinfo: &Path) -> Option<String> {
    let text = std::fs::read_to_string(cpuinfo).ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        let machine = machine(&["llvmpipe".to_owned()], &["--bench".into(), "matmul".into()]);
        assert_eq!(machine["adapters"][0], "llvmpipe");
        assert_eq!(machine["arguments"][1], "matmul");
        assert!(machine["cores"].as_u64().unwrap() >= 1);
        assert!(machine["unix_time"].as_u64().unwrap() > 1_700_000_000);
    }

    #[test]
    fn the_processor_is_read_from_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cpuinfo");
        std::fs::write(&file, "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n").unwrap();
        assert_eq!(processor(&file).unwrap(), "Some CPU @ 2 GHz");
        assert_eq!(processor(&dir.path().join("none")), None);
    }
}
