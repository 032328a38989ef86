//! Runs around a frozen V-JEPA 2: its tokens are kept on disk, the Predictor and the heads learn.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vljepa_embed::Model;
use vljepa_embed::folder::ModelFolder;
use vljepa_model::weights::{SafeTensors, WeightSource};
use vljepa_train::{Event, RunOptions, Summary, TrainError, run};

use crate::probe_runs::{encoder, films};
use crate::support::{device, model_config, model_folder};

/// A folder with an encoder, films with a question each, a Y-Encoder, and a configuration without an X-Encoder.
fn bench() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    encoder(dir.path(), true);
    films(dir.path(), 8);
    let manifest = dir.path().join("clips.jsonl");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"target\"", "\"query\": \"where to\", \"target\"")).unwrap();
    model_folder(dir.path());
    let mut config: Value = serde_json::from_str(&model_config().to_json().unwrap()).unwrap();
    config["predictor"]["config"]["vocab_size"] = json!(58);
    config["max_query_tokens"] = json!(12);
    let config = config.as_object_mut().unwrap();
    config.remove("x_encoder");
    config.remove("preprocessing");
    fs::write(dir.path().join("model.json"), Value::Object(config.clone()).to_string()).unwrap();
    dir
}

fn write_config(dir: &Path, model: &str, more: &str) -> PathBuf {
    let path = dir.join("train.toml");
    let text = format!(
        "seed = 3\nsteps = 60\nbatch = 8\n[model]\n{model}\ny_encoder = \"start\"\n[data]\nkind = \"manifest\"\nmanifest = \
         \"clips.jsonl\"\n{more}[objective]\nkind = \"batch\"\ny_head = {{ whiten = false }}\n[optimizer]\nlr = 0.01\n\
         [checkpoint]\nevery = 20\n"
    );
    fs::write(&path, text).unwrap();
    path
}

const AROUND: &str = "config = \"model.json\"\nx_encoder = \"vjepa2\"\nfeatures = \"shared\"";

fn go(path: &Path, output: &Path, resume: bool, steps: u64) -> (Result<Summary, TrainError>, Vec<f32>, usize) {
    let (taken, made) = (Cell::new(0), Cell::new(0));
    let mut losses = Vec::new();
    let options = RunOptions::new(device())
        .resume(resume)
        .output(output)
        .stop(|| {
            taken.set(taken.get() + 1);
            taken.get() == steps
        })
        .observer(|event| match event {
            Event::Features { .. } => made.set(made.get() + 1),
            Event::Step { report, .. } => losses.push(report.loss),
            _ => {}
        });
    let result = run(path, options);
    (result, losses, made.get())
}

#[test]
fn a_predictor_learns_around_an_encoder_that_runs_once_for_each_row() {
    let dir = bench();
    let path = write_config(dir.path(), AROUND, "");
    let (whole, stopped) = (dir.path().join("whole"), dir.path().join("stopped"));
    let (summary, losses, made) = go(&path, &whole, false, 0);
    let summary = summary.unwrap();
    // 8 of each class to train on, 3 to validate; those to test are not touched.
    assert_eq!(made, 22);
    let (first, last) = (losses[..5].iter().sum::<f32>() / 5.0, losses[55..].iter().sum::<f32>() / 5.0);
    assert!(last < 0.6 * first, "{first} to {last}");
    let validation = summary.validation.unwrap();
    assert!(validation.cell("questions").unwrap().r1.unwrap() > 0.7, "{validation:?}");

    // A second run has all features, and one that was stopped ends with the same bits.
    let (half, _, made) = go(&path, &stopped, false, 33);
    assert_eq!((half.unwrap().complete, made), (false, 0));
    let resumed = go(&path, &stopped, true, 0).0.unwrap();
    assert_eq!(resumed.validation, Some(validation));
    let weights = |run: &Path| fs::read(run.join("model/model.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&stopped), "the same bits");

    // The folder holds the encoder as it was, and answers by itself.
    let (made, theirs) = (weights(&whole), fs::read(dir.path().join("vjepa2/model.safetensors")).unwrap());
    let (made, theirs) = (SafeTensors::parse("made", &made).unwrap(), SafeTensors::parse("theirs", &theirs).unwrap());
    let mut held = 0;
    for name in theirs.names().iter().filter(|name| name.starts_with("encoder.")) {
        let own = made.tensor(&name.replacen("encoder.", "x_encoder.", 1)).unwrap();
        assert_eq!(own.bytes, theirs.tensor(name).unwrap().bytes, "{name}");
        held += 1;
    }
    assert!(held > 10);
    let checkpoint = fs::read(whole.join("checkpoints/step-00000060/model.safetensors")).unwrap();
    let checkpoint = SafeTensors::parse("checkpoint", &checkpoint).unwrap();
    assert!(!checkpoint.names().iter().any(|name| name.starts_with("x_encoder.")), "it stays with its folder");
    let folder = ModelFolder::open(&whole.join("model")).unwrap();
    assert_eq!((folder.config().preprocessing.mean, folder.config().frames()), ([0.4; 3], 4));
    let model = Model::load(&device(), &folder).unwrap();
    let clips: Vec<PathBuf> = (22..26).map(|i| dir.path().join(format!("clips/{i}.y4m"))).collect();
    let rows = model.embed_files(&clips, Some("where to")).unwrap();
    let (texts, _) = model.embed_texts(&["right".into(), "down".into()]).unwrap();
    let right = (0..4).filter(|&i| {
        let cosines = rows.cosines(i, &texts).unwrap();
        usize::from(cosines[1] > cosines[0]) == i % 2
    });
    assert!(right.count() >= 3, "clips that were neither trained nor validated on");
}

#[test]
fn what_was_kept_gives_what_the_encoder_gives() {
    let dir = bench();
    let path = write_config(dir.path(), AROUND, "");
    let (trainer, maker) = vljepa_train::prepare(&device(), &path).unwrap();
    let batch = maker.make(0).unwrap();
    let encoded = batch.encoded.unwrap();
    assert_eq!((encoded.tokens, encoded.width, batch.len()), (8, 24, 8));
    let (loss, grads) = trainer.gradients(&batch).unwrap();
    assert!(grads.keys().all(|name| !name.starts_with("x_encoder.")));
    // The same rows through the encoder.
    let apart = fs::read_to_string(&path).unwrap().replace("x_encoder = \"vjepa2\"\nfeatures = \"shared\"\n", "");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(dir.path().join("model.json")).unwrap()).unwrap();
    let whole: Value = serde_json::from_str(&trainer.model().config.to_json().unwrap()).unwrap();
    (config["x_encoder"], config["preprocessing"]) = (whole["x_encoder"].clone(), whole["preprocessing"].clone());
    fs::write(dir.path().join("model.json"), config.to_string()).unwrap();
    let other = dir.path().join("apart.toml");
    fs::write(&other, apart).unwrap();
    let (plain, pixels) = vljepa_train::prepare(&device(), &other).unwrap();
    for param in plain.model().params() {
        let own = trainer.model().params().into_iter().find(|p| p.name() == param.name()).unwrap().tensor().to_f32();
        param.tensor().write_f32(&own.unwrap()).unwrap();
    }
    let seen = pixels.make(0).unwrap();
    assert_eq!((seen.encoded, &seen.origins, &seen.pairs), (None, &batch.origins, &batch.pairs));
    let (want, wanted) = plain.gradients(&seen).unwrap();
    // Tokens are kept in eleven bits.
    assert!((loss - want).abs() < 2e-3 * want.abs(), "{loss} for {want}");
    for (name, grad) in &grads {
        let (a, b) = (grad.to_f32().unwrap(), wanted[name].to_f32().unwrap());
        let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let off: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
        assert!(norm(&off) <= 0.01 * norm(&b) + 1e-6, "{name}: {} of {}", norm(&off), norm(&b));
    }
}

#[test]
fn what_does_not_go_with_a_frozen_encoder_is_one_line() {
    let dir = bench();
    let refused = |model: &str, more: &str| {
        let path = write_config(dir.path(), model, more);
        let error = vljepa_train::check(&path, None).unwrap_err().to_string();
        assert!(error.lines().count() == 1, "{error}");
        error
    };
    for (model, more, words) in [
        ("folder = \"start\"\nx_encoder = \"vjepa2\"", "", ["line 6", "leave it out"]),
        ("config = \"model.json\"\nfeatures = \"shared\"", "", ["line 6", "`model.features`"]),
        ("config = \"model.json\"\nx_encoder = \"start\"", "", ["line 6", "is no V-JEPA 2"]),
        ("config = \"model.json\"\nx_encoder = \"gone\"", "", ["line 6", "gone"]),
        (AROUND, "image_size = 16\n", ["line 12", "do not go with `model.x_encoder`"]),
        (AROUND, "frames = 3\n", ["line 12", "tubelet"]),
        ("config = \"clips.jsonl\"\nx_encoder = \"vjepa2\"", "", ["line 5", "clips.jsonl"]),
    ] {
        let error = refused(model, more);
        assert!(words.iter().all(|word| error.contains(word)), "{model}: {error}");
    }
    let path = write_config(dir.path(), AROUND, "");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("kind = \"manifest\"\nmanifest = \"clips.jsonl\"\n", "")).unwrap();
    let error = vljepa_train::check(&path, None).unwrap_err().to_string();
    assert!(error.contains("line 6") && error.contains("`kind = \"manifest\"`"), "{error}");
    // A processor that a VL-JEPA's configuration cannot say.
    let processor = dir.path().join("vjepa2/video_preprocessor_config.json");
    let own = fs::read_to_string(&processor).unwrap();
    fs::write(&processor, own.replace("\"resample\": 2", "\"resample\": 3")).unwrap();
    assert!(refused(AROUND, "").contains("write `preprocessing`"));
}
