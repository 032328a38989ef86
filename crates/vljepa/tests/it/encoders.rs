//! Folders as the model hub has them, used as they are, against what transformers and sentence-transformers give for the
//! same files and texts (`model/tests/fixtures/make_hub.py`).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vljepa_model::weights::{SafeTensors, WeightSource, Writer, read_f32};

use crate::support::{Bench, copy, fails, json, noted, tokenizer, vljepa};
use crate::synthetic::synthetic;

pub fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../model/tests/fixtures/hub", name].iter().collect()
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

/// Writes a folder of a fixture: its small files, and the tensors that its names seed.
fn folder(bench: &Bench, name: &str, fixture: &Value) -> String {
    for (file, content) in fixture["files"].as_object().unwrap() {
        let path = bench.path(&format!("{name}/{file}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content.to_string()).unwrap();
    }
    for (file, tensors) in fixture["tensors"].as_object().unwrap() {
        let mut writer = Writer::new();
        for (tensor, shape) in tensors.as_object().unwrap() {
            let shape: Vec<usize> = shape.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
            // Both heads have a tensor of the same name: the fixture seeds them by their place.
            let seed = match file.split_once("_Dense/") {
                Some((at, _)) => format!("dense.{}.{tensor}", at.parse::<usize>().unwrap() - 2),
                None => tensor.clone(),
            };
            writer.f32(tensor, &shape, &synthetic(&seed, &shape, None)).unwrap();
        }
        bench.write(&format!("{name}/{file}"), writer.finish().unwrap());
    }
    bench.text(name)
}

/// The classifier of the fixture in `name`, and the fixture.
pub fn vjepa2(bench: &Bench, name: &str) -> (String, Value) {
    let fixture = read("vjepa2.json");
    (folder(bench, name, &fixture), fixture)
}

/// The text encoder `kind` of the fixture in a folder of that name, and the fixture's texts.
pub fn text(bench: &Bench, kind: &str) -> (String, Vec<String>) {
    let fixture = read("text.json");
    (folder(bench, kind, &fixture[kind]), serde_json::from_value(fixture["texts"].clone()).unwrap())
}

fn vector(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    assert_eq!(a.len(), b.len());
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The reference resizes with torchvision, which differs from Pillow, and so from us, by one level in about one value of a
/// hundred: rows are not equal, but point the same way.
const SAME: f64 = 0.9999;

#[test]
fn pictures_and_clips_give_the_rows_of_the_reference() {
    let bench = Bench::new();
    let (model, fixture) = vjepa2(&bench, "hub");
    for (input, name) in [("picture.png", "picture"), ("clip.png", "clip")] {
        let file = self::fixture(input).display().to_string();
        let want = &fixture[name];
        for pool in ["mean", "last", "probe"] {
            let got = json(["embed", &file, "--model", &model, "--pool", pool]);
            let row = vector(&got["rows"][0]["embedding"]);
            let cos = cosine(&row, &vector(&want[pool]));
            assert!(cos >= SAME, "{name} {pool}: {cos}");
            assert!((row.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-5, "unit length");
        }
        let plain = json(["embed", &file, "--model", &model]);
        assert_eq!(
            plain,
            json(["embed", &file, "--model", &model, "--pool", "mean"]),
            "the mean is what is done unasked"
        );

        let shape: Vec<usize> = vector(&want["tokens_shape"]).iter().map(|&n| n as usize).collect();
        let tokens = json(["embed", &file, "--model", &model, "--pool", "none"]);
        let grid: Vec<Vec<f64>> = tokens["rows"][0]["embedding"].as_array().unwrap().iter().map(vector).collect();
        assert_eq!((grid.len(), grid[0].len()), (shape[0], shape[1]));
        let expected = vector(&want["tokens"]);
        for (i, (row, want)) in grid.iter().zip(expected.chunks(shape[1])).enumerate() {
            // One token sees few of the values that differ by a level, or many.
            assert!(cosine(row, want) > 0.999, "{name}, token {i}: {}", cosine(row, want));
            // Not normalised: as long as those of the reference.
            let length = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
            assert!((length(row) / length(want) - 1.0).abs() < 0.01, "{name}, token {i}");
        }
        let npy = bench.text("tokens.npy");
        let said = json(["embed", &file, &file, "--model", &model, "--pool", "none", "--out", &npy]);
        assert_eq!(said["shape"], json!([2, shape[0], shape[1]]));
        let bytes = std::fs::read(&npy).unwrap();
        let header = format!("'shape': (2, {}, {}), ", shape[0], shape[1]);
        assert!(String::from_utf8_lossy(&bytes[..128]).contains(&header));
        let first: Vec<f64> =
            bytes[128..].chunks_exact(4).map(|v| f64::from(f32::from_le_bytes(v.try_into().unwrap()))).collect();
        assert_eq!(first.len(), 2 * shape[0] * shape[1]);
        assert!(cosine(&first[..expected.len()], &expected) >= SAME);
    }
    // Rows of one file have one shape.
    let (picture, clip) = (fixture_text("picture.png"), fixture_text("clip.png"));
    let args = ["embed", &picture, &clip, "--model", &model];
    assert_eq!(json(args)["rows"].as_array().unwrap().len(), 2);
    fails(&mut vljepa([&args[..], &["--pool", "none"]].concat()), &["clip.png", "[32, 24]", "[16, 24]", "apart"]);
}

fn fixture_text(name: &str) -> String {
    fixture(name).display().to_string()
}

#[test]
fn a_classifier_scores_its_own_classes() {
    let bench = Bench::new();
    let (model, fixture) = vjepa2(&bench, "hub");
    for name in ["picture", "clip"] {
        let found = json(["classify", &fixture_text(&format!("{name}.png")), "--model", &model]);
        let labels = found["results"][0]["labels"].as_array().unwrap();
        let logits = vector(&fixture[name]["logits"]);
        let sum: f64 = logits.iter().map(|l| l.exp()).sum();
        let mut order: Vec<usize> = (0..3).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        for (label, class) in labels.iter().zip(order) {
            assert_eq!(label["label"], fixture["files"]["config.json"]["id2label"][class.to_string()]);
            assert!((label["logit"].as_f64().unwrap() - logits[class]).abs() < 2e-3, "{name}: {label} {logits:?}");
            assert!((label["score"].as_f64().unwrap() - logits[class].exp() / sum).abs() < 1e-3);
        }
        assert_eq!(labels.len(), 3);
    }
    let picture = fixture_text("picture.png");
    let text = vljepa(["classify", &picture, "--model", &model, "--top", "1"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.lines().count() == 1 && text.contains('%'), "{text}");
    fails(
        &mut vljepa(["classify", &picture, "--model", &model, "--labels", "a,b"]),
        &["config.json", "no text side", "compare pictures with labels", "leave the labels out"],
    );
    fails(
        &mut vljepa(["classify", &picture, "--model", &model, "--template", "a photo of {}"]),
        &["scores its own classes", "leave --template out"],
    );
    let broken = bench.write("broken.png", "no picture");
    let args = ["classify", &broken, &picture, "--model", &model];
    fails(&mut vljepa(args), &["broken.png", "not a picture", "--skip-broken"]);
    let (found, notes) = noted([&args[..], &["--skip-broken"]].concat());
    assert!(notes.lines().count() == 1 && notes.starts_with("skipped: ") && notes.contains("broken.png"), "{notes}");
    assert_eq!((found["results"].as_array().unwrap().len(), &found["skipped"]), (1, &json!([broken])));
    assert_eq!(found["results"][0]["input"], picture);
    let mut config = fixture["files"]["config.json"].clone();
    config["id2label"] = json!({"0": "a"});
    bench.write("hub/config.json", config.to_string());
    fails(
        &mut vljepa(["classify", &picture, "--model", &model]),
        &["config.json", "`id2label` names 1 classes", "has 3"],
    );
}

/// Rewrites the tensors of a folder's `model.safetensors` under other names; `None` drops one.
fn renamed(path: &Path, name: impl Fn(&str) -> Option<String>) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::parse("model", &bytes).unwrap();
    let mut out = Vec::new();
    for (old, new) in file.names().iter().filter_map(|old| Some((old.clone(), name(old)?))) {
        let shape = file.tensor(&old).unwrap().shape.to_vec();
        let values = read_f32(&file, &old, &shape).unwrap();
        out.push((new, shape, values));
    }
    out
}

#[test]
fn base_models_shards_and_folders_without_a_processor() {
    let bench = Bench::new();
    let (model, _) = vjepa2(&bench, "hub");
    let picture = fixture_text("picture.png");
    let rows = |model: &str| vector(&json(["embed", &picture, "--model", model])["rows"][0]["embedding"]);
    let whole = rows(&model);
    // The base model, in two shards.
    let base = renamed(&bench.path("hub/model.safetensors"), |n| n.strip_prefix("vjepa2.").map(str::to_owned));
    copy(&bench.path("hub"), &bench.path("base"));
    std::fs::remove_file(bench.path("base/model.safetensors")).unwrap();
    let mut map = serde_json::Map::new();
    for (i, part) in base.chunks(base.len() / 2 + 1).enumerate() {
        let (file, mut writer) = (format!("model-{i}.safetensors"), Writer::new());
        for (name, shape, values) in part {
            writer.f32(name, shape, values).unwrap();
            map.insert(name.clone(), file.clone().into());
        }
        bench.write(&format!("base/{file}"), writer.finish().unwrap());
    }
    bench.write("base/model.safetensors.index.json", json!({ "weight_map": map }).to_string());
    let base = bench.text("base");
    assert_eq!(rows(&base), whole);
    fails(
        &mut vljepa(["embed", &picture, "--model", &base, "--pool", "probe"]),
        &["no attentive pooler", "classifier checkpoint", "none, mean or last"],
    );
    fails(&mut vljepa(["classify", &picture, "--model", &base]), &["no text side", "vljepa embed"]);
    // The processor's defaults are those of its file here.
    std::fs::remove_file(bench.path("base/video_preprocessor_config.json")).unwrap();
    assert_eq!(rows(&base), whole);
    bench
        .write("base/preprocessor_config.json", r#"{"video_processor_type": "VJEPA2VideoProcessor", "crop_size": 40}"#);
    assert!(cosine(&rows(&base), &whole) < 0.99999, "another crop, another row");
    for (processor, words) in [
        (r#"{"video_processor_type": "VJEPA2VideoProcessor", "crop_size": 36}"#, "patch of 8"),
        (r#"{"size": {"height": 32, "width": 64}}"#, "only squares"),
        ("{", "preprocessor_config.json"),
    ] {
        bench.write("base/preprocessor_config.json", processor);
        fails(&mut vljepa(["embed", &picture, "--model", &base]), &["preprocessor_config.json", words]);
    }
    let info = json(["info", "--model", &model]);
    let info = info["models"].as_array().unwrap().last().unwrap();
    assert_eq!((&info["kind"], &info["classes"], &info["image_size"]), (&json!("vjepa2"), &json!(3), &json!(32)));
    let mut config = serde_json::from_slice::<Value>(&std::fs::read(bench.path("base/config.json")).unwrap()).unwrap();
    config["in_chans"] = 4.into();
    bench.write("base/config.json", config.to_string());
    fails(&mut vljepa(["embed", &picture, "--model", &base]), &["config.json", "`in_chans` is 4"]);
    // Weights that do not fit are told apart from their configuration.
    let broken =
        renamed(&bench.path("hub/model.safetensors"), |n| (n != "vjepa2.encoder.layernorm.bias").then(|| n.to_owned()));
    let mut writer = Writer::new();
    for (name, shape, values) in &broken {
        writer.f32(name, shape, values).unwrap();
    }
    bench.write("hub/model.safetensors", writer.finish().unwrap());
    fails(&mut vljepa(["embed", &picture, "--model", &model]), &["1 missing: encoder.layernorm.bias"]);
}

#[test]
fn text_encoders_give_the_rows_of_the_reference() {
    let bench = Bench::new();
    let fixture = read("text.json");
    let texts: Vec<&str> = fixture["texts"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    for kind in ["bert", "gemma3", "qwen3"] {
        let model = folder(&bench, kind, &fixture[kind]);
        let rows = |more: &[&str]| {
            let (got, notes) = noted([&["embed-text", "--model", &model], &texts[..], more].concat());
            assert!(
                notes.starts_with("TEXT 5: \"a text of more letters than")
                    && notes.ends_with("to the 40 that the model takes: shorten it\n"),
                "{notes}"
            );
            got["rows"].as_array().unwrap().iter().map(|r| vector(&r["embedding"])).collect::<Vec<_>>()
        };
        let same = |got: &[Vec<f64>], want: &Value, what: &str| {
            let want = vector(want);
            for (i, (row, want)) in got.iter().zip(want.chunks(got[0].len())).enumerate() {
                let far = row.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                // Unit rows of two layers in f32.
                assert!(far < 1e-5, "{kind} {what}, text {i}: {far}");
            }
            assert_eq!(got.len(), want.len() / got[0].len());
        };
        same(&rows(&[]), &fixture[kind]["rows"], "as the folder says");
        same(&rows(&["--pool", "mean"]), &fixture[kind]["mean"], "mean");
        same(&rows(&["--pool", "last"]), &fixture[kind]["last"], "last");
        // Without the modules the encoder's own way of pooling.
        if kind != "gemma3" {
            std::fs::remove_file(bench.path(&format!("{kind}/modules.json"))).unwrap();
            same(&rows(&[]), &fixture[kind]["rows"], "bare");
        }
        let info = json(["info", "--model", &model]);
        assert_eq!(info["models"].as_array().unwrap().last().unwrap()["kind"], kind);
        let whole = rows(&[]);
        for (precision, least) in [("f16", 0.9999), ("i8", 0.99)] {
            let likeness = cosine(&rows(&["--precision", precision])[1], &whole[1]);
            assert!(likeness > least && likeness < 1.0 - 1e-12, "{kind}, {precision}: {likeness}");
        }
    }
    let gemma = bench.text("gemma3");
    let run = || vljepa(["embed-text", "a", "--model", &gemma]);
    let write = |name: &str, content: &str| bench.write(&format!("gemma3/{name}"), content);
    write("1_Pooling/config.json", r#"{"pooling_mode": "max"}"#);
    fails(&mut run(), &["config.json", "pooling max", "mean, cls, lasttoken"]);
    write("1_Pooling/config.json", "");
    fails(&mut run(), &["1_Pooling/config.json", "empty"]);
    write("1_Pooling/config.json", "{}");
    write("tokenizer.json", &tokenizer());
    fails(&mut run(), &["tokenizer.json", "<bos>", "another model's file?"]);
    std::fs::remove_file(bench.path("gemma3/tokenizer.json")).unwrap();
    fails(&mut run(), &["tokenizer.json", "no such file"]);
    write("tokenizer.json", &fixture["gemma3"]["files"]["tokenizer.json"].to_string());
    std::fs::remove_file(bench.path("gemma3/2_Dense/model.safetensors")).unwrap();
    fails(&mut run(), &["2_Dense", "a folder without weights"]);
}

#[test]
fn first_tokens_and_older_names_of_norms_are_read() {
    let bench = Bench::new();
    let (model, _) = text(&bench, "bert");
    let rows = |more: &[&str]| json([&["embed-text", "a cat", "dog", "--model", &model], more].concat());
    let (mean, cls) = (rows(&["--pool", "mean"]), rows(&["--pool", "cls"]));
    let first = |rows: &Value| vector(&rows["rows"][0]["embedding"]);
    assert!(cosine(&first(&mean), &first(&cls)) < 0.9999);
    bench.write("bert/1_Pooling/config.json", r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#);
    assert_eq!(rows(&[]), cls, "as the folder says");
    // Files of before 2019.
    let older = renamed(&bench.path("bert/model.safetensors"), |name| {
        let older = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        Some(format!("bert.{older}"))
    });
    assert!(older.iter().filter(|(name, ..)| name.ends_with(".gamma")).count() > 4);
    let mut writer = Writer::new();
    for (name, shape, values) in &older {
        writer.f32(name, shape, values).unwrap();
    }
    bench.write("bert/model.safetensors", writer.finish().unwrap());
    assert_eq!(rows(&[]), cls);
}

#[test]
fn what_a_model_cannot_do_is_said_plainly() {
    let bench = Bench::new();
    let (vision, _) = vjepa2(&bench, "hub");
    let text = folder(&bench, "bert", &read("text.json")["bert"]);
    let picture = bench.text("pictures/0.png");
    let idx = bench.text("p.idx");
    let page = bench.text("page.html");
    json(bench.args(&["index", "build", "@pictures", "--out", &idx]));
    let before = bench.files(".");
    for (args, what) in [
        (vec!["search", &idx, "cat"], "cannot search pictures by a text"),
        (vec!["index", "build", &bench.text("pictures"), "--out", &idx], "cannot build an index that texts search"),
        (vec!["classify", &picture, "--labels", "a,b"], "cannot compare pictures with labels"),
        (vec!["ask", &picture, "--question", "what", "--answers", "a,b"], "cannot answer questions"),
        (vec!["eval", "emoji-vendors"], "cannot be measured"),
        (vec!["demo", "--out", &page], "cannot name and find pictures"),
    ] {
        for (model, is) in
            [(&vision, "is a V-JEPA 2 encoder: it has no text side"), (&text, "is a text encoder (Bert)")]
        {
            let args = [&args[..], &["--model", model]].concat();
            fails(&mut vljepa(args), &["config.json", is, what, "use "]);
        }
    }
    fails(
        &mut vljepa(["embed-text", "cat", "--model", &vision]),
        &["no text side", "cannot embed texts", "use a text encoder"],
    );
    fails(&mut vljepa(["embed", &picture, "--model", &text]), &["sees no pictures", "cannot embed pictures"]);
    fails(&mut vljepa(["classify", &picture, "--model", &text]), &["sees no pictures"]);
    fails(&mut vljepa(["embed", &picture, "--query", " "]), &["--query", "empty", "leave --query out"]);
    fails(
        &mut vljepa(["embed", &picture, "--model", &vision, "--query", "what"]),
        &["takes no query", "leave --query out"],
    );
    fails(&mut vljepa(bench.args(&["embed", &picture, "--pool", "mean"])), &["one vector", "--pool", "leave it out"]);
    fails(&mut vljepa(bench.args(&["embed-text", "a", "--pool", "last"])), &["one vector", "--pool", "leave it out"]);
    for (args, flag) in
        [(["embed-text", "cat", " \t"], "TEXT: text 2 of 2"), (["search", &idx, ""], "TEXT: text 1 of 1")]
    {
        fails(&mut vljepa(bench.args(&args)), &[flag, "is empty", "leave it out"]);
    }
    fails(&mut vljepa(bench.args(&["classify", &picture])), &["no classes of its own", "--labels"]);
    assert_eq!(bench.files("."), before, "nothing half-written");
    for args in [["embed", &picture, "--pool", "median"], ["embed-text", "a", "--pool", "probe"]] {
        let output = vljepa(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
