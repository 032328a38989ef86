//! Checkpoints on disk: whole or not there, and what happens to damaged ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use vljepa_train::TrainError;
use vljepa_train::checkpoint::{Checkpoints, RunState};

fn state(step: u64) -> RunState {
    RunState::new(step, BTreeMap::from([("batch".to_owned(), "4".to_owned())]))
}

fn save(dir: &Path, keep: usize, step: u64) {
    let files = [("model.safetensors", vec![step as u8; 100]), ("ema.safetensors", vec![7; 10])];
    Checkpoints::new(dir, keep).save(&state(step), &files).unwrap();
}

fn latest(dir: &Path) -> Result<(Option<u64>, Vec<String>), TrainError> {
    let (found, faults) = Checkpoints::new(dir, 2).latest(|loaded| Ok(loaded.state.step))?;
    if let Some((loaded, step)) = &found {
        assert_eq!(loaded.file("model.safetensors").unwrap(), vec![*step as u8; 100]);
    }
    Ok((found.map(|(_, step)| step), faults.iter().map(ToString::to_string).collect()))
}

#[test]
fn the_newest_is_read_and_the_oldest_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(latest(dir.path()).unwrap(), (None, Vec::new()));
    for step in [1, 5, 20] {
        save(dir.path(), 2, step);
    }
    assert_eq!(latest(dir.path()).unwrap().0, Some(20));
    let steps: Vec<u64> = Checkpoints::new(dir.path(), 2).list().unwrap().iter().map(|(s, _)| *s).collect();
    assert_eq!(steps, [20, 5]);
    // The same step again takes the place of the first.
    save(dir.path(), 2, 20);
    assert_eq!(latest(dir.path()).unwrap().0, Some(20));
}

#[test]
fn what_a_kill_leaves_behind_is_not_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), 2, 3);
    let half = dir.path().join(".tmp-step-00000004");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("model.safetensors"), [4; 50]).unwrap();
    assert_eq!(latest(dir.path()).unwrap(), (Some(3), Vec::new()));
    save(dir.path(), 2, 5);
    assert!(!half.exists());
}

#[test]
fn a_kill_between_two_checkpoints_of_one_step_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), 2, 3);
    let (place, aside) = (dir.path().join("step-00000003"), dir.path().join(".old-step-00000003"));
    // Killed before the new one came: the old one is taken again.
    fs::rename(&place, &aside).unwrap();
    assert_eq!(latest(dir.path()).unwrap(), (Some(3), Vec::new()));
    assert!(place.exists() && !aside.exists());
    // Killed after: the old one goes with the next save.
    fs::create_dir(&aside).unwrap();
    assert_eq!(latest(dir.path()).unwrap(), (Some(3), Vec::new()));
    save(dir.path(), 2, 3);
    assert!(!aside.exists());
    assert_eq!(latest(dir.path()).unwrap(), (Some(3), Vec::new()));
}

#[test]
fn every_kind_of_damage_is_named_and_the_one_before_is_taken() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage); 8] = [
        ("model.safetensors", |d| fs::write(d.join("model.safetensors"), [9; 40]).unwrap()),
        ("model.safetensors", |d| fs::write(d.join("model.safetensors"), []).unwrap()),
        ("model.safetensors", |d| {
            let mut bytes = fs::read(d.join("model.safetensors")).unwrap();
            bytes[50] ^= 1;
            fs::write(d.join("model.safetensors"), bytes).unwrap();
        }),
        ("ema.safetensors", |d| fs::remove_file(d.join("ema.safetensors")).unwrap()),
        ("SHA256SUMS", |d| fs::remove_file(d.join("SHA256SUMS")).unwrap()),
        ("SHA256SUMS", |d| fs::write(d.join("SHA256SUMS"), "").unwrap()),
        ("SHA256SUMS", |d| fs::write(d.join("SHA256SUMS"), "what is this\n").unwrap()),
        ("state.json", |d| fs::write(d.join("state.json"), "{").unwrap()),
    ];
    for (name, damage) in cases {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), 3, 1);
        save(dir.path(), 3, 2);
        damage(&dir.path().join("step-00000002"));
        let (step, faults) = latest(dir.path()).unwrap();
        assert_eq!(step, Some(1));
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("step-00000002") && faults[0].contains(name), "{name}: {}", faults[0]);
        assert!(!faults[0].contains('\n'));
        // With none left the newest one's fault is the error.
        fs::remove_dir_all(dir.path().join("step-00000001")).unwrap();
        assert!(latest(dir.path()).unwrap_err().to_string().contains(name));
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_not_read() {
    for name in ["SHA256SUMS", "model.safetensors"] {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), 3, 1);
        save(dir.path(), 3, 2);
        let place = dir.path().join("step-00000002").join(name);
        fs::remove_file(&place).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &place).unwrap();
        let (step, faults) = latest(dir.path()).unwrap();
        assert!(step == Some(1) && faults[0].contains("not a regular file"), "{faults:?}");
        // A file of the wrong size needs no memory of that size.
        fs::remove_file(&place).unwrap();
        fs::File::create(&place).unwrap().set_len(if name == "SHA256SUMS" { 61 << 30 } else { 1 << 30 }).unwrap();
        let (step, faults) = latest(dir.path()).unwrap();
        assert!(step == Some(1) && faults[0].contains(name), "{faults:?}");
    }
}

#[test]
fn a_lying_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), 3, 1);
    save(dir.path(), 3, 2);
    fs::rename(dir.path().join("step-00000002"), dir.path().join("step-00000009")).unwrap();
    let (step, faults) = latest(dir.path()).unwrap();
    assert_eq!(step, Some(1));
    assert!(faults[0].contains("says step 2, the folder 9"), "{}", faults[0]);
}

#[test]
fn a_run_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Checkpoints::new(file.join("checkpoints"), 2).save(&state(1), &[]).unwrap_err();
    assert!(matches!(error, TrainError::Io { .. }) && error.to_string().contains("file"), "{error}");
}

#[test]
fn a_state_without_a_device_is_read() {
    let text = r#"{"format_version": 1, "step": 7, "identity": {"batch": "4"}, "optimizer_steps": {}, "seconds": 2.5}"#;
    let expected = RunState { seconds: 2.5, ..state(7) };
    assert_eq!(serde_json::from_str::<RunState>(text).unwrap(), expected);
    assert_eq!(expected.device, None);
}
