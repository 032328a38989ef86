//! `wasm`: whether the crates that a browser needs compile for it.

use std::path::Path;
use std::process::Command;

use crate::verb::{Result, Verb, no_options};
use crate::{process, workspace};

/// The verb.
pub const VERB: Verb = Verb {
    name: "wasm",
    about: "Compile the crates that a browser needs for wasm32, where that target is installed.",
    help: HELP,
    run: |args| {
        no_options(args)?;
        run()
    },
};

const HELP: &str = "\
Usage: cargo xtask wasm

Runs `cargo check` on the libraries vljepa-shaders, vljepa-tensor and vljepa-model for wasm32-unknown-unknown. Without that
target it says so and leaves them out; `rustup target add wasm32-unknown-unknown` installs it.
";

const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGES: [&str; 3] = ["vljepa-shaders", "vljepa-tensor", "vljepa-model"];

/// Compiles them, or says why not.
pub fn run() -> Result {
    if !is_installed() {
        println!("wasm     left out: the target {TARGET} is not installed; `rustup target add {TARGET}` installs it");
        return Ok(());
    }
    let mut command = workspace::cargo(&["check", "--lib", "--target", TARGET]);
    command.args(PACKAGES.iter().flat_map(|package| ["-p", package]));
    // The crate of a page chooses the source of random numbers of `getrandom`; these libraries draw none.
    command.env("RUSTFLAGS", "--cfg getrandom_backend=\"unsupported\"");
    process::run(&mut command)?;
    println!("wasm     {} compile for {TARGET}", PACKAGES.join(", "));
    Ok(())
}

/// Whether the compiler has the target's standard library, by rustup or otherwise.
fn is_installed() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(workspace::root());
    process::output(&mut rustc).is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}
