//! Whole runs with `[probe]` from a file: a small V-JEPA 2, films of moving squares, a classifier in the end.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use vljepa_data::{Rgba8Image, encode_png};
use vljepa_embed::folder::{AnyFolder, VisionFolder};
use vljepa_embed::models::VisionModel;
use vljepa_embed::visuals::FileOptions;
use vljepa_model::config::Vjepa2Config;
use vljepa_model::weights::Writer;
use vljepa_model::{ParamSource, RandomInit};
use vljepa_train::{Event, RunOptions, Summary, TrainError, run};

use crate::support::device;

/// Side of the films in pixels, larger than what the encoder sees.
const SIDE: usize = 24;

/// A small V-JEPA 2 with random weights, of which the tokens tell where something is.
pub fn encoder(dir: &Path, processor: bool) -> PathBuf {
    let json = r#"{"model_type": "vjepa2", "patch_size": 8, "crop_size": 16, "frames_per_clip": 4, "tubelet_size": 2,
        "hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 1, "mlp_ratio": 2.0, "num_pooler_layers": 1,
        "initializer_range": 0.2, "pred_hidden_size": 12, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1,
        "pred_num_mask_tokens": 2, "something_else": "kept"}"#;
    let config = Vjepa2Config::from_json(json).unwrap();
    let folder = dir.join("vjepa2");
    fs::create_dir_all(&folder).unwrap();
    let mut source = RandomInit { seed: 1, range: 0.2, logit_scale: 0.0 };
    let mut writer = Writer::new();
    for spec in config.tensors().into_iter().chain(config.predictor_tensors()) {
        writer.f32(&spec.name, &spec.shape, &source.values(&spec.name, &spec.shape).unwrap()).unwrap();
    }
    fs::write(folder.join("config.json"), json).unwrap();
    fs::write(folder.join("model.safetensors"), writer.finish().unwrap()).unwrap();
    if processor {
        let text = r#"{"crop_size": 16, "size": 18, "resample": 2, "rescale_factor": 0.00392156862745098,
            "image_mean": [0.4, 0.4, 0.4], "image_std": [0.3, 0.3, 0.3]}"#;
        fs::write(folder.join("video_preprocessor_config.json"), text).unwrap();
    }
    folder
}

/// A film of six frames in which a bright square moves to the right or down, from a place that `number` decides.
fn film(down: bool, number: usize) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 W{SIDE} H{SIDE} F6:1 Cmono\n").into_bytes();
    for frame in 0..6 {
        let mut picture = vec![40 + (number % 5) as u8; SIDE * SIDE];
        let (along, across) = (2 * frame + number % 3, 2 + (7 * number) % 12);
        for y in 0..8 {
            for x in 0..8 {
                let (row, column) = if down { (along + y, across + x) } else { (across + y, along + x) };
                picture[row * SIDE + column] = 220;
            }
        }
        bytes.extend(b"FRAME\n");
        bytes.extend(picture);
    }
    bytes
}

/// Films of two classes and a manifest of them: `count` of each to train on, three to validate, two to test.
pub fn films(dir: &Path, count: usize) {
    let mut lines = String::new();
    let all = count + 5;
    for i in 0..2 * all {
        let (down, number) = (i % 2 == 1, i / 2);
        let name = format!("clips/{i}.y4m");
        fs::create_dir_all(dir.join("clips")).unwrap();
        fs::write(dir.join(&name), film(down, number + 100 * usize::from(down))).unwrap();
        let split = if number < count {
            "train"
        } else if number < count + 3 {
            "validation"
        } else {
            "test"
        };
        let target = if down { "down" } else { "right" };
        lines += &format!("{{\"visual\": \"{name}\", \"target\": \"{target}\", \"split\": \"{split}\"}}\n");
    }
    fs::write(dir.join("clips.jsonl"), lines).unwrap();
}

const TABLES: &str =
    "[model]\nx_encoder = \"vjepa2\"\nfeatures = \"shared\"\n[data]\nkind = \"manifest\"\nmanifest = \"clips.jsonl\"\n";

fn write_config(dir: &Path, more: &str, probe: &str) -> PathBuf {
    let path = dir.join("probe.toml");
    let text = format!("seed = 2\nbatch = 4\n{TABLES}{more}[probe]\n{probe}");
    fs::write(&path, text).unwrap();
    path
}

fn go(path: &Path, output: &Path, resume: bool, steps: u64) -> (Result<Summary, TrainError>, Vec<String>, usize) {
    let (taken, made) = (Cell::new(0), Cell::new(0));
    let mut notes = Vec::new();
    let options = RunOptions::new(device())
        .resume(resume)
        .output(output)
        .stop(|| {
            taken.set(taken.get() + 1);
            taken.get() == steps
        })
        .observer(|event| match event {
            Event::Features { .. } => made.set(made.get() + 1),
            Event::ProbeStep { .. } => {}
            other => notes.push(other.to_string()),
        });
    let result = run(path, options);
    (result, notes, made.get())
}

fn classes(model: &Path, file: &Path) -> (String, f64) {
    let folder = VisionFolder::open(model).unwrap();
    let model = VisionModel::load_as(&device(), &folder, Default::default()).unwrap();
    let found = model.classify(&[file.to_path_buf()], 2, FileOptions::default()).unwrap();
    (found.classes[0][0].label.clone(), found.classes[0][0].score)
}

#[test]
fn films_become_a_classifier_that_names_others() {
    for (kind, probe) in [
        ("attentive", "epochs = 25\nlearning_rates = [1e-6, 3e-3]\nweight_decays = [0.0, 0.01]\ndepth = 0\n"),
        ("linear", "kind = \"linear\"\nepochs = 60\nlearning_rates = [1e-6, 0.05]\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        encoder(dir.path(), kind == "linear");
        films(dir.path(), 12);
        let path = write_config(dir.path(), "", probe);
        let output = dir.path().join("run");
        let (summary, notes, made) = go(&path, &output, false, 0);
        let summary = summary.unwrap();
        assert_eq!(made, 34, "features of every clip");
        let said = notes.join("\n");
        for word in ["8 tokens × 24 × 2 B = 384 B a clip", "24 clips of 2 classes to train on, 12 a class", "heads"] {
            assert!(said.contains(word), "{word} in {said}");
        }
        let report = summary.probe.unwrap();
        assert_eq!(report.labels, ["down", "right"]);
        let (validation, test) = (report.validation.unwrap(), report.test.unwrap());
        assert_eq!((validation.n, test.n, validation.chance), (6, 4, 0.5));
        assert!(validation.top1 > 0.8 && test.top1 > 0.7, "{kind}: {validation:?} {test:?}");
        assert!(report.head.learning_rate > 1e-4, "{:?}", report.head);
        let text = fs::read_to_string(output.join("probe.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["validation"]["confusion"].as_array().unwrap().len(), 2);

        // What the folder's classifier says of each test clip is what was measured.
        let model = output.join("model");
        let mut right = 0;
        for i in 30..34 {
            let (label, score) = classes(&model, &dir.path().join(format!("clips/{i}.y4m")));
            right += usize::from(label == ["right", "down"][i % 2]);
            assert!(score > 0.5);
        }
        assert_eq!(right, test.correct, "{kind}");
        let config: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(model.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["id2label"], serde_json::json!({"0": "down", "1": "right"}));
        assert_eq!((config["something_else"].as_str(), config["frames_per_clip"].as_u64()), (Some("kept"), Some(4)));
        let card = fs::read_to_string(model.join("README.md")).unwrap();
        for word in ["down, right", "95 %", "Licence:", "x_encoder = \"vjepa2\"", "| test | 4 |"] {
            assert!(card.contains(word), "{word} in {card}");
        }
        assert!(!card.contains(&dir.path().display().to_string()), "no path of this machine");
        // A processor's configuration is the encoder's own, or its defaults.
        let (own, theirs) =
            (VisionFolder::open(&model).unwrap(), VisionFolder::open(&dir.path().join("vjepa2")).unwrap());
        assert_eq!(own.preprocess(), theirs.preprocess());
        assert!(model.join("video_preprocessor_config.json").is_file());
        assert!(matches!(AnyFolder::open(&model).unwrap(), AnyFolder::Vision(_)));
        assert!(!output.join("run.lock").exists());
    }
}

#[test]
fn a_second_run_never_runs_the_encoder_and_moved_files_keep_their_features() {
    let dir = tempfile::tempdir().unwrap();
    let folder = encoder(dir.path(), false);
    films(dir.path(), 4);
    let probe = "epochs = 2\nlearning_rates = [1e-3]\ndepth = 0\n";
    let path = write_config(dir.path(), "", probe);
    let (first, notes, made) = go(&path, &dir.path().join("one"), false, 0);
    assert_eq!(made, 18, "{notes:?}");
    fs::rename(dir.path().join("clips"), dir.path().join("moved")).unwrap();
    let manifest = dir.path().join("clips.jsonl");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("clips/", "moved/")).unwrap();
    let (second, notes, made) = go(&path, &dir.path().join("two"), false, 0);
    assert_eq!(made, 0);
    assert!(notes.iter().any(|note| note.contains("features of all 18 clips are there")), "{notes:?}");
    assert_eq!(first.unwrap().probe, second.unwrap().probe, "the same bits");
    let weights = |run: &str| fs::read(dir.path().join(run).join("model/model.safetensors")).unwrap();
    assert_eq!(weights("one"), weights("two"));

    // A clip that changed, other times of a clip: their features alone are made.
    fs::write(dir.path().join("moved/0.y4m"), film(false, 77)).unwrap();
    assert_eq!(go(&path, &dir.path().join("three"), false, 0).2, 1);
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replacen("\"target\"", "\"end\": 0.5, \"target\"", 1)).unwrap();
    assert_eq!(go(&path, &dir.path().join("four"), false, 0).2, 1);
    // Another sampling, another encoder: all of them.
    let sampled = write_config(dir.path(), "frames = 2\n", probe);
    assert_eq!(go(&sampled, &dir.path().join("five"), false, 0).2, 18);
    let config = fs::read_to_string(folder.join("config.json")).unwrap();
    fs::write(folder.join("config.json"), config.replace("\"kept\"", "\"other\"")).unwrap();
    assert_eq!(go(&sampled, &dir.path().join("six"), false, 0).2, 18);
}

#[test]
fn views_are_drawn_in_training_and_averaged_in_measuring() {
    let dir = tempfile::tempdir().unwrap();
    encoder(dir.path(), false);
    films(dir.path(), 6);
    let path = write_config(
        dir.path(),
        "frames = 2\nsegments = 2\ncrops = \"three\"\nprefetch = 0\n",
        "epochs = 2\nlearning_rates = [1e-3]\ndepth = 0\n",
    );
    let (summary, notes, made) = go(&path, &dir.path().join("run"), false, 0);
    assert_eq!(made, 22);
    assert!(notes.iter().any(|note| note.contains("6 views each")), "{notes:?}");
    let report = summary.unwrap().probe.unwrap();
    assert_eq!(report.validation.unwrap().n, 6);
    let card = fs::read_to_string(dir.path().join("run/model/README.md")).unwrap();
    assert!(card.contains("2 frames, 2 clips of each video, three squares of each frame"), "{card}");
}

#[test]
fn pictures_and_clips_are_classes_together() {
    let dir = tempfile::tempdir().unwrap();
    encoder(dir.path(), false);
    films(dir.path(), 4);
    let manifest = dir.path().join("clips.jsonl");
    let mut lines = fs::read_to_string(&manifest).unwrap();
    for (i, split) in ["train", "train", "validation", "test"].into_iter().enumerate() {
        for (name, light) in [("down", 30), ("right", 220)] {
            let grey = [light + i as u8, light, light, 255].repeat(32 * 24);
            let png = encode_png(&Rgba8Image::new(32, 24, grey).unwrap()).unwrap();
            fs::write(dir.path().join(format!("{name}{i}.png")), png).unwrap();
            lines += &format!(
                "{{\"visual\": \"{name}{i}.png\", \"target\": \"{name}\", \"split\": \"{split}\", \"weight\": 2}}\n"
            );
        }
    }
    fs::write(&manifest, lines).unwrap();
    for probe in ["epochs = 3\nlearning_rates = [1e-3]\n", "kind = \"linear\"\nepochs = 3\nlearning_rates = [1e-2]\n"] {
        let path = write_config(dir.path(), "", probe);
        let output = dir.path().join(if probe.starts_with("kind") { "linear" } else { "attentive" });
        let report = go(&path, &output, false, 0).0.unwrap().probe.unwrap();
        assert_eq!((report.trained_on, report.validation.unwrap().n, report.test.unwrap().n), (12, 8, 6));
        let (label, _) = classes(&output.join("model"), &dir.path().join("down3.png"));
        assert!(label == "down" || label == "right");
    }
}

#[test]
fn a_stopped_run_goes_on_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    encoder(dir.path(), false);
    films(dir.path(), 6);
    let probe = "epochs = 4\nlearning_rates = [1e-3, 1e-2]\ndepth = 1\n";
    let path = write_config(dir.path(), "", probe);
    let (whole, stopped) = (dir.path().join("whole"), dir.path().join("stopped"));
    let want = go(&path, &whole, false, 0).0.unwrap();
    assert_eq!((want.step, want.complete), (12, true));
    let half = go(&path, &stopped, false, 5).0.unwrap();
    assert_eq!((half.step, half.complete, half.model), (5, false, None));
    let error = go(&path, &stopped, false, 0).0.unwrap_err().to_string();
    assert!(error.contains("holds checkpoints"), "{error}");
    let got = go(&path, &stopped, true, 0).0.unwrap();
    assert_eq!(got.probe, want.probe);
    let bytes = |run: &Path| fs::read(run.join("model/model.safetensors")).unwrap();
    assert_eq!(bytes(&whole), bytes(&stopped));
    let lines = |run: &Path| {
        let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| (line["step"].clone(), line["losses"].clone(), line["validation"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(lines(&whole), lines(&stopped));
    assert_eq!(lines(&whole).len(), 12 + 4);
    // Finished: it writes the same again, and leaves a card that its owner changed.
    fs::write(whole.join("model/README.md"), "# Mine").unwrap();
    let (again, notes, made) = go(&path, &whole, true, 0);
    assert_eq!((again.unwrap().probe, made), (want.probe, 0));
    assert!(notes.iter().any(|note| note.contains("README.new.md")), "{notes:?}");
    // Other classes: another run.
    let manifest = dir.path().join("clips.jsonl");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"down\"", "\"below\"")).unwrap();
    let error = go(&path, &stopped, true, 0).0.unwrap_err().to_string();
    assert!(error.contains("these differ: labels"), "{error}");
}

#[test]
fn faults_are_one_line_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    encoder(dir.path(), false);
    films(dir.path(), 3);
    let text_encoder = dir.path().join("text");
    fs::create_dir(&text_encoder).unwrap();
    let sound = fs::read_to_string(dir.path().join("clips.jsonl")).unwrap();
    let refused = |more: &str, probe: &str| {
        let path = write_config(dir.path(), more, probe);
        let error = vljepa_train::check(&path, None).unwrap_err().to_string();
        assert!(error.lines().count() == 1, "{error}");
        error
    };
    for (more, probe, words) in [
        ("", "epochs = 0\n", ["line 10", "`probe.epochs` is 0"]),
        ("", "learning_rates = []\n", ["line 10", "is empty"]),
        ("", "learning_rates = [1e-3, nan]\n", ["line 10", "NaN"]),
        ("", "learning_rates = [1e-3, -1.0]\n", ["line 10", "-1"]),
        ("", "learning_rates = [1e-3, 1e-3]\n", ["line 10", "twice"]),
        ("", "kind = \"quadratic\"\n", ["line 10", "quadratic"]),
        ("", "kind = \"linear\"\ndepth = 2\n", ["line 11", "leave it out"]),
        ("", "steps = 7\n", ["line 10", "steps"]),
        ("frames = 3\n", "", ["line 9", "tubelet (2); take 4"]),
        ("frames = 0\n", "", ["line 9", "`data.frames` is 0"]),
        ("segments = 65\n", "", ["line 9", "`data.segments` is 65"]),
        ("crops = \"four\"\n", "", ["line 9", "four"]),
        ("image_size = 8\n", "", ["line 9", "image_size"]),
    ] {
        let error = refused(more, probe);
        assert!(words.iter().all(|word| error.contains(word)), "{more}{probe}: {error}");
    }
    let change = |from: &str, to: &str| fs::write(dir.path().join("clips.jsonl"), sound.replacen(from, to, 1)).unwrap();
    for (from, to, words) in [
        ("\"target\": \"right\"", "\"targets\": [\"a\", \"b\"]", ["clips.jsonl: line 1", "2 targets"]),
        (
            "\"target\": \"right\", \"split\": \"validation\"",
            "\"target\": \"left\", \"split\": \"validation\"",
            ["line 7", "\"left\""],
        ),
    ] {
        change(from, to);
        let error = refused("", "");
        assert!(words.iter().all(|word| error.contains(word)) && error.contains("data.manifest"), "{error}");
    }
    fs::write(dir.path().join("clips.jsonl"), sound.replace("\"validation\"", "\"test\"")).unwrap();
    assert!(refused("", "").contains("best of 5 heads"));
    fs::write(dir.path().join("clips.jsonl"), sound.replace("down", "right")).unwrap();
    assert!(refused("", "").contains("1 classes"));
    fs::write(dir.path().join("clips.jsonl"), &sound).unwrap();
    let path = write_config(dir.path(), "", "");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to, words) in [
        ("\"vjepa2\"", "\"nowhere\"", ["line 4", "nowhere"]),
        ("\"vjepa2\"", "\"text\"", ["line 4", "config.json"]),
        ("clips.jsonl", "gone.jsonl", ["line 8", "gone.jsonl"]),
        ("\"manifest\"\n", "\"emoji-vendors\"\n", ["line 7", "emoji-vendors"]),
        ("batch = 4", "batch = 7", ["line 2", "6 clips to train on"]),
        ("batch = 4", "batch = 0", ["line 2", "`batch` is 0"]),
    ] {
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = vljepa_train::check(&path, None).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)) && error.lines().count() == 1, "{to}: {error}");
    }
    fs::write(&path, &text).unwrap();
    // A clip that is broken names its row, and what was made before stays.
    fs::write(dir.path().join("clips/3.y4m"), b"YUV4MPEG2 W24 H24 F6:1 Cmono\nFRAME\nxx").unwrap();
    let (result, ..) = go(&path, &dir.path().join("run"), false, 0);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("clips.jsonl: line 4") && error.contains("3.y4m") && error.lines().count() == 1, "{error}");
    fs::remove_file(dir.path().join("clips/3.y4m")).unwrap();
    let error = go(&path, &dir.path().join("run"), false, 0).0.unwrap_err().to_string();
    assert!(error.contains("line 4") && error.contains("no such file"), "{error}");
    // The encoder is where the classifier would go.
    fs::create_dir_all(dir.path().join("own")).unwrap();
    fs::rename(dir.path().join("vjepa2"), dir.path().join("own/model")).unwrap();
    fs::write(&path, text.replace("\"vjepa2\"", "\"own/model\"")).unwrap();
    let error = vljepa_train::check(&path, Some(&dir.path().join("own"))).unwrap_err().to_string();
    assert!(error.contains("would replace it"), "{error}");
}
