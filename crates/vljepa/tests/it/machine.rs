//! Machines without an adapter or without a capability, bad usage, and readers that go away.

use std::process::{Command, Stdio};

use crate::support::{Bench, fails, json, misused, vljepa};

/// The same command on a machine without a graphics driver: only Vulkan, and no Vulkan driver.
fn without_adapter(command: &mut assert_cmd::Command) -> &mut assert_cmd::Command {
    let nowhere = "/nonexistent";
    command.env("WGPU_BACKEND", "vulkan").env("VK_DRIVER_FILES", nowhere).env("VK_ICD_FILENAMES", nowhere)
}

#[test]
fn no_adapter_is_one_clear_line() {
    let bench = Bench::new();
    for args in [
        &["embed", "@pictures"][..],
        &["embed-text", "cat"],
        &["classify", "@pictures", "--labels", "a,b"],
        &["index", "build", "@pictures", "--out", "@p.idx"],
        &["demo", "--out", "@page.html"],
    ] {
        let mut command = vljepa(bench.args(args));
        fails(without_adapter(&mut command), &["no GPU adapter", "mesa-vulkan-drivers"]);
    }
    assert_eq!(bench.files("."), ["model", "pictures"], "nothing half-written");
    let mut command = vljepa(["bench", "matmul"]);
    fails(without_adapter(&mut command), &["no GPU adapter"]);
}

#[test]
fn info_without_an_adapter_is_an_answer() {
    let mut command = vljepa(["info", "--json"]);
    let output = without_adapter(&mut command).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["adapters"], serde_json::json!([]));
}

#[test]
fn adapters_that_are_not_there() {
    for name in ["99", "voodoo2"] {
        fails(&mut vljepa(["bench", "matmul", "--device", name]), &["is not there", "there is: 0 ", name]);
    }
    fails(vljepa(["bench", "matmul"]).env("VLJEPA_DISABLE", "warp"), &["warp", "known"]);
}

#[test]
fn results_stay_the_same_without_capabilities() {
    let bench = Bench::new();
    let run = |disable: &str| {
        let output =
            vljepa(bench.args(&["embed", "@pictures", "--json"])).env("VLJEPA_DISABLE", disable).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let rows = value["rows"].as_array().unwrap().clone();
        rows.iter().flat_map(|r| r["embedding"].as_array().unwrap().clone()).map(|v| v.as_f64().unwrap()).collect()
    };
    let full: Vec<f64> = run("");
    for disable in ["all", "software,subgroup", "f16,timestamps"] {
        let plain: Vec<f64> = run(disable);
        let worst = full.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(full.len() == plain.len() && worst < 1e-4, "{disable}: {worst}");
    }
}

#[test]
fn bad_usage_is_two() {
    for args in [
        &[][..],
        &["dance"],
        &["embed"],
        &["embed-text"],
        &["classify", "a.png"],
        &["classify", "a.png", "--labels", "a", "--labels-file", "b"],
        &["classify", "a.png", "--labels", "a", "--top", "0"],
        &["search", "a.idx"],
        &["index", "build", "a"],
        &["bench", "matmul", "--sizes", "many"],
        &["info", "--seed", "-1"],
    ] {
        let output = vljepa(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    assert!(vljepa(["--help"]).output().unwrap().status.success());
}

#[test]
fn absurd_sizes_are_refused() {
    for frames in ["0", "3", "1026"] {
        misused(&mut vljepa(["bench", "model", "--frames", frames]), &["--frames", frames, "even number up to 1024"]);
    }
    for size in ["0", "16385", "18446744073709551615"] {
        misused(&mut vljepa(["bench", "matmul", "--sizes", size]), &["--sizes", size, "from 1 to 16384"]);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let bench = Bench::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_vljepa"))
        .args(bench.args(&["embed", "@pictures"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn the_seed_and_the_device_are_accepted_everywhere() {
    let bench = Bench::new();
    let out = json(bench.args(&["--seed", "7", "embed-text", "cat", "--device", "auto"]));
    assert_eq!(out["dim"], 8);
}
