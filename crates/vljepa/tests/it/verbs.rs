//! What each verb prints and writes when all is well.

use serde_json::Value;
use vljepa_model::weights::{SafeTensors, read_f32};

use crate::support::{Bench, fails, json, noted, vljepa, weights};

fn vector(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[test]
fn embeddings_are_unit_rows_in_input_order_in_every_form() {
    let bench = Bench::new();
    let inputs = ["@pictures/3.png", "@pictures/sub", "@pictures/0.png"];
    let with = |more: &[&str]| bench.args(&[&["embed"], &inputs[..], more].concat());
    let printed = json(with(&[]));
    let rows: Vec<Vec<f64>> = printed["rows"].as_array().unwrap().iter().map(|r| vector(&r["embedding"])).collect();
    let names: Vec<&str> = printed["rows"].as_array().unwrap().iter().map(|r| r["input"].as_str().unwrap()).collect();
    assert!(names[0].ends_with("3.png") && names[1].ends_with("6.png") && names[4].ends_with("0.png"), "{names:?}");
    assert_eq!((printed["dim"].as_u64(), rows.len()), (Some(8), 5));
    for row in &rows {
        assert!((dot(row, row) - 1.0).abs() < 1e-5);
    }
    assert!(dot(&rows[0], &rows[1]) < 0.9999, "different pictures, different rows");

    let npy = bench.text("rows.npy");
    let said = json(with(&["--out", &npy]));
    assert_eq!(said["shape"], serde_json::json!([5, 8]));
    let bytes = std::fs::read(&npy).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
    assert_eq!(bytes.len(), 128 + 5 * 8 * 4);
    let flat: Vec<f64> = rows.concat();
    for (value, want) in bytes[128..].chunks_exact(4).zip(&flat) {
        assert!((f64::from(f32::from_le_bytes(value.try_into().unwrap())) - want).abs() < 1e-6);
    }

    let file = bench.text("rows.safetensors");
    json(with(&["--out", &file]));
    let bytes = std::fs::read(&file).unwrap();
    let file = SafeTensors::parse("rows", &bytes).unwrap();
    let values = read_f32(&file, "embeddings", &[5, 8]).unwrap();
    assert!(values.iter().zip(&flat).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6));
    assert!(file.metadata()["input"].contains("3.png"));
}

#[test]
fn one_by_one_and_together_are_the_same() {
    let bench = Bench::new();
    let all = json(bench.args(&["embed", "@pictures"]));
    for (i, row) in all["rows"].as_array().unwrap().iter().enumerate().step_by(4) {
        let one = json(bench.args(&["embed", row["input"].as_str().unwrap()]));
        let (a, b) = (vector(&row["embedding"]), vector(&one["rows"][0]["embedding"]));
        assert!((dot(&a, &b) - 1.0).abs() < 1e-5, "picture {i}");
    }
    let texts = ["a", "a much longer text than the other", "cat", "dog", "a"];
    let all = json(bench.args(&[&["embed-text"], &texts[..]].concat()));
    let rows: Vec<Vec<f64>> = all["rows"].as_array().unwrap().iter().map(|r| vector(&r["embedding"])).collect();
    let one = json(bench.args(&["embed-text", "cat"]));
    assert!((dot(&rows[2], &vector(&one["rows"][0]["embedding"])) - 1.0).abs() < 1e-5);
    assert_eq!(all["rows"][1]["text"], texts[1]);
    assert!((dot(&rows[0], &rows[4]) - 1.0).abs() < 1e-5);
    assert!(dot(&rows[2], &rows[3]) < 0.9999);
}

#[test]
fn halves_say_what_whole_numbers_say() {
    let bench = Bench::new();
    for verb in [["embed", "@pictures/0.png"], ["embed-text", "cat"]] {
        let rows = |precision: &str| {
            let printed = json(bench.args(&[&verb[..], &["--precision", precision]].concat()));
            vector(&printed["rows"][0]["embedding"])
        };
        let (whole, halves) = (rows("f32"), rows("f16"));
        assert!((dot(&whole, &halves) - 1.0).abs() < 1e-4, "{verb:?}");
        assert_ne!(whole, halves, "{verb:?}");
    }
    vljepa(bench.args(&["embed-text", "cat", "--precision", "f8"])).assert().code(2);
}

#[test]
fn labels_are_ranked_by_cosine_and_scores_are_their_softmax() {
    let bench = Bench::new();
    bench.write("labels.txt", "cat\ndog\n\nbird\n");
    let out = json(bench.args(&["classify", "@pictures", "--labels-file", "@labels.txt", "--template", "a {}"]));
    let results = out["results"].as_array().unwrap();
    assert_eq!(results.len(), 9);
    let pictures = json(bench.args(&["embed", "@pictures"]));
    let texts = json(bench.args(&["embed-text", "a cat", "a dog", "a bird"]));
    let row = |all: &Value, i: usize| vector(&all["rows"][i]["embedding"]);
    for (i, result) in results.iter().enumerate() {
        let labels = result["labels"].as_array().unwrap();
        assert_eq!(labels.len(), 3);
        let mut sum = 0.0;
        for label in labels {
            let which = ["cat", "dog", "bird"].iter().position(|l| label["label"] == *l).unwrap();
            let cosine = dot(&row(&pictures, i), &row(&texts, which));
            assert!((label["cosine"].as_f64().unwrap() - cosine).abs() < 1e-5);
            sum += label["score"].as_f64().unwrap();
        }
        assert!((sum - 1.0).abs() < 1e-9);
        let (first, second) = (&labels[0], &labels[1]);
        let ratio = (first["score"].as_f64().unwrap() / second["score"].as_f64().unwrap()).ln();
        let gap = first["cosine"].as_f64().unwrap() - second["cosine"].as_f64().unwrap();
        assert!(gap >= 0.0 && (ratio - gap / 0.07).abs() < 1e-4, "{ratio} for a gap of {gap}");
    }
    let top = json(bench.args(&["classify", "@pictures/0.png", "--labels", "cat, dog", "--top", "1"]));
    assert_eq!(top["results"][0]["labels"].as_array().unwrap().len(), 1);
    let text = vljepa(bench.args(&["classify", "@pictures/0.png", "--labels", "cat, dog"])).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.lines().count() == 2 && text.contains("cat") && text.contains('%'), "{text}");
}

#[test]
fn an_index_finds_what_embeddings_say_and_knows_what_changed() {
    let bench = Bench::new();
    let built = json(bench.args(&["index", "build", "@pictures", "--out", "@p.idx"]));
    assert_eq!((built["pictures"].as_u64(), built["dim"].as_u64()), (Some(9), Some(8)));
    let found = json(bench.args(&["search", "@p.idx", "cat", "dog", "--top", "4"]));
    let pictures = json(bench.args(&["embed", "@pictures"]));
    let texts = json(bench.args(&["embed-text", "cat", "dog"]));
    for (s, search) in found["searches"].as_array().unwrap().iter().enumerate() {
        let text = vector(&texts["rows"][s]["embedding"]);
        let rows = pictures["rows"].as_array().unwrap();
        let mut want: Vec<(f64, &str)> =
            rows.iter().map(|r| (dot(&text, &vector(&r["embedding"])), r["input"].as_str().unwrap())).collect();
        want.sort_by(|a, b| b.0.total_cmp(&a.0));
        let results = search["results"].as_array().unwrap();
        assert_eq!(results.len(), 4);
        for (result, (cosine, path)) in results.iter().zip(&want) {
            assert!((result["score"].as_f64().unwrap() - cosine).abs() < 1e-5);
            let name = path.rsplit('/').next().unwrap();
            assert!(result["input"].as_str().unwrap().ends_with(name), "{result} {path}");
            assert_eq!(result["fresh"], true);
        }
    }
    std::fs::remove_file(bench.path("pictures/0.png")).unwrap();
    bench.write("pictures/1.png", crate::support::picture(77));
    let found = json(bench.args(&["search", "@p.idx", "cat", "--top", "9"]));
    for result in found["searches"][0]["results"].as_array().unwrap() {
        let path = result["input"].as_str().unwrap();
        let changed = path.ends_with("0.png") || path.ends_with("1.png");
        assert_eq!(result["fresh"], !changed, "{path}");
    }
}

#[test]
fn broken_pictures_are_left_out_of_an_index_when_asked() {
    let bench = Bench::new();
    bench.write("pictures/bad.png", "not a picture");
    let output = vljepa(bench.args(&["index", "build", "@pictures", "--out", "@p.idx", "--skip-broken", "--json"]));
    let output = { output }.output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["pictures"], 9);
    assert!(value["skipped"][0].as_str().unwrap().ends_with("bad.png"));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("skipped: "));
}

#[test]
fn files_that_cannot_be_read_are_left_out_of_a_classification_when_asked() {
    let bench = Bench::new();
    bench.write("pictures/1.png", "no picture");
    let args = ["classify", "@pictures", "--labels", "cat, dog"];
    fails(&mut vljepa(bench.args(&args)), &["1.png", "not a picture", "--skip-broken"]);
    let (some, notes) = noted(bench.args(&[&args[..], &["--skip-broken"]].concat()));
    assert!(notes.lines().count() == 1 && notes.starts_with("skipped: ") && notes.contains("1.png"), "{notes}");
    let results = some["results"].as_array().unwrap();
    assert!(results.len() == 8 && some["skipped"][0].as_str().unwrap().ends_with("1.png"), "{some}");
    // Each stands beside its own labels.
    for result in results {
        let one = json(bench.args(&["classify", result["input"].as_str().unwrap(), "--labels", "cat, dog"]));
        let cosine = |r: &Value| r["labels"][0]["cosine"].as_f64().unwrap();
        assert!((cosine(&one["results"][0]) - cosine(result)).abs() < 1e-5, "{result}");
    }
    let text = vljepa(bench.args(&[&args[..], &["--skip-broken"]].concat())).output().unwrap();
    assert_eq!(String::from_utf8(text.stdout).unwrap().lines().count(), 16);
}

#[test]
fn a_query_changes_the_answer_where_the_model_takes_one() {
    let bench = Bench::new();
    bench.write("model/query_tokenizer.json", crate::support::tokenizer());
    let plain = json(bench.args(&["embed", "@pictures/0.png"]));
    let asked = json(bench.args(&["embed", "@pictures/0.png", "--query", "what is it"]));
    let again = json(bench.args(&["embed", "@pictures/0.png", "--query", "what is it"]));
    let row = |v: &Value| vector(&v["rows"][0]["embedding"]);
    assert!(dot(&row(&plain), &row(&asked)) < 0.99999);
    assert_eq!(row(&asked), row(&again), "the same question, the same bits");
}

#[test]
fn shards_are_the_same_model_as_one_file() {
    let bench = Bench::new();
    let whole = json(bench.args(&["embed", "@pictures/0.png"]));
    let bytes = std::fs::read(bench.path("model/model.safetensors")).unwrap();
    let file = SafeTensors::parse("one", &bytes).unwrap();
    let mut map = serde_json::Map::new();
    let tensors = crate::support::config().tensors();
    for (part, tensors) in tensors.chunks(tensors.len() / 2 + 1).enumerate() {
        let name = format!("model-{part}.safetensors");
        let mut writer = vljepa_model::weights::Writer::new();
        for t in tensors {
            writer.f32(&t.name, &t.shape, &read_f32(&file, &t.name, &t.shape).unwrap()).unwrap();
            map.insert(t.name.clone(), name.clone().into());
        }
        bench.write(&format!("model/{name}"), writer.finish().unwrap());
    }
    std::fs::remove_file(bench.path("model/model.safetensors")).unwrap();
    bench.write("model/model.safetensors.index.json", serde_json::json!({ "weight_map": map }).to_string());
    let parts = json(bench.args(&["embed", "@pictures/0.png"]));
    assert_eq!(whole["rows"][0]["embedding"], parts["rows"][0]["embedding"]);
}

#[test]
fn info_describes_machine_and_model() {
    let bench = Bench::new();
    let info = json(bench.args(&["info"]));
    let adapter = info["adapters"][0]["name"].as_str().unwrap();
    assert!(
        info["device"]["adapter"].as_str().unwrap().contains(adapter) || info["adapters"].as_array().unwrap().len() > 1
    );
    assert!(info["device"]["variants"]["matmul"].is_string());
    assert!(info["device"]["limits"]["max_buffer_size"].as_u64().unwrap() >= 1 << 28);
    let model = info["models"].as_array().unwrap().last().unwrap();
    assert_eq!(model["parameters"].as_u64(), Some(crate::support::config().parameters()));
    bench.write("model/model.safetensors", weights(1, |_, _, _| ()));
    let other = json(bench.args(&["info"]));
    assert_ne!(model["hash"], other["models"].as_array().unwrap().last().unwrap()["hash"]);
}

#[test]
fn bench_prints_the_rows_that_were_asked_for() {
    let out = json(["bench", "matmul", "--sizes", "32,64"]);
    assert!(out["adapter"].is_string());
    let rows = out["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, size) in rows.iter().zip([32.0, 64.0]) {
        let number = |key: &str| row[key].as_f64().unwrap();
        assert_eq!((row["op"].as_str(), row["dtype"].as_str()), (Some("matmul"), Some("f32")));
        assert_eq!([number("m"), number("n"), number("k")], [size; 3]);
        let gflops = 2.0 * size.powi(3) / (number("ms") * 1e6);
        assert!(number("ms") > 0.0 && (gflops / number("gflops") - 1.0).abs() < 1e-9);
    }
}
