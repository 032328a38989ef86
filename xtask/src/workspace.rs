//! Where the workspace is and what is in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process;
use crate::verb::{Result, failed};

/// The root of the workspace: the parent of this package's folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// A cargo command that runs in the root of the workspace.
pub fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// A dependency as a package's manifest states it.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The name of the package depended on.
    pub name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub kind: Option<String>,
}

/// A package of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Whether it may be published.
    pub publishable: bool,
    /// What it depends on.
    pub dependencies: Vec<Dependency>,
    /// Its targets: kind (`lib`, `bin`, `bench`, `example`, …) and name.
    pub targets: Vec<(String, String)>,
}

/// What `cargo metadata` says of the workspace, without its dependencies.
#[derive(Debug)]
pub struct Workspace {
    /// The packages, in order of name.
    pub packages: Vec<Package>,
    /// The target directory.
    pub target: PathBuf,
}

/// Reads the manifests of the workspace; needs no network.
pub fn load() -> Result<Workspace> {
    let text = process::output(&mut cargo(&["metadata", "--no-deps", "--offline", "--format-version=1"]))?;
    parse(&text).ok_or_else(|| failed("`cargo metadata` printed something unexpected"))
}

fn parse(metadata: &str) -> Option<Workspace> {
    let value: Value = serde_json::from_str(metadata).ok()?;
    let mut packages = value["packages"].as_array()?.iter().map(package).collect::<Option<Vec<_>>>()?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Some(Workspace { packages, target: PathBuf::from(value["target_directory"].as_str()?) })
}

fn package(value: &Value) -> Option<Package> {
    let dependencies = value["dependencies"].as_array()?.iter().map(|dep| {
        Some(Dependency { name: dep["name"].as_str()?.to_owned(), kind: dep["kind"].as_str().map(str::to_owned) })
    });
    let targets = value["targets"].as_array()?.iter().map(|target| {
        let kind = target["kind"].as_array()?.first()?.as_str()?;
        Some((kind.to_owned(), target["name"].as_str()?.to_owned()))
    });
    Some(Package {
        name: value["name"].as_str()?.to_owned(),
        version: value["version"].as_str()?.to_owned(),
        dir: Path::new(value["manifest_path"].as_str()?).parent()?.to_path_buf(),
        // `publish = false` is an empty list of registries; no `publish` key is null.
        publishable: value["publish"].as_array().is_none_or(|to| !to.is_empty()),
        dependencies: dependencies.collect::<Option<_>>()?,
        targets: targets.collect::<Option<_>>()?,
    })
}

impl Workspace {
    /// The package of that name.
    pub fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

impl Package {
    /// Whether it has a target of this kind and name.
    pub fn has_target(&self, kind: &str, name: &str) -> bool {
        self.targets.iter().any(|(k, n)| k == kind && n == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_read() {
        let workspace = load().unwrap();
        let xtask = workspace.package("xtask").unwrap();
        assert!(!xtask.publishable);
        assert!(xtask.has_target("bin", "xtask"));
        assert!(xtask.dependencies.iter().any(|dep| dep.name == "lexopt"));
        assert!(workspace.package("vljepa-tensor").unwrap().publishable);
        assert_eq!(xtask.dir, root().join("xtask"));
    }

    #[test]
    fn the_driver_stays_quick_to_build() {
        let workspace = load().unwrap();
        for dep in &workspace.package("xtask").unwrap().dependencies {
            assert!(
                !["wgpu", "naga"].contains(&dep.name.as_str()) && !dep.name.starts_with("vljepa"),
                "xtask must not depend on {}",
                dep.name
            );
        }
    }

    #[test]
    fn odd_metadata_is_refused() {
        assert!(parse("").is_none());
        assert!(parse("{}").is_none());
        assert!(parse(r#"{"packages":[{"name":1}],"target_directory":"t"}"#).is_none());
    }
}
