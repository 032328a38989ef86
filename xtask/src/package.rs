//! `package`: whether every library crate could be published.

use std::path::{Path, PathBuf};

use crate::workspace::{self, Package};
use crate::{Result, Verb, failed, process};

/// The verb.
pub const VERB: Verb = Verb {
    name: "package",
    about: "Package every publishable crate and build it from its package.",
    help: HELP,
    run: main,
};

const HELP: &str = "\
Usage: cargo xtask package [--allow-dirty]

Runs `cargo package` over the publishable crates in order of dependency, builds each from what would be uploaded, and
fails where a package is over 10 MB, the registry's limit.

  --allow-dirty  also with changes that are not committed
";

/// The largest package that the registry takes, in bytes.
const LIMIT: u64 = 10_000_000;

fn main(mut args: lexopt::Parser) -> Result {
    use lexopt::prelude::*;
    let mut allow_dirty = false;
    while let Some(arg) = args.next()? {
        match arg {
            Long("allow-dirty") => allow_dirty = true,
            other => return Err(other.unexpected().into()),
        }
    }
    run(allow_dirty)
}

/// Removes what cargo keeps of packages of an earlier run: their versions are the same, so it would build those again
/// instead of the fresh ones. Registries without a host, which these come from, have folders that begin with a dash.
fn forget_earlier(packages: &[&Package], target: &Path) -> Result {
    // What was built from them counts as fresh too: cargo looks at versions, not at contents, of what is no path.
    for entry in std::fs::read_dir(target.join("debug/.fingerprint")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours =
            |p: &&Package| name.to_string_lossy().strip_prefix(&p.name).is_some_and(|rest| rest.starts_with('-'));
        if packages.iter().any(ours) {
            let fault = |e| failed(format!("{}: cannot be removed: {e}", entry.path().display()));
            std::fs::remove_dir_all(entry.path()).map_err(fault)?;
        }
    }
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"))?;
        Some(Path::new(&home).join(".cargo"))
    });
    let Some(home) = home else { return Ok(()) };
    for kind in ["src", "cache"] {
        let Ok(registries) = std::fs::read_dir(home.join("registry").join(kind)) else { continue };
        for registry in registries.flatten().filter(|r| r.file_name().to_string_lossy().starts_with('-')) {
            for package in packages {
                let name = format!("{}-{}", package.name, package.version);
                let (folder, file) = (registry.path().join(&name), registry.path().join(format!("{name}.crate")));
                let fault = |e| failed(format!("{}: cannot be removed: {e}", folder.display()));
                if folder.is_dir() {
                    std::fs::remove_dir_all(&folder).map_err(fault)?;
                }
                if file.is_file() {
                    std::fs::remove_file(&file).map_err(fault)?;
                }
            }
        }
    }
    Ok(())
}

/// Packages and checks them all.
pub fn run(allow_dirty: bool) -> Result {
    let workspace = workspace::load()?;
    let packages = in_order(&workspace.packages);
    forget_earlier(&packages, &workspace.target)?;
    // One run for all: cargo then resolves each to the fresh packages of the others, not to published ones.
    let mut command = workspace::cargo(&["package"]);
    for package in &packages {
        command.args(["-p", &package.name]);
    }
    if allow_dirty {
        command.arg("--allow-dirty");
    }
    process::run(&mut command)?;
    let mut over = Vec::new();
    for package in packages {
        let name = format!("{}-{}.crate", package.name, package.version);
        let size = size(&workspace.target.join("package").join(&name))?;
        println!("{:>6.2} MB  {name}", size as f64 / 1e6);
        if size > LIMIT {
            over.push(name);
        }
    }
    if over.is_empty() {
        return Ok(());
    }
    Err(failed(format!("over the registry's limit of {} MB: {}", LIMIT / 1_000_000, over.join(", "))))
}

fn size(file: &Path) -> Result<u64> {
    file.metadata().map(|meta| meta.len()).map_err(|e| failed(format!("cannot read {}: {e}", file.display())))
}

/// The publishable packages, each after those that it depends on.
fn in_order(packages: &[Package]) -> Vec<&Package> {
    let mut left: Vec<&Package> = packages.iter().filter(|p| p.publishable).collect();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let waits = |package: &&Package| {
            package
                .dependencies
                .iter()
                .any(|dep| dep.kind.is_none() && left.iter().any(|p| p.name == dep.name && p.name != package.name))
        };
        // Cargo refuses cycles, so something is always ready; the first stands in if it were not.
        let at = left.iter().position(|p| !waits(p)).unwrap_or(0);
        ordered.push(left.remove(at));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_comes_after_what_it_depends_on() {
        let workspace = workspace::load().unwrap();
        let names: Vec<&str> = in_order(&workspace.packages).iter().map(|package| package.name.as_str()).collect();
        let at = |name| names.iter().position(|n| *n == name).unwrap();
        assert!(at("vljepa-shaders") < at("vljepa-tensor"));
        assert!(at("vljepa-tensor") < at("vljepa-model"));
        assert!(at("vljepa-model") < at("vljepa-train"));
        assert!(at("vljepa-data") < at("vljepa-train"));
        assert!(at("vljepa-train") < at("vljepa"));
        assert!(!names.contains(&"xtask") && !names.contains(&"vljepa-benches"));
    }
}
