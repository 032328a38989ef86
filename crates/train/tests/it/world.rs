//! World models: two optimiser steps as PyTorch takes them, one batch overfitted, runs that go on bit for bit, files at fault.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use vljepa_embed::folder::LewmFolder;
use vljepa_model::config::LewmConfig;
use vljepa_model::weights::{SafeTensors, read_f32};
use vljepa_model::{Drops, Forward, Lewm, LewmBatch, LewmInit, Param, Part};
use vljepa_tensor::autograd::{self, Tape, Var};
use vljepa_tensor::{Tensor, ops};
use vljepa_train::config::OptimizerConfig;
use vljepa_train::optim::Optimizer;
use vljepa_train::world::{WorldData, WorldRun, WorldTrainer};
use vljepa_train::{RunOptions, run};
use vljepa_worlds::trajectories::{Collect, collect};
use vljepa_worlds::world_by_name;

use crate::support::device;

fn fixture(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "model", "tests", "fixtures", name].iter().collect();
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn two_steps_are_those_of_pytorch() {
    let about: Value = serde_json::from_slice(&fixture("lewm.json")).unwrap();
    let config = LewmConfig::from_json(&about["config"].to_string()).unwrap();
    let bytes = fixture("lewm.safetensors");
    let file = SafeTensors::parse("lewm", &bytes).unwrap();
    let model = Lewm::load(&device(), &config, &mut &file).unwrap();
    let get = |name: &str, shape: &[usize]| read_f32(&file, name, shape).unwrap();
    let upload = |name: &str, shape: &[usize]| Tensor::from_f32(&device(), shape, &get(name, shape)).unwrap();
    let (pictures, actions) = (upload("input.pictures", &[3, 4, 3, 12, 12]), upload("input.actions", &[3, 3, 6]));
    let directions = Var::constant(upload("input.directions", &[24, 7]));
    let options = OptimizerConfig { lr: 1e-3, weight_decay: 0.01, clip: 1.0, ..OptimizerConfig::default() };
    let params: Vec<(Part, &Param)> =
        model.params().into_iter().filter(|p| Lewm::is_trained(p.name())).map(|p| (Part::Predictor, p)).collect();
    let mut optimizer = Optimizer::new(&options, &params, &|_| false);
    for step in 0..2 {
        let tape = Tape::new();
        let f = Forward::training(tape.clone(), Lewm::is_trained);
        let drops = Drops { seed: 0, step: 0 };
        let batch = LewmBatch { pictures: &pictures, actions: &actions, drops, roll_out: false };
        let pass = model.train(&f, &batch).unwrap();
        let off = autograd::sub(&pass.predicted, &pass.targets).unwrap();
        let prediction = autograd::mean(&autograd::mul(&off, &off).unwrap()).unwrap();
        let by_frame = autograd::permute(&pass.latents, &[1, 0, 2]).unwrap();
        let along = autograd::matmul(&by_frame, &directions, ops::Layout::Nn).unwrap();
        let statistic = autograd::sigreg(&along, 17, 3.0).unwrap();
        let loss = autograd::add(&prediction, &autograd::scale(&statistic, 0.09).unwrap()).unwrap();
        let value = loss.value().to_f32().unwrap()[0];
        let want = about["losses"][step][0].as_f64().unwrap() as f32;
        assert!((value - want).abs() < 2e-4 * want, "step {step}: {value}, PyTorch {want}");
        let grads: BTreeMap<String, Tensor> = f.gradients(tape.backward(&loss, None).unwrap()).into_iter().collect();
        let squares = ops::square_sums(&grads.values().collect::<Vec<_>>()).unwrap();
        let clip = ops::clip_scale(&squares, 1.0).unwrap();
        optimizer.step(&model.params(), &grads, 1.0, Some(&clip)).unwrap();
        model.remember(&pass.statistics).unwrap();
    }
    for param in model.params() {
        let shape = param.tensor().shape();
        let (before, want) = (get(param.name(), shape), get(&format!("after.{}", param.name()), shape));
        let got = param.tensor().to_f32().unwrap();
        let moved = before.iter().zip(&want).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        let off = got.iter().zip(&want).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        // AdamW divides by the size of a gradient: what is zero in exact arithmetic moves by its rounding. What a batch norm takes
        // away again is so, and a bias of the keys.
        let vanish = ["net.0.bias", "attention.key.bias", "encoder.layernorm.bias", "transformer.norm.bias"];
        let rounding = vanish.iter().any(|end| param.name().ends_with(end));
        assert!(rounding || off < 0.02 * moved + 1e-6, "{}: off by {off} of {moved}", param.name());
    }
}

const MODEL: &str = r#"{"model_type": "lewm", "image_size": 28, "patch_size": 14, "hidden_size": 24, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 32, "projection_size": 32, "frameskip": 5, "history": 1,
    "predictor": {"depth": 1, "heads": 2, "dim_head": 8, "mlp_dim": 32, "dropout": 0.1}}"#;

fn text(steps: u64, more: &str) -> String {
    format!(
        "seed = 3\nsteps = {steps}\nbatch = 8\n[model]\nconfig = \"model.json\"\n[world]\nname = \"two-room\"\nepisodes = 12\n\
         [objective]\nframes = 3\nroll_out = 0.5\nsigreg = {{ weight = 0.05, directions = 16 }}\n[optimizer]\nlr = 3e-3\n\
         [evaluate]\nwindows = 16\n[checkpoint]\nevery = 2\n{more}"
    )
}

fn folder(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("model.json"), MODEL).unwrap();
    let path = dir.path().join("run.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

#[test]
fn one_batch_is_overfitted() {
    let run: WorldRun = toml::from_str(&text(80, "[schedule]\nkind = \"constant\"\nwarmup = 0.0\n")).unwrap();
    let mut config = LewmConfig::from_json(MODEL).unwrap();
    config.predictor.dropout = 0.0;
    let world = world_by_name("two-room").unwrap();
    let episodes = collect(world.as_ref(), &Collect::new(12, 3)).unwrap();
    let data = Arc::new(WorldData::new(world, episodes, &config, 3, 0.2).unwrap());
    let model = Lewm::random(&device(), &config, LewmInit { seed: 3 }).unwrap();
    let mut trainer = WorldTrainer::new(&device(), run, model, data.clone()).unwrap();
    let batch = data.batch(3, 0, 8).unwrap();
    assert_eq!(batch, data.batch(3, 0, 8).unwrap());
    assert_ne!(batch, data.batch(3, 1, 8).unwrap());
    let first = trainer.step(&batch).unwrap();
    let mut last = first;
    for _ in 1..80 {
        last = trainer.step(&batch).unwrap();
    }
    assert!(last.prediction < 0.3 * first.prediction, "from {first:?} to {last:?}");
    assert!(last.rolled.unwrap() < 0.4 * first.rolled.unwrap(), "from {first:?} to {last:?}");
    // SIGReg keeps latents from one point.
    assert!(last.sigreg < first.sigreg, "from {first:?} to {last:?}");
    let figures = trainer.evaluate().unwrap().figures();
    assert!(figures.windows == 16 && figures.linear.is_some() && figures.copy_last > 0.0, "{figures:?}");
}

fn go(path: &Path, output: &Path, resume: bool, steps: u64) -> vljepa_train::Summary {
    let left = std::cell::Cell::new(steps);
    let stop = || {
        left.set(left.get() - 1);
        left.get() == 0
    };
    run(path, RunOptions::new(device()).resume(resume).output(output).stop(stop)).unwrap()
}

#[test]
fn a_stopped_run_goes_on_bit_for_bit_and_its_model_opens() {
    let (dir, path) = folder(&text(6, ""));
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    assert!(go(&path, &whole, false, 1000).complete);
    let first = go(&path, &parts, false, 3);
    assert!(!first.complete && first.step == 3);
    let rest = go(&path, &parts, true, 1000);
    assert!(rest.complete && rest.world.is_some());
    let weights = |folder: &Path| fs::read(folder.join("model/model.safetensors")).unwrap();
    assert!(weights(&whole) == weights(&parts));
    let opened = LewmFolder::open(&parts.join("model")).unwrap();
    let config = opened.config();
    assert_eq!((config.world.as_deref(), config.actions.as_ref().map(|a| a.mean.len())), (Some("two-room"), Some(2)));
    let model = opened.load(&device()).unwrap();
    // Running statistics have moved from where they begin.
    let moved = model.params().into_iter().filter(|p| p.name().ends_with("running_mean"));
    assert!(moved.into_iter().all(|p| p.tensor().to_f32().unwrap().iter().any(|v| *v != 0.0)));
    let card = fs::read_to_string(parts.join("model/README.md")).unwrap();
    assert!(card.contains("two-room") && card.contains("off by"), "{card}");
    let log = fs::read_to_string(parts.join("metrics.jsonl")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("\"prediction\"") && line.contains("\"sigreg\"")).count(), 6);

    // Trained further from its folder.
    let further = text(2, "").replace("config = \"model.json\"", "folder = \"parts/model\"");
    fs::write(&path, further).unwrap();
    assert!(go(&path, &dir.path().join("further"), false, 1000).complete);
}

#[test]
fn faults_of_a_file_are_named_with_their_line() {
    for (from, to, named) in [
        ("name = \"two-room\"", "name = \"three-room\"", "three-room"),
        ("frames = 3", "frames = 1", "objective.frames"),
        ("frames = 3", "frames = 2", "objective.roll_out"),
        ("episodes = 12", "episodes = 1", "world.episodes"),
        ("episodes = 12", "episodes = 12\noptions = { fast = 1 }", "fast"),
        ("episodes = 12", "episodes = 12\npolicy = \"weak\"", "weak"),
        ("lr = 3e-3", "lr = -1", "optimizer.lr"),
        ("config = \"model.json\"", "config = \"other.json\"", "model.config"),
        ("config = \"model.json\"", "", "model"),
        ("batch = 8", "batch = 1", "batch"),
    ] {
        let text = text(2, "").replace(from, to);
        let (_dir, path) = folder(&text);
        let error = vljepa_train::check(&path, None).unwrap_err().to_string();
        assert!(error.contains(named) && error.contains("run.toml"), "{from} -> {to}: {error}");
    }
    let (dir, path) = folder(&text(2, ""));
    fs::write(dir.path().join("model.json"), MODEL.replace("\"history\"", "\"action_size\": 3, \"history\"")).unwrap();
    let error = vljepa_train::check(&path, None).unwrap_err().to_string();
    assert!(error.contains("action_size"), "{error}");
}
