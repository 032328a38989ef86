//! `convert` and `inspect`: checkpoints of other projects become folders that run; what is wrong is said in one line.

use std::path::PathBuf;

use serde_json::{Value, json};
use vljepa_data::video::{Rounding, VideoReader, uniform};
use vljepa_data::{Limits, decode_file};
use vljepa_model::config::{BertConfig, TensorSpec, Vjepa2Config, VlJepaConfig};
use vljepa_model::weights::{SafeTensors, TextKind, WeightSource, Writer, read_f32};

use crate::support::{Bench, fails, json, misused, noted, tokenizer, vljepa};
use crate::synthetic::synthetic;

/// A file of the model crate's fixtures.
fn fixture(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../model/tests/fixtures/vision", name].iter().collect();
    path.display().to_string()
}

pub fn models() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("open_vljepa.json")).unwrap()).unwrap()
}

fn numbers(t: &TensorSpec) -> Vec<f32> {
    synthetic(&t.name, &t.shape, None)
}

pub fn weights(tensors: &[TensorSpec], prefix: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    for t in tensors {
        let prefix = if t.name.starts_with("pooler") || t.name.starts_with("classifier") { "" } else { prefix };
        writer.f32(&format!("{prefix}{}", t.name), &t.shape, &numbers(t)).unwrap();
    }
    writer.finish().unwrap()
}

/// A folder as the model hub has it.
pub fn hub_folder(bench: &Bench, name: &str, config: &Value, weights: Option<Vec<u8>>) -> String {
    std::fs::create_dir(bench.path(name)).unwrap();
    bench.write(&format!("{name}/config.json"), config.to_string());
    let own = models()[format!("{}_tokenizer", config["model_type"].as_str().unwrap())].to_string();
    bench.write(&format!("{name}/tokenizer.json"), if own == "null" { tokenizer() } else { own });
    if let Some(weights) = weights {
        bench.write(&format!("{name}/model.safetensors"), weights);
    }
    bench.text(name)
}

fn vjepa2_folder(bench: &Bench, prefix: &str, labels: Option<usize>) -> (String, Vjepa2Config) {
    let models = models();
    let config = Vjepa2Config::from_json(&models["vjepa2"].to_string()).unwrap();
    let mut tensors: Vec<_> = config.tensors().into_iter().chain(config.predictor_tensors()).collect();
    tensors.extend(labels.into_iter().flat_map(|n| config.probe_tensors(n)));
    (hub_folder(bench, "vjepa2", &models["vjepa2"], Some(weights(&tensors, prefix))), config)
}

fn convert<'a>(from: &'a str, source: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["convert", "--from", from, source, "--out", out], more].concat()
}

#[test]
fn a_classifier_of_the_hub_becomes_encoder_predictor_and_probe() {
    let bench = Bench::new();
    let (source, config) = vjepa2_folder(&bench, "vjepa2.", Some(3));
    let out = bench.text("out");
    let said = json(convert("vjepa2", &source, &out, &[]));
    let count = config.tensors().len() + config.predictor_tensors().len() + config.probe_tensors(3).len();
    assert_eq!(said["tensors"].as_u64(), Some(count as u64));
    assert_eq!(said["model"], "V-JEPA 2 of width 24 and depth 1, with its predictor, with a probe of 3 classes");
    assert_eq!(bench.files("out"), ["config.json", "model.safetensors"]);
    let bytes = std::fs::read(bench.path("out/model.safetensors")).unwrap();
    assert_eq!(said["bytes"].as_u64(), Some(bytes.len() as u64));
    let file = SafeTensors::parse("out", &bytes).unwrap();
    for t in config.tensors().iter().chain(&config.predictor_tensors()).chain(&config.probe_tensors(3)) {
        assert_eq!(read_f32(&file, &t.name, &t.shape).unwrap(), numbers(t), "{}", t.name);
    }
    // A folder with something in it stays as it is.
    fails(&mut vljepa(convert("vjepa2", &source, &out, &[])), &["out", "not empty"]);
    assert_eq!(std::fs::read(bench.path("out/model.safetensors")).unwrap(), bytes);
    // What was written can be read as such again.
    let again = bench.text("again");
    json(convert("vjepa2", &out, &again, &[]));
    assert_eq!(std::fs::read(bench.path("again/model.safetensors")).unwrap(), bytes);
}

#[test]
fn the_authors_checkpoint_needs_no_configuration() {
    let bench = Bench::new();
    let (source, config) = (fixture("official.pt"), fixture("official.json"));
    let written = Vjepa2Config::from_json(&std::fs::read_to_string(&config).unwrap()).unwrap();
    for (i, more) in [
        vec!["--crop-size", "16"],
        vec!["--config", &config],
        vec!["--config", &config, "--entry", "encoder", "--skip-checksums"],
    ]
    .iter()
    .enumerate()
    {
        let out = bench.text(&format!("out{i}"));
        json(convert("vjepa2-pt", &source, &out, more));
        let text = std::fs::read_to_string(bench.path(&format!("out{i}/config.json"))).unwrap();
        let config = Vjepa2Config::from_json(&text).unwrap();
        assert_eq!((config.tensors(), config.crop_size), (written.tensors(), 16));
        // The folder is one of V-JEPA 2 like any other.
        json(convert("vjepa2", &out, &bench.text(&format!("again{i}")), &[]));
    }
    let dtype = |out: &str| {
        let found = json(["inspect", &bench.text(out)]);
        let tensors = found["tensors"].as_array().unwrap().clone();
        tensors.iter().find(|t| t["name"] == "encoder.layernorm.weight").unwrap()["dtype"].clone()
    };
    assert_eq!((dtype("out0"), dtype("out2")), (json!("BF16"), json!("F16")), "the moving average, then the encoder");
}

#[test]
fn text_models_are_read_from_shards_too() {
    let bench = Bench::new();
    let models = models();
    let folder = hub_folder(&bench, "bert", &models["bert"], None);
    let config = BertConfig::from_json(&models["bert"].to_string()).unwrap();
    let tensors = config.tensors();
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let mut map = serde_json::Map::new();
    for (file, part) in [("model-1.safetensors", first), ("model-2.safetensors", second)] {
        bench.write(&format!("bert/{file}"), weights(part, "bert."));
        map.extend(part.iter().map(|t| (format!("bert.{}", t.name), file.into())));
    }
    bench.write("bert/model.safetensors.index.json", json!({ "weight_map": map }).to_string());
    let out = bench.text("out");
    let said = json(convert("hf-text", &folder, &out, &[]));
    assert_eq!((said["tensors"].as_u64(), &said["model"]), (Some(tensors.len() as u64), &json!("Bert text model")));
    assert_eq!(bench.files("out"), ["config.json", "model.safetensors", "tokenizer.json"]);
    let found = json(["inspect", &bench.text("bert/model.safetensors.index.json")]);
    assert_eq!(
        (&found["kind"], found["parameters"].as_u64()),
        (&json!("safetensors shards"), Some(config.parameters()))
    );

    let specs = TextKind::Gemma3.tensors(&models["gemma3_text"]).unwrap();
    let folder = hub_folder(&bench, "gemma", &models["gemma3_text"], Some(weights(&specs, "model.")));
    // A tokenizer that frames no texts as that encoder reads them is another model's.
    let out = bench.text("gemma_out");
    bench.write("gemma/tokenizer.json", tokenizer());
    fails(
        &mut vljepa(convert("hf-text", &folder, &out, &[])),
        &["gemma/tokenizer.json", "<bos>", "another model's file?"],
    );
    assert!(!bench.path("gemma_out").exists());
    bench.write("gemma/tokenizer.json", models["gemma3_text_tokenizer"].to_string());
    let said = json(convert("hf-text", &folder, &bench.text("gemma_out"), &[]));
    assert_eq!(said["tensors"].as_u64(), Some(specs.len() as u64));

    let specs = TextKind::Llama.tensors(&models["llama"]).unwrap();
    let folder = hub_folder(&bench, "llama", &models["llama"], Some(weights(&specs, "")));
    let modules = bench.write("llama/modules.json", "[]");
    let out = bench.text("llama_out");
    fails(
        &mut vljepa(convert("hf-text", &folder, &out, &[])),
        &["llama/modules.json", "not read", "move the file away"],
    );
    assert!(!bench.path("llama_out").exists());
    std::fs::remove_file(modules).unwrap();
    assert_eq!(json(convert("hf-text", &folder, &out, &[]))["model"], "Llama text model");
    assert_eq!(bench.files("llama_out"), ["config.json", "model.safetensors", "tokenizer.json"]);
}

/// The vectors of a document of `embed` or `embed-text`.
fn rows(document: &Value) -> Vec<Vec<f32>> {
    let rows = document["rows"].as_array().unwrap();
    rows.iter().map(|row| serde_json::from_value(row["embedding"].clone()).unwrap()).collect()
}

/// Largest difference of unit vectors from those of `expected`, whose rows are not normalised.
fn off(got: &[Vec<f32>], expected: &SafeTensors<'_>, name: &str) -> f32 {
    let (shape, want) = (expected.tensor(name).unwrap().shape, values(expected, name));
    assert_eq!((got.len(), got[0].len()), (shape[0], shape[1]));
    let unit = |row: &[f32]| {
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter().map(|v| v / norm).collect::<Vec<_>>()
    };
    let pairs = got.iter().zip(want.chunks(shape[1])).flat_map(|(g, w)| g.clone().into_iter().zip(unit(w)));
    pairs.map(|(g, w)| (g - w).abs()).fold(0.0, f32::max)
}

/// The values of a fixture's tensor.
fn values(expected: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let shape = expected.tensor(name).unwrap().shape.to_vec();
    read_f32(expected, name, &shape).unwrap()
}

fn farthest(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f32::max)
}

/// Three levels in normalised pixels. FFmpeg's converter, through which that project reads videos, mixes neighbouring chroma
/// samples and rounds its coefficients; ours is exact. Measured: 2.4 levels, which move embeddings by up to 5e-3.
const FILM: f32 = 3.0 / 255.0 / 0.224;

/// f32 against f32; 5e-7 is measured.
#[test]
fn files_and_texts_get_the_embeddings_of_open_vljepa() {
    let bench = Bench::new();
    let models = models();
    let (vjepa2, _) = vjepa2_folder(&bench, "", None);
    let llama = hub_folder(&bench, "llama", &models["llama"], None);
    let film = PathBuf::from_iter([env!("CARGO_MANIFEST_DIR"), "../data/tests/fixtures/video/bframes.mp4"]);
    let (film, picture) = (film.display().to_string(), fixture("open_vljepa.png"));
    for (name, kind) in [("gemma", "gemma3_text"), ("bert", "bert")] {
        let text = hub_folder(&bench, kind, &models[kind], None);
        let (source, out) = (fixture(&format!("open_vljepa_{name}.pt")), bench.text(&format!("out_{name}")));
        let parts = ["--vjepa2", &vjepa2, "--llama", &llama, "--gemma", &text];
        assert_eq!(json(convert("open-vljepa", &source, &out, &parts))["model"], "VL-JEPA of 10 dimensions");
        let bytes = std::fs::read(fixture(&format!("open_vljepa_{name}.safetensors"))).unwrap();
        let expected = SafeTensors::parse(name, &bytes).unwrap();

        let captions: Vec<String> = serde_json::from_value(models["captions"].clone()).unwrap();
        let mut args = vec!["embed-text".to_owned()];
        args.extend(captions.into_iter().chain(["--model".into(), out.clone()]));
        let (embedded, notes) = noted(args);
        assert!(
            notes.contains("is cut to the 32 that the model takes: shorten it; 1 other text is cut too"),
            "{notes}"
        );
        let worst = off(&rows(&embedded), &expected, "out.captions");
        assert!(worst < 1e-5, "{name}: captions off by {worst}");
        // Of the two queries each has one for its own.
        let asked = |file: &str, query: &str| match (name, query) {
            ("gemma", "Describe the video.") | ("bert", "Describe the image.") => {
                json(["embed", file, "--model", &out])
            }
            _ => json(["embed", file, "--query", query, "--model", &out]),
        };
        let seen = asked(&picture, "Describe the image.");
        let worst = off(&rows(&seen), &expected, "out.picture");
        assert!(worst < 1e-5, "{name}: a picture off by {worst}");
        let worst = off(&rows(&asked(&film, "Describe the video.")), &expected, "out.film");
        assert!(worst < 1e-2, "{name}: a film off by {worst}");
    }

    // What the models see.
    let config = std::fs::read_to_string(bench.path("out_gemma/config.json")).unwrap();
    let see = vljepa::embed::preprocess(&VlJepaConfig::from_json(&config).unwrap());
    let bytes = std::fs::read(fixture("open_vljepa_gemma.safetensors")).unwrap();
    let expected = SafeTensors::parse("gemma", &bytes).unwrap();
    let still = decode_file(&picture, &Limits::default()).unwrap();
    assert_eq!(farthest(&see.run(&still).unwrap(), &values(&expected, "pixels.picture")), 0.0);
    let worst = farthest(&see.clip(&[still.over([0; 3])]).unwrap(), &values(&expected, "pixels.clip"));
    assert!(worst < 1e-5, "a frame off by {worst}");
    let mut reader = VideoReader::open(&film).unwrap();
    let chosen = uniform(reader.count().unwrap(), 4, Rounding::Down).into_iter().map(|index| {
        reader.seek(index as u64).unwrap();
        reader.next_frame().unwrap().unwrap().rgb
    });
    let worst = farthest(&see.clip(&chosen.collect::<Vec<_>>()).unwrap(), &values(&expected, "pixels.film"));
    assert!(worst < FILM, "a film off by {worst}");
}

#[test]
fn a_checkpoint_of_open_vljepa_becomes_a_model() {
    let bench = Bench::new();
    let models = models();
    let (vjepa2, _) = vjepa2_folder(&bench, "", None);
    let llama = hub_folder(&bench, "llama", &models["llama"], None);
    let bert = hub_folder(&bench, "bert", &models["bert"], None);
    let (source, out) = (fixture("open_vljepa_bert.pt"), bench.text("out"));
    let parts = ["--vjepa2", &vjepa2, "--llama", &llama, "--gemma", &bert];
    let said = json(convert("open-vljepa", &source, &out, &parts));
    assert_eq!(
        bench.files("out"),
        ["README.md", "config.json", "model.safetensors", "query_tokenizer.json", "target_tokenizer.json"]
    );
    let found = json(["inspect", &out]);
    assert_eq!((&found["kind"], &found["config"]["temperature"]["initial"]), (&json!("model folder"), &json!(0.05)));
    assert_eq!(found["parameters"], said["parameters"]);

    // Each part that is not what it should be is named; nothing is written.
    let before = bench.files(".");
    let new = bench.text("new");
    for (parts, words) in [
        (["--vjepa2", &llama, "--llama", &llama, "--gemma", &bert], vec!["llama", "`model_type`"]),
        (["--vjepa2", &vjepa2, "--llama", &bert, "--gemma", &bert], vec!["bert", "a Llama is needed"]),
        (["--vjepa2", &vjepa2, "--llama", &llama, "--gemma", &llama], vec!["open_vljepa_bert.pt", "Llama"]),
        (["--vjepa2", &vjepa2, "--llama", &llama, "--gemma", &new], vec!["new/config.json", "no such file"]),
    ] {
        fails(&mut vljepa(convert("open-vljepa", &source, &new, &parts)), &words);
    }
    fails(&mut vljepa(convert("open-vljepa", &fixture("little.pt"), &new, &parts)), &["little.pt", "out_proj"]);
    bench.write("bert/tokenizer.json", "{}");
    fails(&mut vljepa(convert("open-vljepa", &source, &new, &parts)), &["tokenizer.json", "tokenizer"]);
    assert_eq!(bench.files("."), before);
    let usage = vljepa(convert("open-vljepa", &source, &new, &parts[..4])).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    assert!(String::from_utf8(usage.stderr).unwrap().contains("--gemma"));
}

#[test]
fn inspect_shows_every_kind_of_file() {
    let bench = Bench::new();
    let kind = |path: &str| json(["inspect", path])["kind"].as_str().unwrap().to_owned();
    let model = json(["inspect", &bench.text("model")]);
    assert_eq!((&model["kind"], &model["config"]["model_type"]), (&json!("model folder"), &json!("vljepa")));
    assert_eq!(model["parameters"].as_u64(), Some(crate::support::config().parameters()));
    assert_eq!(kind(&bench.text("model/model.safetensors")), "safetensors");
    json(bench.args(&["index", "build", "@pictures", "--out", "@p.idx"]));
    let index = json(["inspect", &bench.text("p.idx")]);
    assert_eq!((&index["kind"], index["parameters"].as_u64()), (&json!("index of pictures"), Some(0)));
    let shape =
        |name: &str| index["tensors"].as_array().unwrap().iter().find(|t| t["name"] == name).unwrap()["shape"].clone();
    assert_eq!((shape("embeddings"), shape("path_ends"), shape("start")), (json!([9, 8]), json!([9]), json!([9])));
    assert!(index["metadata"]["root"].as_str().unwrap().ends_with("pictures"));

    let odd = json(["inspect", &fixture("odd_2.pt")]);
    assert_eq!((&odd["kind"], &odd["metadata"]["plain.epoch"]), (&json!("PyTorch checkpoint"), &json!(3)));
    assert_eq!(odd["unreadable"]["others.unknown"], "__main__.Unknown");
    let tensor = odd["tensors"].as_array().unwrap().iter().find(|t| t["name"] == "tensors.permuted").unwrap();
    assert_eq!(tensor, &json!({"name": "tensors.permuted", "dtype": "I32", "shape": [4, 2, 3], "bytes": 96}));
    let output = vljepa(["inspect", &fixture("odd_2.pt")]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in ["PyTorch checkpoint", "tensors.f16", "F16", "[4, 2, 3]", "plain.loss", "0.125", "argparse.Namespace"] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    // int8 matrices count once, their scales not.
    let mut writer = Writer::new();
    writer.i8_rows("w\n\u{1b}[31m", &[2, 3], &[1.0; 6]).unwrap();
    writer.i32("ids", &[4], &[0; 4]).unwrap();
    let small = bench.write("small.safetensors", writer.finish().unwrap());
    assert_eq!(json(["inspect", &small])["parameters"].as_u64(), Some(6));
    let text = String::from_utf8(vljepa(["inspect", &small]).output().unwrap().stdout).unwrap();
    assert!(!text.contains('\u{1b}') && text.lines().count() == 6, "{text:?}");
}

#[test]
fn what_belongs_to_another_kind_is_not_ignored() {
    let bench = Bench::new();
    let (vjepa2, _) = vjepa2_folder(&bench, "", None);
    let official = fixture("official.pt");
    let three = ["--vjepa2", &vjepa2, "--llama", &vjepa2, "--gemma", &vjepa2];
    let before = bench.files(".");
    let out = bench.text("out");
    for (from, source, more, words) in [
        ("vjepa2", &vjepa2, vec!["--gemma", &vjepa2], ["--gemma", "--from open-vljepa", "vjepa2"]),
        ("hf-text", &vjepa2, vec!["--llama", &vjepa2], ["--llama", "--from open-vljepa", "hf-text"]),
        ("vjepa2-pt", &official, vec!["--vjepa2", &vjepa2], ["--vjepa2", "--from open-vljepa", "vjepa2-pt"]),
        ("vjepa2", &vjepa2, vec!["--entry", "target_encoder"], ["--entry", "--from vjepa2-pt", "for vjepa2"]),
        ("hf-text", &vjepa2, vec!["--crop-size", "256"], ["--crop-size", "--from vjepa2-pt", "hf-text"]),
        ("open-vljepa", &official, [&three[..], &["--entry", "x"]].concat(), ["--entry", "vjepa2-pt", "open-vljepa"]),
        (
            "open-vljepa",
            &official,
            [&three[..], &["--config", "x"]].concat(),
            ["--config", "--from open-vljepa", "--llama"],
        ),
    ] {
        misused(&mut vljepa(convert(from, source, &out, &more)), &words);
        misused(&mut vljepa(convert(from, source, &out, &more)), &["Usage: vljepa convert"]);
    }
    assert_eq!(bench.files("."), before);
}

#[test]
fn an_assumed_size_is_noted() {
    let bench = Bench::new();
    let source = fixture("official.pt");
    let (said, notes) = noted(convert("vjepa2-pt", &source, &bench.text("out"), &[]));
    assert!(said["tensors"].as_u64() > Some(0));
    assert!(notes.lines().count() == 1 && notes.contains("official.pt"), "{notes}");
    assert!(notes.contains("256 pixels are assumed") && notes.contains("--crop-size 384"), "{notes}");
    let text = std::fs::read_to_string(bench.path("out/config.json")).unwrap();
    assert_eq!(Vjepa2Config::from_json(&text).unwrap().crop_size, 256);
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_not_replaced() {
    let bench = Bench::new();
    let (vjepa2, _) = vjepa2_folder(&bench, "", None);
    let (gone, link) = (bench.path("gone"), bench.text("link"));
    std::os::unix::fs::symlink(&gone, &link).unwrap();
    fails(&mut vljepa(convert("vjepa2", &vjepa2, &link, &[])), &["link", "leads to nothing"]);
    assert_eq!((std::fs::read_link(&link).unwrap(), gone.exists()), (gone.clone(), false));
}

#[test]
fn what_cannot_be_read_is_said_in_one_line() {
    let bench = Bench::new();
    let (vjepa2, _) = vjepa2_folder(&bench, "", None);
    let official = std::fs::read(fixture("official.pt")).unwrap();
    let cut = bench.write("cut.pt", &official[..official.len() / 2]);
    let mut damaged = official.clone();
    // Inside the first storage: the archive is whole, its numbers are not.
    let at = official.windows(7).position(|w| w == b"/data/0").unwrap() + 200;
    damaged[at] ^= 0x10;
    let damaged = bench.write("damaged.pt", damaged);
    let empty = bench.write("empty.pt", "");
    let noise = bench.write("noise.pt", "nonsense of some length");
    let page = bench.write("page.pt", "<!DOCTYPE html><html><body>Not found</body></html>");
    let bert = hub_folder(&bench, "bert", &models()["bert"], Some(weights(&[], "")));
    let lone = bench.write("lone.safetensors", std::fs::read(bench.path("model/model.safetensors")).unwrap());
    let out = bench.text("out");
    for (file, words) in [
        (bench.text("gone.pt"), vec!["gone.pt", "no such file"]),
        (empty.clone(), vec!["empty.pt", "empty"]),
        (page.clone(), vec!["page.pt", "is an HTML page", "get the file again"]),
        (noise, vec!["noise.pt", "neither a PyTorch checkpoint nor a safetensors file", "get the file again"]),
        (cut.clone(), vec!["cut.pt", "is the file whole?"]),
        (fixture("legacy.pt"), vec!["legacy.pt", "before PyTorch 1.6"]),
        (fixture("torchscript.pt"), vec!["torchscript.pt", "state_dict()"]),
        (fixture("expanded.pt"), vec!["expanded.pt", "contiguous copy"]),
        (bench.text("pictures"), vec!["pictures", "a folder without weights", "name a file"]),
        (fixture("official.json"), vec!["official.json", "index"]),
    ] {
        fails(&mut vljepa(["inspect", &file]), &words);
        fails(&mut vljepa(convert("vjepa2-pt", &file, &out, &[])), &words[..1]);
    }
    for (from, source, more, words) in [
        ("vjepa2-pt", &damaged, vec![], vec!["damaged.pt", "get the file again"]),
        (
            "vjepa2-pt",
            &fixture("official.pt"),
            vec!["--entry", "best"],
            vec!["no entry `best`", "pass --entry target_encoder"],
        ),
        ("vjepa2-pt", &fixture("official.pt"), vec!["--crop-size", "30"], vec!["`crop_size` (30)"]),
        (
            "vjepa2-pt",
            &fixture("little.pt"),
            vec![],
            vec!["little.pt", "no entry `target_encoder`", "as its authors publish"],
        ),
        ("vjepa2-pt", &lone, vec![], vec!["lone.safetensors", "not a PyTorch checkpoint", "use --from vjepa2"]),
        ("vjepa2", &lone, vec![], vec!["lone.safetensors", "--config FILE"]),
        ("vjepa2", &fixture("official.pt"), vec![], vec!["official.pt", "--config FILE", "--from vjepa2-pt"]),
        ("vjepa2", &bench.text("model"), vec![], vec!["config.json", "`model_type` is \"vljepa\"", "--model"]),
        ("hf-text", &vjepa2, vec![], vec!["config.json", "`model_type` is \"vjepa2\"", "--from vjepa2"]),
        ("vjepa2", &bert, vec![], vec!["config.json", "`model_type` is \"bert\"", "--from hf-text"]),
    ] {
        fails(&mut vljepa(convert(from, source, &out, &more)), &words);
    }
    fails(&mut vljepa(convert("vjepa2", &vjepa2, &bench.text("no/such"), &[])), &["no"]);
    fails(&mut vljepa(convert("vjepa2", &vjepa2, &page, &[])), &["page.pt", "is a file"]);
    assert!(!bench.path("out").exists());
    assert!(bench.files(".").iter().all(|n| !n.contains(".tmp")), "nothing half-written: {:?}", bench.files("."));
}
