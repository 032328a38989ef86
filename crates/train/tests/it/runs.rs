//! Whole runs from a file: stopping, resuming bit for bit, falling back, refusing.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use vljepa_model::weights::{SafeTensors, WeightSource, Writer, read_f32};
use vljepa_train::checkpoint::Checkpoints;
use vljepa_train::{Event, RunOptions, Summary, TrainError, run};

use crate::support::{config_text, device, model_folder};

const STEPS: u64 = 6;

/// What the caller says of how the model is used.
const USAGE: &str = "```sh\nvljepa classify PICTURE\n```";

#[test]
fn a_folder_of_shards_is_a_start_like_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let folder = model_folder(dir.path());
    let path = write_config(dir.path(), "");
    let (whole, shards) = (dir.path().join("whole"), dir.path().join("shards"));
    go(&path, &whole, false, 2).0.unwrap();
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let source = SafeTensors::parse("model", &bytes).unwrap();
    let mut writers = [Writer::new(), Writer::new()];
    let mut map = serde_json::Map::new();
    for (i, name) in WeightSource::names(&source).iter().enumerate() {
        let shape = WeightSource::tensor(&source, name).unwrap().shape.to_vec();
        let values = read_f32(&source, name, &shape).unwrap();
        writers[i % 2].f32(name, &shape, &values).unwrap();
        map.insert(name.to_string(), names[i % 2].into());
    }
    for (name, writer) in names.iter().zip(writers) {
        fs::write(folder.join(name), writer.finish().unwrap()).unwrap();
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    go(&path, &shards, false, 2).0.unwrap();
    assert_eq!(losses(&whole), losses(&shards));
    fs::remove_file(folder.join(names[1])).unwrap();
    let error = go(&path, &dir.path().join("broken"), false, 2).0.unwrap_err().to_string();
    assert!(error.contains(names[1]), "{error}");
}

#[cfg(unix)]
#[test]
fn a_device_is_no_configuration() {
    let error = go(Path::new("/dev/zero"), Path::new("nowhere"), false, 1).0.unwrap_err().to_string();
    assert!(error.contains("/dev/zero") && error.contains("not a regular file"), "{error}");
}

#[test]
fn files_of_a_run_are_read_up_to_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let path = write_config(dir.path(), "");
    let output = dir.path().join("run");
    fs::create_dir(&output).unwrap();
    // Holes on the disk.
    let log = output.join("metrics.jsonl");
    fs::File::create(&log).unwrap().set_len((1 << 30) + 1).unwrap();
    let error = go(&path, &output, true, 1).0.unwrap_err().to_string();
    assert!(error.contains("metrics.jsonl: 1073741825 bytes, at most 1073741824"), "{error}");
    fs::File::create(&path).unwrap().set_len((1 << 20) + 1).unwrap();
    let error = go(&path, &output, true, 1).0.unwrap_err().to_string();
    assert!(error.contains("train.toml: is too long for a training configuration"), "{error}");
}

#[test]
fn two_runs_do_not_write_into_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let path = write_config(dir.path(), "");
    let output = dir.path().join("run");
    let held = vljepa_embed::files::FolderLock::take(&output, "run.lock").unwrap();
    for resume in [false, true] {
        let error = go(&path, &output, resume, 1).0.unwrap_err().to_string();
        let mine = format!("process {}", std::process::id());
        assert!(error.contains("another run") && (cfg!(windows) || error.contains(&mine)), "{error}");
    }
    drop(held);
    go(&path, &output, false, 2).0.unwrap();
    assert!(!output.join("run.lock").exists());
}

#[test]
fn what_is_in_the_way_is_said_before_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let start = model_folder(dir.path());
    let path = write_config(dir.path(), "");
    for (name, folder) in [
        ("checkpoints", false),
        ("model", false),
        ("metrics.jsonl", true),
        ("events.out.tfevents.vljepa", true),
        ("cards.sha256", true),
    ] {
        let output = dir.path().join(format!("run-{name}"));
        fs::create_dir(&output).unwrap();
        let place = output.join(name);
        if folder {
            fs::create_dir(&place).unwrap()
        } else {
            fs::write(&place, "mine").unwrap()
        }
        let error = vljepa_train::check(&path, Some(&output)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("another `output`"), "{error}");
    }
    // The model that it starts from is where the trained one would go.
    let own = dir.path().join("own");
    fs::create_dir(&own).unwrap();
    fs::rename(&start, own.join("model")).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let name = start.file_name().unwrap().to_str().unwrap();
    fs::write(&path, text.replace(&format!("\"{name}\""), "\"own/model\"")).unwrap();
    let error = vljepa_train::check(&path, Some(&own)).unwrap_err().to_string();
    assert!(error.contains("would replace it"), "{error}");
}

fn write_config(dir: &Path, seed_of_sort: &str) -> std::path::PathBuf {
    let more = format!("steps = {STEPS}\nbatch = 6\n{seed_of_sort}");
    let tables = "[optimizer]\nkind = \"muon\"\nlr = 0.003\n[ema]\nhorizon = 0.5\n[checkpoint]\nevery = 2\nkeep = 3\nseconds = 0\n";
    let path = dir.join("train.toml");
    fs::write(&path, config_text(&more, tables)).unwrap();
    path
}

/// Runs until `stop_after` steps of this call; gives the notes too.
fn go(path: &Path, output: &Path, resume: bool, stop_after: u64) -> (Result<Summary, TrainError>, Vec<String>) {
    let left = Cell::new(stop_after);
    let stop = || {
        left.set(left.get() - 1);
        left.get() == 0
    };
    let mut notes = Vec::new();
    let options = RunOptions::new(device()).resume(resume).output(output).usage(USAGE).stop(stop).observer(|event| {
        if let Event::Note(text) = event {
            notes.push(text.clone());
        }
    });
    let summary = run(path, options);
    (summary, notes)
}

fn losses(output: &Path) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(output.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    lines.filter_map(|v| Some((v["step"].as_u64()?, v["loss"].as_f64()?))).collect()
}

#[test]
fn a_run_that_was_stopped_killed_and_damaged_ends_bit_for_bit_like_one_that_was_not() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let path = write_config(dir.path(), "");
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    let (summary, _) = go(&path, &whole, false, 1000);
    let summary = summary.unwrap();
    assert!(summary.complete && summary.validation.is_some());

    // Asked to stop after three steps: that saves.
    let (summary, _) = go(&path, &broken, false, 3);
    assert_eq!((summary.as_ref().unwrap().step, summary.unwrap().complete), (3, false));
    // A second start without --resume is refused and touches nothing.
    let (refused, _) = go(&path, &broken, false, 1000);
    assert!(refused.unwrap_err().to_string().contains("resume"));
    // Goes on to step 5, then its newest checkpoint is cut short as by a full disk.
    go(&path, &broken, true, 2).0.unwrap();
    let newest = broken.join("checkpoints/step-00000005/optimizer.safetensors");
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    // So was the last line of its log, inside a character.
    let log = broken.join("metrics.jsonl");
    let torn = [fs::read(&log).unwrap(), b"{\"step\": 5, \"\xe2".to_vec()].concat();
    fs::write(&log, torn).unwrap();
    let (summary, notes) = go(&path, &broken, true, 1000);
    assert!(summary.unwrap().complete);
    assert!(notes.iter().any(|n| n.contains("step-00000005") && n.contains("optimizer.safetensors")), "{notes:?}");

    assert_eq!(losses(&whole), losses(&broken));
    assert_eq!(losses(&whole).iter().map(|(s, _)| *s).collect::<Vec<_>>(), (0..STEPS).collect::<Vec<_>>());
    for file in ["model/model.safetensors", "model/config.json", "checkpoints/step-00000006/optimizer.safetensors"] {
        assert!(fs::read(whole.join(file)).unwrap() == fs::read(broken.join(file)).unwrap(), "{file} differs");
    }
    // The averaged weights are not the last ones.
    let last = fs::read(whole.join("checkpoints/step-00000006/model.safetensors")).unwrap();
    let average = fs::read(whole.join("checkpoints/step-00000006/ema.safetensors")).unwrap();
    assert_ne!(last, average);

    // Another configuration does not resume this run.
    let path = write_config(dir.path(), "accumulate = 2");
    let (refused, _) = go(&path, &broken, true, 1000);
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("another run") && text.contains("accumulate"), "{text}");
}

/// A checkpoint whose hashes are right and whose optimiser lacks a moment: the one before is taken, whole.
#[test]
fn a_checkpoint_without_a_moment_is_passed_over_for_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let path = write_config(dir.path(), "");
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    go(&path, &whole, false, 1000).0.unwrap();
    go(&path, &broken, false, 4).0.unwrap();
    let checkpoints = Checkpoints::new(broken.join("checkpoints"), 3);
    let (found, _) = checkpoints.latest(|_| Ok(())).unwrap();
    let loaded = found.unwrap().0;
    assert_eq!(loaded.state.step, 4);
    let moments = SafeTensors::parse("optimizer", loaded.file("optimizer.safetensors").unwrap()).unwrap();
    let names = moments.names();
    let lost = names.iter().rfind(|name| name.starts_with("adamw.square.")).unwrap();
    let mut writer = Writer::new();
    for name in names.iter().filter(|name| *name != lost) {
        let shape = moments.tensor(name).unwrap().shape.to_vec();
        writer.f32(name, &shape, &read_f32(&moments, name, &shape).unwrap()).unwrap();
    }
    let file = |name: &'static str| (name, loaded.file(name).unwrap().to_vec());
    let optimizer = ("optimizer.safetensors", writer.finish().unwrap());
    checkpoints.save(&loaded.state, &[file("model.safetensors"), optimizer, file("ema.safetensors")]).unwrap();

    let (summary, notes) = go(&path, &broken, true, 1000);
    assert!(summary.unwrap().complete);
    let named =
        |note: &String| ["step-00000004", "optimizer.safetensors", "incomplete"].iter().all(|w| note.contains(w));
    assert!(notes.iter().any(named), "{notes:?}");
    assert_eq!(losses(&whole), losses(&broken));
    for file in ["model.safetensors", "optimizer.safetensors", "ema.safetensors"] {
        let file = Path::new("checkpoints/step-00000006").join(file);
        assert!(fs::read(whole.join(&file)).unwrap() == fs::read(broken.join(&file)).unwrap(), "{file:?} differs");
    }
}

#[test]
fn what_is_missing_is_named_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_config(dir.path(), "");
    let output = dir.path().join("out");
    let (result, _) = go(&path, &output, false, 1);
    assert!(result.unwrap_err().to_string().contains("config.json"));
    model_folder(dir.path());
    fs::write(dir.path().join("start/model.safetensors"), [1, 2, 3]).unwrap();
    let (result, _) = go(&path, &output, false, 1);
    assert!(result.unwrap_err().to_string().contains("model.safetensors"));
    assert!(!output.exists());
}

#[test]
fn resuming_where_nothing_is_starts_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let path = write_config(dir.path(), "");
    let (new, old) = (dir.path().join("new"), dir.path().join("old"));
    let (summary, notes) = go(&path, &old, false, 2);
    assert_eq!(summary.unwrap().step, 2);
    assert!(!notes.iter().any(|n| n.contains("resume")), "{notes:?}");
    let (summary, notes) = go(&path, &new, true, 2);
    assert_eq!(summary.unwrap().step, 2);
    let said = format!("nothing to resume in {}: starting from step 0", new.display());
    assert_eq!(notes.iter().filter(|n| **n == said).count(), 1, "{notes:?}");
    assert_eq!(losses(&new), losses(&old));
    let (summary, notes) = go(&path, &new, true, 1);
    assert_eq!(summary.unwrap().step, 3);
    assert!(!notes.iter().any(|n| n.contains("nothing to resume")), "{notes:?}");
}

#[test]
fn the_model_is_finished_once_and_its_card_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let path = write_config(dir.path(), "");
    let text = fs::read_to_string(&path).unwrap() + "[head_fit]\nshare = 0.5\nridge = 0.1\n";
    let text = text.replace("horizon = 0.5", "horizon = 0.5 # ``` in a comment");
    // The card has no more of an absolute path than its last part.
    let start = format!("folder = {:?}", dir.path().join("start"));
    fs::write(&path, text.replace("folder = \"start\"", &start)).unwrap();
    let output = dir.path().join("small");
    let card = output.join("model/README.md");
    let (summary, notes) = go(&path, &output, false, 1000);
    let summary = summary.unwrap();
    assert_eq!(notes.iter().filter(|n| n.contains("fitting the head")).count(), 1, "{notes:?}");

    let cell = summary.validation.clone().unwrap();
    let cell = cell.cell("new_concept_new_vendor").unwrap();
    let first = fs::read_to_string(&card).unwrap();
    let percent = |v: Option<f64>| format!("{:.1}", 100.0 * v.unwrap());
    let figures = format!("| {} | {} | {} / {} |", cell.n, cell.candidates, percent(cell.r1), percent(cell.r5));
    let config = format!("````toml\n{}\n````\n", text.trim_end());
    for part in [
        "# small\n",
        "\nLicence: ",
        "of width 24 and depth 1",
        "6 of 6 pictures, 36 in all",
        "drawings of 58 concepts by Noto",
        &figures,
        &config,
        "vljepa classify ",
    ] {
        assert!(first.contains(part), "no {part:?} in:\n{first}");
    }
    assert!(!first.contains(&dir.path().display().to_string()), "paths of this machine:\n{first}");

    // Finished anew: the same model, one last evaluation in the log, and the licence stays as its owner stated it.
    let weights = fs::read(output.join("model/model.safetensors")).unwrap();
    let log = fs::read_to_string(output.join("metrics.jsonl")).unwrap();
    let stated = "Licence: MIT, see LICENSE";
    let line = first.lines().find(|line| line.starts_with("Licence:")).unwrap();
    fs::write(&card, first.replace(line, stated)).unwrap();
    let (again, _) = go(&path, &output, true, 1000);
    assert_eq!(again.unwrap(), summary);
    assert!(fs::read(output.join("model/model.safetensors")).unwrap() == weights);
    assert_eq!(fs::read_to_string(output.join("metrics.jsonl")).unwrap(), log);
    let spread = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["embeddings"].clone();
    let spreads: Vec<_> = log.lines().map(spread).filter(|spread| !spread.is_null()).collect();
    assert_eq!((spreads.len(), &spreads[0]["prediction"]["n"]), (1, &6.into()), "{log}");
    assert!(spreads[0]["target"]["effective_rank"].as_f64().unwrap() > 2.0, "{log}");
    let cells =
        log.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap().get("validation").cloned());
    let [cells] = &cells.collect::<Vec<_>>()[..] else { panic!("one evaluation in: {log}") };
    for cell in cells.as_object().unwrap().values() {
        // Validation embeds no wordings: figures over no samples are null.
        assert!(cell["t2i_n"] == 0 && cell["t2i_r1"].is_null() && cell["t2i_r5"].is_null(), "{cell}");
        assert!(cell["n"].as_u64().unwrap() > 0 && cell["r1"].is_f64() && cell["r5"].is_f64(), "{cell}");
    }
    assert_eq!(fs::read_to_string(&card).unwrap(), first.replace(line, stated));
    let files: Vec<_> = fs::read_dir(output.join("model")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
}

#[test]
fn finishing_anew_keeps_what_the_owner_wrote_and_leaves_no_half_model() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let path = write_config(dir.path(), "");
    let output = dir.path().join("run");
    let (card, new) = (output.join("model/README.md"), output.join("model/README.new.md"));
    go(&path, &output, false, 1000).0.unwrap();
    let first = fs::read_to_string(&card).unwrap();

    // The device is the one that trained, wherever the run is finished anew. A card of which only the licence was
    // stated is replaced.
    let checkpoints = Checkpoints::new(output.join("checkpoints"), 3);
    let (loaded, ()) = checkpoints.latest(|_| Ok(())).unwrap().0.unwrap();
    let mut state = loaded.state.clone();
    assert_eq!(state.device.replace("another device".into()), Some(device().info().name.clone()));
    let files = ["model.safetensors", "optimizer.safetensors", "ema.safetensors"];
    checkpoints.save(&state, &files.map(|name| (name, loaded.file(name).unwrap().to_vec()))).unwrap();
    let line = first.lines().find(|line| line.starts_with("Licence:")).unwrap();
    fs::write(&card, first.replace(line, "Licence: MIT")).unwrap();
    let (summary, notes) = go(&path, &output, true, 1000);
    assert!(summary.unwrap().complete && !notes.iter().any(|n| n.contains("README")), "{notes:?}");
    let second = fs::read_to_string(&card).unwrap();
    assert!(second.contains("\nLicence: MIT\n") && second.contains(", at the end on another device |"), "{second}");
    assert!(!new.exists());

    // One with a section of its owner's stays.
    let edited = format!("{second}\n## Limits\n\nIt has seen drawings only.\n");
    fs::write(&card, &edited).unwrap();
    let (summary, notes) = go(&path, &output, true, 1000);
    assert!(summary.unwrap().complete);
    assert_eq!(notes.iter().filter(|n| n.contains("README.new.md is the new card")).count(), 1, "{notes:?}");
    assert_eq!(fs::read_to_string(&card).unwrap(), edited);
    assert_eq!(fs::read_to_string(&new).unwrap(), second);

    // Stopped between its files, the folder is no model.
    let (config, tokenizer) = (output.join("model/config.json"), output.join("model/target_tokenizer.json"));
    fs::remove_file(&tokenizer).unwrap();
    fs::create_dir(&tokenizer).unwrap();
    assert!(config.exists());
    let error = go(&path, &output, true, 1000).0.unwrap_err().to_string();
    assert!(error.contains("target_tokenizer.json"), "{error}");
    assert!(!config.exists());
    fs::remove_dir(&tokenizer).unwrap();
    go(&path, &output, true, 1000).0.unwrap();
    assert!(config.exists() && tokenizer.is_file());
}

/// Scalars of a TensorBoard file by step, read back field by field.
fn scalars(path: &Path) -> Vec<(u64, Vec<(String, f32)>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    fn part<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
        let (head, rest) = bytes.split_at(length);
        *bytes = rest;
        head
    }
    let file = fs::read(path).unwrap();
    let (mut rest, mut events) = (&file[..], Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(part(&mut rest, 8).try_into().unwrap());
        part(&mut rest, 4);
        let mut event = part(&mut rest, length as usize);
        part(&mut rest, 4);
        let (mut step, mut values) = (0, Vec::new());
        while !event.is_empty() {
            match varint(&mut event) {
                0x09 => drop(part(&mut event, 8)),
                0x10 => step = varint(&mut event),
                0x1a => {
                    let length = varint(&mut event) as usize;
                    assert_eq!(part(&mut event, length), b"brain.Event:2");
                }
                0x2a => {
                    let length = varint(&mut event) as usize;
                    let mut summary = part(&mut event, length);
                    while !summary.is_empty() {
                        assert_eq!(varint(&mut summary), 0x0a);
                        let length = varint(&mut summary) as usize;
                        let mut value = part(&mut summary, length);
                        assert_eq!(varint(&mut value), 0x0a);
                        let length = varint(&mut value) as usize;
                        let tag = String::from_utf8(part(&mut value, length).to_vec()).unwrap();
                        assert_eq!(varint(&mut value), 0x15);
                        values.push((tag, f32::from_le_bytes(part(&mut value, 4).try_into().unwrap())));
                    }
                }
                other => panic!("field {other:#x}"),
            }
        }
        events.push((step, values));
    }
    events
}

#[test]
fn tensorboard_reads_what_the_log_says() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let path = write_config(dir.path(), "");
    let output = dir.path().join("run");
    go(&path, &output, false, 3).0.unwrap();
    go(&path, &output, true, 1000).0.unwrap();
    let events = scalars(&output.join("events.out.tfevents.vljepa"));
    let told: Vec<(u64, f64)> = events
        .iter()
        .filter_map(|(step, values)| {
            Some((*step, f64::from(values.iter().find(|(tag, _)| tag == "loss").map(|(_, loss)| *loss)?)))
        })
        .collect();
    // The log has the shortest digits of the same f32.
    let logged: Vec<(u64, f64)> =
        losses(&output).into_iter().map(|(step, loss)| (step, f64::from(loss as f32))).collect();
    assert_eq!(told, logged);
    assert!(
        events
            .iter()
            .flat_map(|(_, values)| values)
            .any(|(tag, _)| tag.starts_with("validation/") && tag.ends_with("/r1"))
    );
    assert!(events.iter().flat_map(|(_, values)| values).any(|(tag, _)| tag == "embeddings/prediction/effective_rank"));
}

#[test]
fn a_run_that_gets_no_better_ends_with_its_best_model() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let text = |steps: u64, more: &str| {
        let text =
            config_text(&format!("steps = {steps}\nbatch = 6\n"), "[schedule]\nkind = \"constant\"\nwarmup = 0.0\n");
        format!("{text}\n{more}\n")
    };
    // A rate of nothing: every evaluation is the first one.
    let slow = |text: String| text.replace("[schedule]", "[optimizer]\nlr = 1e-30\nweight_decay = 0.0\n[schedule]");
    let path = dir.path().join("run.toml");
    fs::write(&path, slow(text(9, "[evaluate]\nevery = 1\npatience = 2\n[ema]\nhorizon = 0.5\n"))).unwrap();
    let output = dir.path().join("run");
    let (summary, notes) = go(&path, &output, false, 1000);
    let summary = summary.unwrap();
    assert!(summary.complete && summary.step == 3, "{summary:?}");
    assert!(notes.iter().any(|n| n.contains("ended after step 3") && n.contains("that of step 1")), "{notes:?}");
    assert!(output.join("checkpoints/best/SHA256SUMS").is_file() && output.join("model/model.safetensors").is_file());
    let weights = fs::read(output.join("model/model.safetensors")).unwrap();
    // Gone on with, it has ended already.
    let (again, _) = go(&path, &output, true, 1000);
    assert_eq!(again.unwrap().step, 3);
    assert!(fs::read(output.join("model/model.safetensors")).unwrap() == weights);
    // Without its best checkpoint the best is looked for anew: the next evaluation, and two more.
    fs::remove_dir_all(output.join("checkpoints/best")).unwrap();
    let (summary, notes) = go(&path, &output, true, 1000);
    assert_eq!(summary.unwrap().step, 6);
    assert!(notes.iter().any(|n| n.contains("best") && n.contains("looked for anew")), "{notes:?}");
    assert!(notes.iter().any(|n| n.contains("ended after step 6") && n.contains("that of step 4")), "{notes:?}");
    // Stopped in the middle of its patience, it ends like one that was not.
    let parts = dir.path().join("parts");
    assert!(!go(&path, &parts, false, 2).0.unwrap().complete);
    let (summary, notes) = go(&path, &parts, true, 1000);
    assert_eq!(summary.unwrap().step, 3);
    assert!(notes.iter().any(|n| n.contains("that of step 1")), "{notes:?}");
    assert!(fs::read(parts.join("model/model.safetensors")).unwrap() == weights);
    // Without patience the run goes on, and keeps the best beside the last.
    fs::write(&path, slow(text(4, "[evaluate]\nevery = 1\n[checkpoint]\nbest = true\n"))).unwrap();
    let output = dir.path().join("whole");
    assert_eq!(go(&path, &output, false, 1000).0.unwrap().step, 4);
    let best = Checkpoints::new(output.join("checkpoints"), 2).best().unwrap();
    assert_eq!(best.state.step, 1);
    fs::write(&path, text(4, "[checkpoint]\nbest = true\n")).unwrap();
    let error = vljepa_train::check(&path, None).unwrap_err().to_string();
    assert!(error.contains("`checkpoint.best`") && error.contains("`evaluate.every`"), "{error}");
    fs::write(&path, text(4, "[evaluate]\npatience = 2\n")).unwrap();
    let error = vljepa_train::check(&path, None).unwrap_err().to_string();
    assert!(error.contains("`evaluate.patience`") && error.contains("`evaluate.every`"), "{error}");
}
