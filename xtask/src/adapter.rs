//! The adapters that `vljepa` itself finds: a driver that is installed may still not work.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::verb::{Result, failed};
use crate::{process, setup, workspace};

/// Builds the `vljepa` command (progress on stderr) and gives its path.
pub fn build_command(release: bool) -> Result<PathBuf> {
    let mut command = workspace::cargo(&["build", "-p", "vljepa", "--bin", "vljepa"]);
    if release {
        command.arg("--release");
    }
    process::run(&mut command)?;
    let profile = if release { "release" } else { "debug" };
    let file = format!("vljepa{}", std::env::consts::EXE_SUFFIX);
    Ok(workspace::load()?.target.join(profile).join(file))
}

/// Builds everything that the tests build, which includes the command, and gives the command's path. A build of the
/// command alone would choose other features of its dependencies and compile those a second time.
pub fn build_tests() -> Result<PathBuf> {
    process::run(&mut workspace::cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--no-run"]))?;
    let file = format!("vljepa{}", std::env::consts::EXE_SUFFIX);
    Ok(workspace::load()?.target.join("debug").join(file))
}

/// Prints the adapters that `vljepa` sees. Where it sees none, installs the software driver and looks once more.
pub fn report(vljepa: &Path) -> Result {
    let mut adapters = seen_by(vljepa);
    if adapters.as_ref().is_ok_and(Vec::is_empty) && cfg!(target_os = "linux") {
        setup::install_software_driver()?;
        adapters = seen_by(vljepa);
    }
    let adapters = adapters?;
    if adapters.is_empty() {
        return Err(failed(
            "there is no GPU adapter: a driver is installed, but `vljepa info` finds nothing that works",
        ));
    }
    for adapter in &adapters {
        println!("adapter  {adapter}");
    }
    Ok(())
}

/// One line per adapter; none when `vljepa` itself says that there is none.
pub fn seen_by(vljepa: &Path) -> Result<Vec<String>> {
    let text = process::output(Command::new(vljepa).args(["info", "--json"]))?;
    let value =
        serde_json::from_str(&text).map_err(|e| failed(format!("`vljepa info --json` printed no JSON: {e}")))?;
    Ok(describe(&value))
}

fn describe(info: &Value) -> Vec<String> {
    let adapters = info["adapters"].as_array();
    adapters
        .into_iter()
        .flatten()
        .map(|adapter| {
            let text = |key: &str| adapter[key].as_str().filter(|text| !text.is_empty());
            let name = text("name").unwrap_or("unnamed");
            let more: Vec<&str> = ["backend", "kind", "device_type"].iter().filter_map(|key| text(key)).collect();
            if more.is_empty() { name.to_owned() } else { format!("{name} ({})", more.join(", ")) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_are_described_by_what_is_known_of_them() {
        let info = serde_json::json!({"adapters": [
            {"name": "llvmpipe (LLVM 15.0.6, 256 bits)", "backend": "vulkan", "device_type": "cpu"},
            {"name": "other"},
        ]});
        assert_eq!(describe(&info), ["llvmpipe (LLVM 15.0.6, 256 bits) (vulkan, cpu)", "other"]);
        assert!(describe(&serde_json::json!({"adapters": []})).is_empty());
        assert!(describe(&serde_json::json!({})).is_empty());
    }
}
