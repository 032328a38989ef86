//! Rules for files together: packages, dependencies, shaders, operators, size.

use std::path::Path;

use super::report::{Allowed, Finding, Report, Tree};
use super::{floors, scan, words};
use crate::workspace::{self, Package, Workspace};

/// What committed binaries may weigh together, in bytes.
const BINARY_BYTES: u64 = 48_000_000;

/// Which of our packages each package may depend on: the graph of the architecture.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("vljepa-shaders", &[]),
    ("vljepa-tensor", &["vljepa-shaders"]),
    ("vljepa-model", &["vljepa-tensor", "vljepa-shaders"]),
    ("vljepa-data", &[]),
    ("vljepa-worlds", &[]),
    ("vljepa-embed", &["vljepa-model", "vljepa-tensor", "vljepa-shaders", "vljepa-data"]),
    (
        "vljepa-train",
        &["vljepa-embed", "vljepa-model", "vljepa-tensor", "vljepa-shaders", "vljepa-data", "vljepa-worlds"],
    ),
    (
        "vljepa",
        &[
            "vljepa-train",
            "vljepa-embed",
            "vljepa-model",
            "vljepa-tensor",
            "vljepa-shaders",
            "vljepa-data",
            "vljepa-worlds",
        ],
    ),
    (
        "vljepa-benches",
        &[
            "vljepa",
            "vljepa-train",
            "vljepa-embed",
            "vljepa-model",
            "vljepa-tensor",
            "vljepa-shaders",
            "vljepa-data",
            "vljepa-worlds",
        ],
    ),
    ("vljepa-fuzz", &["vljepa", "vljepa-train", "vljepa-embed", "vljepa-model", "vljepa-data", "vljepa-worlds"]),
    ("xtask", &[]),
];

/// Crates of one concern, and the packages that may name them.
const OWNED: &[(&[&str], &[&str])] = &[
    (&["vljepa-tensor"], &["wgpu", "wgpu-core", "wgpu-hal", "wgpu-types"]),
    // PyTorch checkpoints are zip archives.
    (&["vljepa-data", "vljepa-model"], &["zip"]),
    (
        &["vljepa-data"],
        &[
            "ffmpeg-next",
            "flate2",
            "gif",
            "image",
            "image-webp",
            "jpeg-decoder",
            "matroska",
            "mp4",
            "openh264",
            "png",
            "re_mp4",
            "resvg",
            "tar",
            "tiny-skia",
            "usvg",
            "webp",
            "zune-jpeg",
        ],
    ),
];

/// Applies every rule.
pub fn check(tree: &Tree, workspace: &Workspace, allowed: &Allowed, report: &mut Report) {
    let root = workspace::root();
    for package in &workspace.packages {
        let dir = relative(&package.dir, &root);
        readme(tree, &dir, report);
        dependencies(package, &dir, report);
        if package.publishable {
            report.failures.extend(words::check(&dir, tree.texts.iter(), allowed));
        }
    }
    let packages: Vec<String> = workspace.packages.iter().map(|package| relative(&package.dir, &root)).collect();
    floors::check(tree, &packages, report);
    names_of_wgpu(tree, report);
    binaries(tree, report);
    shaders(tree, report);
    operators(tree, allowed, report);
}

fn relative(dir: &Path, root: &Path) -> String {
    dir.strip_prefix(root).unwrap_or(dir).to_string_lossy().replace('\\', "/")
}

fn readme(tree: &Tree, dir: &str, report: &mut Report) {
    let path = format!("{dir}/README.md");
    if tree.texts.get(&path).is_none_or(|text| text.trim().is_empty()) {
        report.failures.push(Finding::new(
            &path,
            0,
            "every package has a README: what it is for, what it must not know, a file map",
        ));
    }
}

fn dependencies(package: &Package, dir: &str, report: &mut Report) {
    let manifest = format!("{dir}/Cargo.toml");
    let mut fail = |message: String| report.failures.push(Finding::new(&manifest, 0, message));
    let Some((_, may)) = MAY_DEPEND_ON.iter().find(|(name, _)| *name == package.name) else {
        fail(format!("{} is not in the dependency graph of xtask/src/tidy/tree.rs", package.name));
        return;
    };
    for dep in &package.dependencies {
        let ours = MAY_DEPEND_ON.iter().any(|(name, _)| *name == dep.name);
        // A package's own tests may name it by a dev-dependency on itself, to turn a feature on.
        if ours && !may.contains(&dep.name.as_str()) && dep.name != package.name {
            fail(format!("{} must not depend on {}: dependencies go one way", package.name, dep.name));
        }
        for (owners, crates) in OWNED {
            if crates.contains(&dep.name.as_str()) && !owners.contains(&package.name.as_str()) {
                fail(format!("only {} names {}", owners.join(" and "), dep.name));
            }
        }
    }
}

fn names_of_wgpu(tree: &Tree, report: &mut Report) {
    for (path, text) in &tree.texts {
        // The peers are other runtimes on wgpu, in a workspace of their own.
        let exempt = path.starts_with("crates/tensor/") || path.starts_with("benches/peers/");
        if !path.ends_with(".rs") || exempt {
            continue;
        }
        for line in scan::lines_with_word(&scan::blank(text), "wgpu") {
            report.failures.push(Finding::new(path, line, "only crates/tensor names wgpu"));
        }
    }
}

fn binaries(tree: &Tree, report: &mut Report) {
    let total: u64 = tree.binaries.values().sum();
    if total <= BINARY_BYTES {
        return;
    }
    if let Some((path, size)) = tree.binaries.iter().max_by_key(|(_, size)| **size) {
        let message = format!(
            "binaries weigh {} MB together, and {} MB is the limit; this one, the largest, weighs {} MB",
            total / 1_000_000,
            BINARY_BYTES / 1_000_000,
            size / 1_000_000
        );
        report.failures.push(Finding::new(path, 0, message));
    }
}

/// Includes resolve, and every file of a family is in the kernel table or included by one that is.
fn shaders(tree: &Tree, report: &mut Report) {
    let files = || tree.texts.iter().filter(|(path, _)| path.starts_with("shaders/") && path.ends_with(".wgsl"));
    let mut included = Vec::new();
    for (path, text) in files() {
        for (i, line) in text.lines().enumerate() {
            let Some(name) = line.trim().strip_prefix("//#include") else { continue };
            let file = format!("shaders/{}", name.trim().trim_matches('"'));
            if !tree.texts.contains_key(&file) {
                report.failures.push(Finding::new(path, i + 1, format!("there is no file {file} to include")));
            }
            included.push(file);
        }
    }
    let table: Vec<&String> = tree
        .texts
        .iter()
        .filter(|(path, _)| path.starts_with("shaders/src/") && path.ends_with(".rs"))
        .map(|(_, text)| text)
        .collect();
    for (path, _) in files() {
        let name = path.trim_start_matches("shaders/");
        // Preludes are put in front of kernels by element type, not by name.
        if name.starts_with("prelude/") || included.contains(path) {
            continue;
        }
        let quoted = format!("\"{name}\"");
        if !table.iter().any(|text| text.contains(&quoted)) {
            report.failures.push(Finding::new(
                path,
                0,
                "neither in the kernel table (shaders/src/kernels) nor included",
            ));
        }
    }
}

/// One op is four things of one name: kernel (the table's business), host half, CPU twin, test. Families share files, so
/// names may be those of files or of functions: each file of ops has a twin and a test, and a function that no test names
/// is a warning, since it may be a short form of one that is tested.
fn operators(tree: &Tree, allowed: &Allowed, report: &mut Report) {
    const OPS: &str = "crates/tensor/src/ops/";
    let below = |folder: &'static str| tree.texts.iter().filter(move |(path, _)| path.starts_with(folder));
    let twins: Vec<String> =
        below("crates/tensor/src/reference/").flat_map(|(_, text)| functions(text, false)).collect();
    let tests: Vec<String> = below("crates/tensor/tests/").map(|(_, text)| scan::blank(text)).collect();
    for (path, text) in below(OPS) {
        let ops = functions(text, true);
        if ops.is_empty() {
            continue;
        }
        let tested = |op: &String| tests.iter().any(|test| !scan::lines_with_word(test, op).is_empty());
        let mut missing = Vec::new();
        let same_file = path.replace("/ops/", "/reference/");
        if !tree.texts.contains_key(&same_file) && !ops.iter().any(|op| twins.contains(op)) {
            missing.push("CPU twin in crates/tensor/src/reference");
        }
        if !ops.iter().any(tested) {
            missing.push("test in crates/tensor/tests");
        }
        for what in missing {
            if !allowed.holds("op", path) {
                report.failures.push(Finding::new(path, 0, format!("no {what} for any of: {}", ops.join(", "))));
            }
        }
        for op in ops.iter().filter(|op| !tested(op)) {
            report.warnings.push(Finding::new(path, 0, format!("no test in crates/tensor/tests names `{op}`")));
        }
    }
}

/// The names of a file's public functions of tensors, or of all of its public functions.
fn functions(text: &str, of_tensors: bool) -> Vec<String> {
    let code = scan::without_tests(&scan::blank(text));
    let mut names = Vec::new();
    for (at, mark) in code.match_indices("\npub fn ") {
        let rest = &code[at + mark.len()..];
        let signature = rest.split('{').next().unwrap_or_default();
        if !of_tensors || signature.contains("Tensor") {
            names.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Tree { texts: texts.collect(), ..Tree::default() }
    }

    fn found(rule: impl FnOnce(&mut Report)) -> Vec<String> {
        let mut report = Report::default();
        rule(&mut report);
        report.failures.iter().map(ToString::to_string).collect()
    }

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            dir: workspace::root().join("x"),
            publishable: true,
            dependencies: dependencies.iter().map(|name| Dependency { name: (*name).to_owned(), kind: None }).collect(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn dependencies_go_one_way_and_concerns_have_owners() {
        let of = |name: &str, deps: &[&str]| found(|report| dependencies(&package(name, deps), "x", report)).len();
        assert_eq!(of("vljepa-model", &["vljepa-tensor", "serde"]), 0);
        assert_eq!(of("vljepa-tensor", &["vljepa-model"]), 1);
        assert_eq!(of("vljepa-model", &["vljepa-data"]), 1);
        assert_eq!(of("vljepa-embed", &["vljepa-model", "vljepa-data"]) + of("vljepa-train", &["vljepa-embed"]), 0);
        assert_eq!(of("vljepa-embed", &["vljepa-train"]) + of("vljepa-model", &["vljepa-embed"]), 2);
        assert_eq!(of("vljepa-data", &["image", "zip"]), 0);
        assert_eq!(of("vljepa-model", &["zip"]) + of("vljepa-train", &["zip"]), 1);
        assert_eq!(of("vljepa", &["image", "wgpu"]), 2);
        assert_eq!(of("a-new-package", &[]), 1);
    }

    #[test]
    fn wgpu_is_named_in_one_place() {
        let tree = tree(&[
            ("crates/tensor/src/lib.rs", "pub use wgpu;\n"),
            ("crates/model/src/lib.rs", "// wgpu\nuse vljepa_tensor::wgpu::Device;\n"),
        ]);
        assert_eq!(
            found(|report| names_of_wgpu(&tree, report)),
            ["crates/model/src/lib.rs:2: only crates/tensor names wgpu"]
        );
    }

    #[test]
    fn a_readme_says_something() {
        let tree = tree(&[("a/README.md", "# a\n"), ("b/README.md", "\n")]);
        assert!(found(|report| readme(&tree, "a", report)).is_empty());
        assert_eq!(found(|report| readme(&tree, "b", report)).len(), 1);
        assert_eq!(found(|report| readme(&tree, "c", report)).len(), 1);
    }

    #[test]
    fn shader_files_are_used_and_includes_resolve() {
        let tree = tree(&[
            ("shaders/src/kernels/norm.rs", "file: \"norm/a.wgsl\","),
            ("shaders/norm/a.wgsl", "//#include \"shared/x.wgsl\"\n//#include \"shared/gone.wgsl\"\n"),
            ("shaders/norm/b.wgsl", ""),
            ("shaders/shared/x.wgsl", ""),
            ("shaders/prelude/f32.wgsl", ""),
        ]);
        assert_eq!(
            found(|report| shaders(&tree, report)),
            [
                "shaders/norm/a.wgsl:2: there is no file shaders/shared/gone.wgsl to include",
                "shaders/norm/b.wgsl: neither in the kernel table (shaders/src/kernels) nor included",
            ]
        );
    }

    #[test]
    fn an_operator_has_its_twin_and_its_test() {
        let ops =
            "\npub fn norm(x: &Tensor) {}\npub fn norm_grad(x: &Tensor) {}\npub fn choose_norm() {}\nfn own() {}\n";
        let twin = ("crates/tensor/src/reference/family.rs", "\npub fn norm(x: &[f32]) {}\n");
        let test = ("crates/tensor/tests/it/family.rs", "// norm_grad\nfn test() { ops::norm(&x); }\n");
        let of = |files: &[(&str, &str)]| {
            let mut files = files.to_vec();
            files.push(("crates/tensor/src/ops/norm.rs", ops));
            let mut report = Report::default();
            operators(&tree(&files), &Allowed::default(), &mut report);
            (report.failures.len(), report.warnings.len())
        };
        assert_eq!(of(&[]), (2, 2));
        assert_eq!(of(&[twin]), (1, 2));
        assert_eq!(of(&[test]), (1, 1), "a comment is no test");
        assert_eq!(of(&[twin, test]), (0, 1));
    }

    #[test]
    fn binaries_have_a_limit() {
        let mut tree = Tree::default();
        tree.binaries.insert("a.bin".into(), BINARY_BYTES);
        assert!(found(|report| binaries(&tree, report)).is_empty());
        tree.binaries.insert("b.bin".into(), 1);
        assert!(found(|report| binaries(&tree, report))[0].starts_with("a.bin: "));
    }
}
