//! Sprite World as a source: what a step sees, and runs that are resumed.

use std::collections::BTreeSet;
use std::path::Path;

use vljepa_data::Preprocess;
use vljepa_train::data::{Sample, Source};
use vljepa_train::sources::sprite_world::{self, Corpus};
use vljepa_train::{RunOptions, TrainConfig, run};

use crate::support::device;

/// A small network for clips of 8 frames of 32 pixels.
fn config_text(data: &str, steps: u64) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    format!(
        "steps = {steps}\nbatch = 6\noutput = \"run\"\n[model]\nconfig = \"model.json\"\ny_encoder = '{}'\n[data]\nkind = \
         \"sprite-world\"\nvendors = [\"noto\"]\n{data}\n[objective]\nkind = \"batch\"\ny_head = {{ train = true, whiten = false }}\n\
         [optimizer]\nkind = \"muon\"\n[checkpoint]\nevery = 1\nseconds = 0\n\
         [evaluate]\nclips = 2\n",
        root.join("../vljepa/assets/compact").display()
    )
}

fn write(dir: &Path, data: &str, steps: u64) -> std::path::PathBuf {
    let model = include_str!("../../examples/clips.json");
    assert!(model.contains("\"crop_size\": 64"));
    std::fs::write(dir.join("model.json"), model.replace("\"crop_size\": 64", "\"crop_size\": 32")).unwrap();
    let path = dir.join("sprites.toml");
    std::fs::write(&path, config_text(data, steps)).unwrap();
    path
}

fn corpus(data: &str) -> Corpus {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), data, 1);
    let config = TrainConfig::read(&path).unwrap();
    let model = vljepa_model::config::VlJepaConfig::from_json(include_str!("../../examples/clips.json")).unwrap();
    sprite_world::open(&config, &model).unwrap()
}

fn samples(corpus: &Corpus, seed: u64, step: u64) -> Vec<Sample> {
    corpus.samples(seed, step, 6, &Preprocess::square(32)).unwrap()
}

#[test]
fn a_step_is_a_function_of_seed_and_number() {
    let corpus = corpus("");
    let one = samples(&corpus, 1, 4);
    assert_eq!(one, samples(&corpus, 1, 4));
    assert_ne!(one, samples(&corpus, 1, 5));
    assert_ne!(one, samples(&corpus, 2, 4));
    assert!(one.iter().all(|s| s.visual.frames == 8 && s.visual.pixels.len() == 8 * 3 * 32 * 32 && s.class.is_none()));
    assert!(one.iter().all(|s| s.visual.pixels.iter().all(|v| (-1.0..=1.0).contains(v))));
    let asked = (0..50).flat_map(|step| samples(&corpus, 1, step)).filter(|s| s.query.is_some()).count();
    // 0.6 of 300; the standard deviation is 8.5.
    assert!((150..=210).contains(&asked), "{asked}");
}

#[test]
fn a_number_of_clips_is_seen_once_an_epoch_in_another_order() {
    let corpus = corpus("clips = 30\nquestions = 0");
    assert_eq!(corpus.steps_per_epoch(6), Some(5));
    assert!(corpus.limit().is_some_and(|limit| limit.most == 30));
    let epoch = |number: u64| -> Vec<String> {
        (5 * number..5 * number + 5).flat_map(|step| samples(&corpus, 1, step)).map(|sample| sample.origin).collect()
    };
    let (first, second) = (epoch(0), epoch(1));
    let all = |epoch: &[String]| epoch.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(all(&first).len(), 30);
    assert_eq!(all(&first), all(&second));
    assert_ne!(first, second);
    assert!((0..10).flat_map(|step| samples(&corpus, 1, step)).all(|sample| sample.query.is_none()));
}

#[test]
fn only_the_kinds_that_are_named_are_asked() {
    let corpus = corpus("questions = 1.0\nkinds = [\"yes_no\", \"direction\"]");
    let answers: BTreeSet<String> = (0..30)
        .flat_map(|step| samples(&corpus, 1, step))
        .filter(|sample| sample.query.is_some())
        .flat_map(|sample| sample.targets)
        .collect();
    let directions = ["left", "right", "up", "down", "up and left", "up and right", "down and left", "down and right"];
    assert!(answers.contains("yes") && answers.contains("no"), "{answers:?}");
    assert!(
        answers.iter().all(|answer| ["yes", "no"].contains(&answer.as_str()) || directions.contains(&answer.as_str()))
    );
}

#[test]
fn a_run_that_was_stopped_ends_like_one_that_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "", 3);
    let weights = |output: &str| std::fs::read(dir.path().join(output).join("model/model.safetensors")).unwrap();
    let whole = run(&path, RunOptions::new(device()).output(dir.path().join("whole"))).unwrap();
    assert!(whole.complete);
    let output = dir.path().join("parts");
    let mut left = 2;
    let stop = || {
        left -= 1;
        left == 0
    };
    assert!(!run(&path, RunOptions::new(device()).output(&output).stop(stop)).unwrap().complete);
    assert!(run(&path, RunOptions::new(device()).output(&output).resume(true)).unwrap().complete);
    assert_eq!(weights("whole"), weights("parts"));
}
