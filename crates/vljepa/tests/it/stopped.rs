//! Signals at many moments: what is written is whole or not there, and nothing is left that the next run does not remove.

#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use vljepa_model::config::Vjepa2Config;

use crate::checkpoints::{hub_folder, models, weights};
use crate::hub_server::{Fixture, REPO, tree};
use crate::support::{Bench, json, vljepa};

fn signal(child: &Child, name: &str) {
    // It may have ended meanwhile. The shell's own `kill` is there where the program of that name is not.
    let line = format!("kill -{name} {}", child.id());
    let _ = Command::new("sh").args(["-c", &line]).stderr(Stdio::null()).status();
}

fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn command(args: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vljepa"));
    command.args(args);
    command
}

/// Names with which temporary files and folders below `dir` begin.
fn temporaries(dir: &Path) -> Vec<String> {
    let all = tree(dir).into_keys();
    all.filter(|name| name.split('/').any(|part| part.starts_with(".vljepa-"))).collect()
}

/// Runs a command `tries` times and sends it SIGINT or SIGTERM at moments all over the time that it takes; `check` looks at what
/// is there afterwards, and is told whether the command was done.
fn interrupted(tries: u32, make: impl Fn() -> Command, mut check: impl FnMut(bool)) {
    let start = Instant::now();
    assert!(spawn(make()).wait().unwrap().success());
    let whole = start.elapsed();
    check(true);
    let mut stopped = 0;
    for i in 0..tries {
        let child = spawn(make());
        std::thread::sleep(whole * i / tries);
        signal(&child, if i % 2 == 0 { "INT" } else { "TERM" });
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => check(true),
            Some(130) => {
                // A thread that is still at work may say something after it.
                assert!(stderr.lines().any(|line| line == "error: interrupted"), "{stderr}");
                stopped += 1;
                check(false);
            }
            // Before there was a handler, and before anything was written.
            None if output.status.signal().is_some() => check(false),
            _ => panic!("{:?}: {stderr}", output.status),
        }
    }
    assert!(stopped > 0, "no signal came in time");
}

/// A V-JEPA 2 of a few megabytes, so that writing it takes a while.
pub fn large(bench: &Bench) -> String {
    let mut config = models()["vjepa2"].clone();
    for (key, value) in [("hidden_size", 192), ("num_hidden_layers", 6), ("num_attention_heads", 4)] {
        config[key] = value.into();
    }
    let parsed = Vjepa2Config::from_json(&config.to_string()).unwrap();
    let tensors: Vec<_> = parsed.tensors().into_iter().chain(parsed.predictor_tensors()).collect();
    hub_folder(bench, "large", &config, Some(weights(&tensors, "")))
}

fn convert(source: &str, out: &Path) -> Command {
    let out = out.display().to_string();
    command(&["convert", "--from", "vjepa2", source, "--out", &out].map(str::to_owned))
}

#[test]
fn a_converted_folder_is_whole_or_not_there() {
    let bench = Bench::new();
    let source = large(&bench);
    std::fs::create_dir(bench.path("here")).unwrap();
    let place = bench.path("here/out");
    let mut whole = None;
    interrupted(
        60,
        || convert(&source, &place),
        |done| {
            assert_eq!(temporaries(&bench.path("here")), [""; 0]);
            assert!(place.exists() || !done);
            if place.exists() {
                let found = tree(&place);
                assert_eq!(&found, whole.get_or_insert_with(|| found.clone()), "a part of a folder");
                assert!(found.contains_key("config.json") && found.contains_key("model.safetensors"));
                std::fs::remove_dir_all(&place).unwrap();
            }
        },
    );
}

#[test]
fn rows_and_indices_are_whole_or_not_there() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("here")).unwrap();
    for (args, out) in [
        (&["embed", "@pictures", "--out", "@here/rows.npy"][..], "here/rows.npy"),
        (&["index", "build", "@pictures", "--out", "@here/p.idx"], "here/p.idx"),
    ] {
        let (args, place) = (bench.args(args), bench.path(out));
        let mut whole = None;
        interrupted(
            12,
            || command(&args),
            |done| {
                assert_eq!(temporaries(&bench.path("here")), [""; 0]);
                assert!(place.exists() || !done);
                if let Ok(found) = std::fs::read(&place) {
                    assert!(&found == whole.get_or_insert_with(|| found.clone()), "a part of a file");
                    std::fs::remove_file(&place).unwrap();
                }
            },
        );
        // What is left of a stopped run does not harm the next.
        json(&args);
        assert_eq!(bench.files("here").len(), 1);
        std::fs::remove_file(&place).unwrap();
    }
}

#[test]
fn a_snapshot_is_whole_or_no_model() {
    let f = Fixture::new();
    let pull = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vljepa"));
        let wanted = f.command(&[REPO]);
        command.args(wanted.get_args());
        for (name, value) in wanted.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    };
    interrupted(24, pull, |done| {
        let names: Vec<String> =
            f.snapshot("").exists().then(|| tree(&f.snapshot(""))).into_iter().flatten().map(|(n, _)| n).collect();
        assert!(!names.iter().any(|name| name.contains(".vljepa-")), "{names:?}");
        let whole = names.len() == 4;
        assert!(whole || !done);
        assert!(whole || !names.contains(&"config.json".to_owned()), "part of a model: {names:?}");
        if whole {
            assert_eq!(std::fs::read(f.snapshot("model.safetensors")).unwrap(), f.weights);
            std::fs::remove_dir_all(f.repo()).unwrap();
        }
    });
}

/// Starts a conversion and gives it, halted, once its temporary folder is there, beside that of `other`.
fn under_way(source: &str, out: &Path, other: &Path) -> (Child, PathBuf) {
    let dir = out.parent().unwrap();
    loop {
        let mut child = spawn(convert(source, out));
        while child.try_wait().unwrap().is_none() {
            let mut entries = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
            let ours =
                |path: &PathBuf| path != other && path.file_name().unwrap().to_string_lossy().starts_with(".vljepa-");
            let found = entries.find(ours);
            if let Some(path) = found {
                signal(&child, "STOP");
                if path.exists() {
                    return (child, path);
                }
                signal(&child, "CONT");
            }
        }
        let _ = std::fs::remove_dir_all(out);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_killed_run_left_goes_with_the_next_and_what_lives_stays() {
    let bench = Bench::new();
    let source = large(&bench);
    std::fs::create_dir(bench.path("here")).unwrap();
    let (mut killed, leftover) = under_way(&source, &bench.path("here/killed"), Path::new(""));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(leftover.exists() && !bench.path("here/killed").exists());
    // Another one, which is only slow, has removed it.
    let (mut slow, living) = under_way(&source, &bench.path("here/slow"), &leftover);
    assert!(living.exists());
    let args = [
        "embed-text".to_owned(),
        "cat".into(),
        "--out".into(),
        bench.text("here/t.npy"),
        "--model".into(),
        bench.text("model"),
    ];
    assert!(vljepa(&args).output().unwrap().status.success());
    // The next leaves what lives alone.
    assert!(!leftover.exists() && living.exists(), "{:?}", bench.files("here"));
    signal(&slow, "CONT");
    assert!(slow.wait().unwrap().success());
    assert!(bench.path("here/slow/config.json").exists());
    assert_eq!(bench.files("here"), ["slow", "t.npy"]);
}

/// The header of a file above 64 MiB is mapped; when the file is cut under it, the system ends the process.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_cut_while_it_is_mapped_is_told_of() {
    let bench = Bench::new();
    let header = format!("{{{}}}", " ".repeat(99_999_990));
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    let file = bench.path("large.safetensors");
    // A process that was not seen in time has read the whole file.
    for _ in 0..50 {
        std::fs::write(&file, &bytes).unwrap();
        let mut child = spawn(command(&["inspect".to_owned(), file.display().to_string()]));
        let maps = format!("/proc/{}/maps", child.id());
        let mapped = || std::fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("large.safetensors"));
        while !mapped() && child.try_wait().unwrap().is_none() {}
        std::fs::File::options().write(true).open(&file).unwrap().set_len(4096).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        match output.status.code() {
            Some(0) => continue,
            code => assert_eq!(code, Some(1), "{:?}: {stderr}", output.status.signal()),
        }
        // Cut before it was mapped.
        if stderr.contains("large.safetensors") {
            continue;
        }
        assert!(
            stderr.starts_with("error: a file that was being read became shorter, or its disk failed; run it again")
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        return;
    }
    panic!("the file was never cut in time");
}
