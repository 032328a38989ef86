//! `adapters`: the tests on every software driver that can be brought up, and one table of them.

mod root;
mod table;

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::verb::{Failure, Result, Verb, failed};
use crate::vulkan::Search;
use crate::{adapter, data, process, setup, workspace};
use root::Root;
use table::{Counts, Row};

/// The verb.
pub const VERB: Verb = Verb {
    name: "adapters",
    about: "Run the tests on every software Vulkan driver that can be brought up, and print one table.",
    help: HELP,
    run: main,
};

const HELP: &str = "\
Usage: cargo xtask adapters [--only LIST] [-p PACKAGE]... [-- RUNNER-ARGS]

Brings up each driver in target/adapters, runs the tests on it with cargo-nextest, and prints the adapter, the tests and
what the adapter can do. Linux on x86-64 or aarch64; needs Debian's tools (apt-get, dpkg-deb, and as root debootstrap).

  mesa         Mesa's software driver as it is installed
  mesa-25      that of Debian 12's backports, in a folder with its own C library, entered by chroot (as root)
  mesa-26      that of Debian's unstable, the same way; it has cooperative matrices
  swiftshader  the driver that Chromium brings: no f16, subgroups of 4, 256 invocations, 10 storage buffers

      --only LIST        only these drivers, with commas between
  -p, --package PACKAGE  only this package's tests
  RUNNER-ARGS            go to cargo-nextest, for example: -- matmul

A driver that cannot be brought up has a row that says why. Exits 1 when a test failed or no driver came up. The output
of each run is in target/adapters/NAME.log. What differs between the drivers is explained in docs/portability.md.
";

/// A driver that this verb knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    Mesa,
    Mesa25,
    Mesa26,
    SwiftShader,
}

const DRIVERS: [Driver; 4] = [Driver::Mesa, Driver::Mesa25, Driver::Mesa26, Driver::SwiftShader];

impl Driver {
    fn name(self) -> &'static str {
        match self {
            Self::Mesa => "mesa",
            Self::Mesa25 => "mesa-25",
            Self::Mesa26 => "mesa-26",
            Self::SwiftShader => "swiftshader",
        }
    }

    /// Makes the driver ready below `folder`.
    fn bring_up(self, folder: &Path) -> Result<Place> {
        match self {
            Self::Mesa => installed(),
            Self::Mesa25 => Root::make(folder, "bookworm", Some("bookworm-backports")).map(Place::Root),
            Self::Mesa26 => Root::make(folder, "sid", None).map(Place::Root),
            Self::SwiftShader => swiftshader(folder),
        }
    }
}

/// Where programs run that are to see one driver only.
#[derive(Debug)]
enum Place {
    /// Here, with this manifest of the driver.
    Here(PathBuf),
    /// Below another root.
    Root(Root),
}

impl Place {
    /// A command whose children see only this driver. Programs are run by [`Self::runner`].
    fn command(&self, program: &mut Command, shared: &[PathBuf]) -> Command {
        match self {
            Self::Here(manifest) => {
                let mut command = Command::new(program.get_program());
                command.args(program.get_args());
                command.env("VK_DRIVER_FILES", manifest).env("VK_ICD_FILENAMES", manifest);
                command
            }
            Self::Root(root) => root.command(program, shared),
        }
    }

    /// The program that starts programs in this place; none where they are started as they are.
    fn runner(&self) -> Option<&Path> {
        match self {
            Self::Here(_) => None,
            Self::Root(root) => Some(root.runner()),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    drivers: Vec<Driver>,
    packages: Vec<String>,
    runner_args: Vec<OsString>,
}

fn parse(mut args: lexopt::Parser) -> Result<Options> {
    use lexopt::prelude::*;
    let mut own: Vec<OsString> = args.raw_args()?.collect();
    let mut options = Options { drivers: DRIVERS.to_vec(), ..Options::default() };
    if let Some(at) = own.iter().position(|arg| arg == "--") {
        options.runner_args = own.split_off(at + 1);
        own.pop();
    }
    let mut args = lexopt::Parser::from_args(own);
    while let Some(arg) = args.next()? {
        match arg {
            Long("only") => options.drivers = named(&args.value()?.string()?)?,
            Short('p') | Long("package") => options.packages.push(args.value()?.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn named(list: &str) -> Result<Vec<Driver>> {
    let find = |name: &str| {
        let known = || DRIVERS.map(Driver::name).join(", ");
        let found = DRIVERS.into_iter().find(|driver| driver.name() == name);
        found.ok_or_else(|| Failure::Usage(format!("there is no driver {name:?}: {}", known())))
    };
    list.split(',').map(str::trim).map(find).collect()
}

fn main(args: lexopt::Parser) -> Result {
    let options = parse(args)?;
    if !cfg!(target_os = "linux") {
        return Err(failed(
            "software Vulkan drivers are brought up on Linux only; `cargo xtask test` runs the tests here",
        ));
    }
    if !process::succeeds(&mut workspace::cargo(&["nextest", "--version"])) {
        return Err(failed("cargo-nextest is not installed; run: cargo install --locked cargo-nextest"));
    }
    let cache = data::cache_dir()?;
    data::fetch_minilm(&cache)?;
    data::fetch_tokenizers(&cache)?;
    data::fetch_video(&cache)?;
    data::fetch_films(&cache)?;
    let vljepa = adapter::build_tests()?;
    let workspace = workspace::load()?;
    let folder = workspace.target.join("adapters");
    std::fs::create_dir_all(&folder).map_err(|e| failed(format!("{}: {e}", folder.display())))?;
    let run = Run { options: &options, shared: vec![workspace::root(), workspace.target, cache], folder, vljepa };
    let rows: Vec<Row> = options.drivers.iter().map(|driver| run.row(*driver)).collect();
    print!("\n{}", table::markdown(&rows));
    if rows.iter().all(Row::is_absent) {
        return Err(failed("no driver could be brought up"));
    }
    match rows.iter().filter(|row| row.failed()).map(|row| row.driver).collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => Ok(()),
        names => Err(failed(format!("tests failed on {names}; see {}/NAME.log", run.folder.display()))),
    }
}

struct Run<'a> {
    options: &'a Options,
    /// Folders that tests read and write, beside the temporary one.
    shared: Vec<PathBuf>,
    folder: PathBuf,
    vljepa: PathBuf,
}

impl Run<'_> {
    fn row(&self, driver: Driver) -> Row {
        eprintln!("== {}", driver.name());
        let outcome = driver.bring_up(&self.folder.join(driver.name())).and_then(|place| {
            let info = self.info(&place)?;
            let (counts, seconds) = self.tests(driver, &place)?;
            Ok((info, counts, seconds))
        });
        match outcome {
            Ok((info, counts, seconds)) => Row::new(driver.name(), &info, counts, seconds),
            Err(Failure::Failed(reason) | Failure::Usage(reason)) => Row::absent(driver.name(), reason),
            Err(Failure::Exit(code)) => Row::absent(driver.name(), format!("a program ended with {code}")),
        }
    }

    /// What `vljepa info` says there.
    fn info(&self, place: &Place) -> Result<Value> {
        let mut program = match place.runner() {
            Some(runner) => {
                let mut command = Command::new(runner);
                command.arg(&self.vljepa);
                command
            }
            None => Command::new(&self.vljepa),
        };
        program.args(["info", "--json"]);
        let text = process::output(&mut place.command(&mut program, &self.shared))?;
        let info: Value =
            serde_json::from_str(&text).map_err(|e| failed(format!("`vljepa info --json` printed no JSON: {e}")))?;
        match info["adapters"].as_array().map_or(0, Vec::len) {
            0 => Err(failed("`vljepa info` finds no adapter there")),
            _ => Ok(info),
        }
    }

    /// Runs the tests; their output goes into the log, and a line a minute to stderr.
    fn tests(&self, driver: Driver, place: &Place) -> Result<(Counts, f64)> {
        let mut program = workspace::cargo(&["nextest", "run", "--color", "never"]);
        match self.options.packages.as_slice() {
            // Tests of the tools need other programs, and no adapter.
            [] => program.args(["--workspace", "--exclude", "xtask", "--exclude", "vljepa-fuzz"]),
            packages => program.args(packages.iter().flat_map(|package| ["-p", package])),
        };
        program.args(&self.options.runner_args);
        let mut command = place.command(&mut program, &self.shared);
        command.current_dir(workspace::root());
        command.env("VLJEPA_REQUIRE_GPU", "1").env("VLJEPA_REQUIRE_DATA", "1");
        command.env("VLJEPA_CACHE", self.shared.last().map(PathBuf::as_path).unwrap_or(Path::new("")));
        if let Some(runner) = place.runner() {
            command.env(runner_variable()?, runner);
        }
        let path = self.folder.join(format!("{}.log", driver.name()));
        let written = |e: std::io::Error| failed(format!("{}: {e}", path.display()));
        let mut log = File::create(&path).map_err(written)?;
        eprintln!("$ {} > {}", process::shown(&command), path.display());
        let start = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| failed(format!("cannot run cargo-nextest: {e}")))?;
        let mut counts = None;
        for line in child.stderr.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
            let line = line.map_err(written)?;
            writeln!(log, "{line}").map_err(written)?;
            counts = Counts::parse(&line).or(counts);
            if ["FAIL ", "TIMEOUT ", "SIGSEGV ", "SIGABRT "].iter().any(|word| line.trim_start().starts_with(word)) {
                eprintln!("{line}");
            }
        }
        child.wait().map_err(written)?;
        let counts = counts.ok_or_else(|| failed(format!("the tests did not run; see {}", path.display())))?;
        Ok((counts, start.elapsed().as_secs_f64()))
    }
}

/// The environment variable in which cargo is told what runs the programs of this machine's kind.
fn runner_variable() -> Result<String> {
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| failed("`rustc -vV` names no host"))?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace('-', "_")))
}

/// Mesa's software driver of this machine.
fn installed() -> Result<Place> {
    setup::ensure(false)?;
    let found = Search::here().run();
    let mesa = found.drivers.iter().find(|driver| driver.library.to_string_lossy().contains("lvp"));
    match mesa {
        Some(driver) => Ok(Place::Here(driver.manifest.clone())),
        None => Err(failed("Mesa's software driver is not installed; run: cargo xtask setup")),
    }
}

/// Chromium's software driver, out of its Debian package.
fn swiftshader(folder: &Path) -> Result<Place> {
    let library = folder.join("usr/lib/chromium/libvk_swiftshader.so");
    if !library.is_file() {
        std::fs::create_dir_all(folder).map_err(|e| failed(format!("{}: {e}", folder.display())))?;
        process::run(Command::new("apt-get").args(["download", "chromium-common"]).current_dir(folder)).map_err(
            |_| failed("the package chromium-common could not be fetched (apt-get update may help); it is Debian's"),
        )?;
        let packages = std::fs::read_dir(folder).map_err(|e| failed(format!("{}: {e}", folder.display())))?;
        let package =
            packages.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "deb"));
        let package = package.ok_or_else(|| failed("apt-get download left no package"))?;
        process::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder))?;
    }
    if !library.is_file() {
        return Err(failed(format!("the package chromium-common holds no {}", library.display())));
    }
    // The one in the package names its library by a path that holds only where it is installed.
    let manifest = folder.join("swiftshader.json");
    let text = serde_json::json!({
        "file_format_version": "1.0.0", "ICD": { "library_path": library, "api_version": "1.1.0" },
    });
    std::fs::write(&manifest, text.to_string()).map_err(|e| failed(format!("{}: {e}", manifest.display())))?;
    Ok(Place::Here(manifest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options> {
        parse(lexopt::Parser::from_args(args.iter().copied()))
    }

    #[test]
    fn drivers_are_chosen_by_name() {
        assert_eq!(parsed(&[]).unwrap().drivers, DRIVERS);
        assert_eq!(parsed(&["--only", "mesa, swiftshader"]).unwrap().drivers, [Driver::Mesa, Driver::SwiftShader]);
        assert!(matches!(parsed(&["--only", "mesa-27"]), Err(Failure::Usage(text)) if text.contains("mesa-26")));
        let options = parsed(&["-p", "a", "--", "matmul"]).unwrap();
        assert_eq!((options.packages.as_slice(), options.runner_args.len()), (&["a".to_owned()][..], 1));
    }

    #[test]
    fn every_driver_stands_in_the_help() {
        assert!(DRIVERS.iter().all(|driver| HELP.contains(&format!("\n  {} ", driver.name()))));
    }

    #[test]
    fn the_runner_is_that_of_this_machine() {
        let name = runner_variable().unwrap();
        assert!(name.starts_with("CARGO_TARGET_") && name.ends_with("_RUNNER") && !name.contains('-'), "{name}");
    }
}
