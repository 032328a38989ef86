//! V-JEPA 2.1 from a file of its authors to rows: stills go through their own patch embedding, videos through theirs.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vljepa_data::video::{Rounding, VideoReader};
use vljepa_data::{Limits, Preprocess, decode_file};
use vljepa_model::config::Vjepa2Config;
use vljepa_model::weights::{SafeTensors, WeightSource, Writer, read_f32};
use vljepa_model::{AttentiveProbe, Forward, Vjepa2Encoder};
use vljepa_tensor::{Device, DeviceOptions, Tensor};

use crate::support::{Bench, fails, json, noted, vljepa};
use crate::synthetic::synthetic;

fn fixture(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../model/tests/fixtures", name].iter().collect();
    path.display().to_string()
}

fn convert<'a>(source: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["convert", "--from", "vjepa2-pt", source, "--out", out], more].concat()
}

fn config(folder: &Path) -> Vjepa2Config {
    Vjepa2Config::from_json(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap()
}

#[test]
fn the_moving_average_is_found_by_its_name_and_the_size_by_the_version() {
    let bench = Bench::new();
    let source = fixture("v2_1/official.pt");
    let (said, notes) = noted(convert(&source, &bench.text("out"), &[]));
    assert_eq!(said["model"], "V-JEPA 2.1 of width 8 and depth 12, with its predictor");
    assert_eq!(said["assumed_crop_size"], 384);
    assert!(notes.lines().count() == 1 && notes.contains("384 pixels are assumed"), "{notes}");
    assert!(notes.contains("published V-JEPA 2.1; pass --crop-size N"), "{notes}");
    let written = config(&bench.path("out"));
    assert_eq!((written.crop_size, written.hierarchical_layers.as_slice()), (384, &[2, 5, 8, 11][..]));
    assert_eq!((written.pred_num_mask_tokens, written.teacher_embed_dim), (8, Some(20)));
    let dtype = |out: &str| {
        let found = json(["inspect", &bench.text(out)]);
        let tensors = found["tensors"].as_array().unwrap().clone();
        tensors.iter().find(|t| t["name"] == "encoder.norms_block.3.weight").unwrap()["dtype"].clone()
    };
    let said = json(convert(&source, &bench.text("student"), &["--entry", "encoder", "--crop-size", "8"]));
    assert_eq!(said["assumed_crop_size"], Value::Null);
    assert_eq!((dtype("out"), dtype("student")), (json!("BF16"), json!("F16")));
    let out = bench.text("none");
    fails(&mut vljepa(convert(&source, &out, &["--entry", "target_encoder"])), &["no entry", "--entry ema_encoder"]);
    // A configuration of V-JEPA 2 does not fit: nothing is left out silently.
    let plain = Vjepa2Config { hierarchical_layers: vec![], ..written };
    let plain = bench.write("plain.json", serde_json::to_string(&plain).unwrap());
    fails(
        &mut vljepa(convert(&source, &out, &["--config", &plain])),
        &["official.pt", "2 missing", "8 unexpected", "encoder.layernorm", "norms_block"],
    );
    assert!(!bench.path("none").exists());
}

/// A folder with the average of `official.pt` for pictures of 8 pixels, and a probe of two classes.
fn folder(bench: &Bench) -> String {
    let (converted, model) = (bench.text("converted"), bench.text("probed"));
    json(convert(&fixture("v2_1/official.pt"), &converted, &["--crop-size", "8"]));
    let config = Vjepa2Config { num_pooler_layers: 1, ..config(&bench.path("converted")) };
    std::fs::create_dir(bench.path("probed")).unwrap();
    bench.write("probed/config.json", serde_json::to_string(&config).unwrap());
    let bytes = std::fs::read(bench.path("converted/model.safetensors")).unwrap();
    let file = SafeTensors::parse("converted", &bytes).unwrap();
    let mut writer = Writer::new();
    for name in file.names() {
        let shape = file.tensor(&name).unwrap().shape.to_vec();
        writer.f32(&name, &shape, &read_f32(&file, &name, &shape).unwrap()).unwrap();
    }
    for t in config.probe_tensors(2) {
        writer.f32(&t.name, &t.shape, &synthetic(&t.name, &t.shape, None)).unwrap();
    }
    bench.write("probed/model.safetensors", writer.finish().unwrap());
    model
}

fn vector(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

#[track_caller]
fn near(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    let off = got.iter().zip(want).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(off <= 1e-5 * scale, "{what}: off by {off} of {scale}");
}

#[test]
fn a_still_and_a_clip_give_the_rows_of_their_own_embeddings() {
    let bench = Bench::new();
    let model = folder(&bench);
    let device = Device::open(DeviceOptions::default()).unwrap();
    let config = config(&bench.path("probed"));
    let bytes = std::fs::read(bench.path("probed/model.safetensors")).unwrap();
    let file = SafeTensors::parse("model", &bytes).unwrap();
    let encoder = Vjepa2Encoder::load(&device, &config, &mut &file, "encoder").unwrap();
    let probe = AttentiveProbe::load(&device, &config, 2, &mut &file).unwrap();
    let preprocess = Preprocess::vjepa2(8);
    let f = Forward::inference();

    let (picture, clip) = (fixture("hub/picture.png"), fixture("hub/clip.png"));
    let limits = Limits::default();
    let still = preprocess.run(&decode_file(Path::new(&picture), &limits).unwrap()).unwrap();
    let frames = VideoReader::open(&clip).unwrap().uniform(64, Rounding::Down).unwrap();
    let taken: Vec<_> = frames.into_iter().map(|frame| frame.rgb).collect();
    let video = preprocess.clip(&taken).unwrap();
    for (name, file, frames, pixels) in [("still", &picture, 1, still), ("clip", &clip, 64, video)] {
        let input = Tensor::from_f32(&device, &[1, frames, 3, 8, 8], &pixels).unwrap();
        let tokens = encoder.forward(&f, &input).unwrap();
        assert_eq!(tokens.shape(), [1, frames.div_ceil(2) * 4, 8], "{name}");
        let want = tokens.value().to_f32().unwrap();
        let got = json(["embed", file, "--model", &model, "--pool", "none"]);
        let got: Vec<f32> = got["rows"][0]["embedding"].as_array().unwrap().iter().flat_map(vector).collect();
        near(&format!("{name}, tokens"), &got, &want);
        let unit = |v: Vec<f32>| {
            let length = v.iter().map(|x| x * x).sum::<f32>().sqrt();
            v.into_iter().map(|x| x / length).collect::<Vec<_>>()
        };
        let count = want.len() / 8;
        let mean = unit((0..8).map(|i| want.iter().skip(i).step_by(8).sum::<f32>() / count as f32).collect());
        let last = unit(want[want.len() - 8..].to_vec());
        let pooled = unit(probe.pool(&f, &tokens).unwrap().value().to_f32().unwrap());
        for (pool, want) in [("mean", mean), ("last", last), ("probe", pooled)] {
            let got = json(["embed", file, "--model", &model, "--pool", pool]);
            near(&format!("{name}, {pool}"), &vector(&got["rows"][0]["embedding"]), &want);
        }
        let logits = probe.forward(&f, &tokens).unwrap().value().to_f32().unwrap();
        let found = json(["classify", file, "--model", &model]);
        let labels = found["results"][0]["labels"].as_array().unwrap();
        let best = usize::from(logits[1] > logits[0]);
        assert_eq!(labels[0]["label"], format!("LABEL_{best}"), "{name}");
        assert!((labels[0]["logit"].as_f64().unwrap() as f32 - logits[best]).abs() < 1e-5, "{name}");
    }
}
