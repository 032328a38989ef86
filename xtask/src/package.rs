//! `package`: whether every library crate could be published.

use std::path::{Path, PathBuf};

use crate::process;
use crate::verb::{Result, Verb, failed};
use crate::workspace::{self, Package, Workspace};

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
then the examples that embed a crate in a program of its user, against the packaged crates too. Fails where a package is
over 10 MB, the registry's limit.

  --allow-dirty  also with changes that are not committed
";

/// The largest package that the registry takes, in bytes.
const LIMIT: u64 = 10_000_000;

/// Examples that show how to use a crate from outside of this repository; each is built from the packages.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("vljepa-tensor", &["own_kernel", "bring_your_own_device"]),
    ("vljepa-model", &["embed_model"]),
    ("vljepa-embed", &["embed_folder"]),
];

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
    // What was built from them would count as fresh, too: of packages from a registry cargo compares versions, not contents.
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
    examples(&workspace, &packages)?;
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

/// Builds [`EXAMPLES`] from the unpacked packages, in a workspace of their own beside them, so that no file of this
/// repository's crates is read. What `cargo package` compiled to verify them is used again.
fn examples(workspace: &Workspace, packages: &[&Package]) -> Result {
    for (package, names) in EXAMPLES {
        let there = |name: &&&str| workspace.package(package).is_some_and(|found| found.has_target("example", name));
        if let Some(name) = names.iter().find(|name| !there(name)) {
            return Err(failed(format!("{package} has no example `{name}`, which xtask/src/package.rs lists")));
        }
    }
    let folder = workspace.target.join("package");
    let manifest = folder.join("Cargo.toml");
    let put = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|e| failed(format!("cannot write {}: {e}", path.display())))
    };
    put(&manifest, &manifest_of(packages))?;
    // The same versions of everything else.
    let lock = std::fs::read_to_string(workspace::root().join("Cargo.lock"));
    put(&folder.join("Cargo.lock"), &lock.map_err(|e| failed(format!("cannot read Cargo.lock: {e}")))?)?;
    let built = EXAMPLES.iter().try_for_each(|(package, names)| {
        let mut command = workspace::cargo(&["build", "-p", package, "--manifest-path"]);
        command.arg(&manifest).arg("--target-dir").arg(&workspace.target);
        command.args(names.iter().flat_map(|name| ["--example", name]));
        process::run(&mut command)
    });
    // Left there, it would be the workspace of a package that is built by hand.
    let removed = std::fs::remove_file(&manifest);
    built.and(removed.map_err(|e| failed(format!("cannot remove {}: {e}", manifest.display()))))
}

/// The manifest of a workspace of the packages, with each patched in for the registry's package of its name.
fn manifest_of(packages: &[&Package]) -> String {
    let folder = |package: &Package| format!("{}-{}", package.name, package.version);
    let members: Vec<String> = packages.iter().map(|package| format!("    {:?},\n", folder(package))).collect();
    let patches: Vec<String> =
        packages.iter().map(|package| format!("{} = {{ path = {:?} }}\n", package.name, folder(package))).collect();
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\n{}]\n\n[patch.crates-io]\n{}",
        members.concat(),
        patches.concat()
    )
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
        // Cargo refuses cycles, so one is always ready.
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
        let at = |name| names.iter().position(|n| *n == name);
        for (below, above) in [
            ("vljepa-shaders", "vljepa-tensor"),
            ("vljepa-tensor", "vljepa-model"),
            ("vljepa-model", "vljepa-embed"),
            ("vljepa-data", "vljepa-embed"),
            ("vljepa-embed", "vljepa-train"),
            ("vljepa-train", "vljepa"),
        ] {
            // A crate that is not there yet comes before and after nothing.
            if let (Some(lower), Some(upper)) = (at(below), at(above)) {
                assert!(lower < upper, "{below} before {above} in {names:?}");
            }
        }
        assert!(at("vljepa-tensor") < at("vljepa-train") && at("vljepa-data").is_some());
        assert!(!names.contains(&"xtask") && !names.contains(&"vljepa-benches"));
    }

    #[test]
    fn examples_are_built_from_the_packages() {
        let workspace = workspace::load().unwrap();
        let packages = in_order(&workspace.packages);
        let manifest = manifest_of(&packages);
        assert!(manifest.contains("members = [\n    \"vljepa"), "{manifest}");
        let tensor = workspace.package("vljepa-tensor").unwrap();
        let line = format!("vljepa-tensor = {{ path = \"vljepa-tensor-{}\" }}\n", tensor.version);
        assert!(manifest.contains(&line), "{manifest}");
        let (_, names) = EXAMPLES.iter().find(|(package, _)| *package == "vljepa-tensor").unwrap();
        names.iter().for_each(|name| assert!(tensor.has_target("example", name), "{name}"));
    }
}
