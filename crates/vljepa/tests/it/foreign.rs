//! Model folders with something else in the place of a file, and with files that make the tokenizer library fail.

use serde_json::{Value, json};

use crate::encoders;
use crate::support::{Bench, fails, json, vljepa};

const POINTER: &str =
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32\nsize 90868376\n";
const PAGE: &str = "\n<!DOCTYPE html>\n<html><body>403 Forbidden</body></html>\n";

#[test]
fn pointers_and_pages_are_named_with_what_to_do() {
    let bench = Bench::new();
    let (bert, _) = encoders::text(&bench, "bert");
    for (content, words) in
        [(POINTER, ["Git LFS pointer", "git lfs pull"]), (PAGE, ["HTML page", "get the file again"])]
    {
        for file in ["model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"] {
            let path = bench.path(&format!("bert/{file}"));
            let good = std::fs::read(&path).unwrap();
            std::fs::write(&path, content).unwrap();
            let words = [words[0], words[1], &format!("bert/{file}")];
            fails(&mut vljepa(["embed-text", "a", "--model", &bert]), &words);
            let out = bench.text("out");
            fails(&mut vljepa(["convert", "--from", "hf-text", &bert, "--out", &out]), &words);
            std::fs::write(&path, good).unwrap();
        }
        for file in ["model.safetensors", "target_tokenizer.json", "config.json"] {
            let path = bench.path(&format!("model/{file}"));
            let good = std::fs::read(&path).unwrap();
            std::fs::write(&path, content).unwrap();
            let words = [words[0], words[1], &format!("model/{file}")];
            fails(&mut vljepa(bench.args(&["embed-text", "a"])), &words);
            std::fs::write(&path, good).unwrap();
        }
        for name in ["w.safetensors", "w.pt", "w.bin", "w.safetensors.index.json"] {
            let file = bench.write(name, content);
            fails(&mut vljepa(["inspect", &file]), &[words[0], words[1], name]);
        }
    }
    assert!(!bench.path("out").exists());
    for (content, what) in [(POINTER, "is a Git LFS pointer"), (PAGE, "is an HTML page")] {
        for (name, args) in [
            ("a.png", &["embed", "@a.png"][..]),
            ("a.mp4", &["embed", "@a.mp4"]),
            ("l.txt", &["classify", "@pictures/0.png", "--labels-file", "@l.txt"]),
            ("t.txt", &["embed-text", "--file", "@t.txt"]),
            ("p.idx", &["search", "@p.idx", "a"]),
        ] {
            bench.write(name, content);
            fails(&mut vljepa(bench.args(args)), &[&format!("{name}: {what}")]);
        }
        let run = bench.write("run.toml", content);
        fails(&mut vljepa(["train", &run]), &[&format!("run.toml: {what}")]);
    }
    // A model card may begin with HTML.
    bench.write("model/README.md", PAGE);
    json(bench.args(&["embed-text", "a"]));
}

/// As the hub's cache has them whose blobs were removed.
#[cfg(unix)]
#[test]
fn links_to_nothing_are_named_with_what_to_do() {
    let bench = Bench::new();
    let (bert, _) = encoders::text(&bench, "bert");
    let (vision, _) = encoders::vjepa2(&bench, "hub");
    let (picture, out) = (bench.text("pictures/0.png"), bench.text("out"));
    let text = [&["embed-text", "a", "--model", &bert][..], &["convert", "--from", "hf-text", &bert, "--out", &out]];
    let picture = [&["embed", &picture, "--model", &vision][..], &["inspect", &vision]];
    for (file, commands) in [
        ("bert/model.safetensors", text),
        ("bert/tokenizer.json", text),
        ("bert/config.json", text),
        ("bert/modules.json", text),
        ("bert/1_Pooling/config.json", text),
        ("bert/tokenizer_config.json", text),
        ("hub/model.safetensors", picture),
        ("hub/config.json", picture),
        ("hub/video_preprocessor_config.json", [picture[0]; 2]),
    ] {
        let path = bench.path(file);
        let good = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("../../blobs/0123", &path).unwrap();
        for args in commands {
            fails(
                &mut vljepa(args),
                &[file, "is a link to ../../blobs/0123, where there is nothing", "`vljepa pull` fetches it again"],
            );
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, good).unwrap();
    }
    assert!(!bench.path("out").exists());
    json(text[0]);
    json(picture[0]);
}

#[test]
fn panics_of_the_tokenizer_library_name_the_file() {
    let bench = Bench::new();
    bench.write("model/query_tokenizer.json", crate::support::tokenizer());
    let fixture = |name: &str| {
        let path = format!("{}/../model/tests/fixtures/hostile/{name}.json", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap()
    };
    for name in ["tok_bpe", "tok_decoder", "tok_precompiled", "tok_template"] {
        let good = bench.path("model/target_tokenizer.json");
        let kept = std::fs::read(&good).unwrap();
        std::fs::write(&good, fixture(name)).unwrap();
        fails(&mut vljepa(bench.args(&["embed-text", "a word"])), &["model/target_tokenizer.json"]);
        std::fs::write(&good, kept).unwrap();
        // Queries stand in no template.
        if name != "tok_template" {
            let kept = bench.write("model/query_tokenizer.json", fixture(name));
            let args = ["embed", "@pictures/0.png", "--query", "a word"];
            fails(&mut vljepa(bench.args(&args)), &["model/query_tokenizer.json"]);
            std::fs::write(kept, crate::support::tokenizer()).unwrap();
        }
    }
    // What a file makes grow without end is named too, before it grows.
    let mut tokenizer: Value = serde_json::from_str(&crate::support::tokenizer()).unwrap();
    tokenizer["normalizer"] = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "a".repeat(2000)});
    bench.write("model/target_tokenizer.json", tokenizer.to_string());
    fails(
        &mut vljepa(bench.args(&["embed-text", &"a".repeat(5000)])),
        &["model/target_tokenizer.json", "its normaliser"],
    );
}

#[test]
fn faults_of_a_configuration_name_file_and_key() {
    let bench = Bench::new();
    let (bert, _) = encoders::text(&bench, "bert");
    let path = bench.path("bert/config.json");
    let good: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (key, value, words) in [
        ("hidden_size", json!("x"), ["`hidden_size`: the text \"x\"", "a whole number"]),
        ("hidden_size", json!(-3), ["`hidden_size`: the number -3", "a whole number"]),
        ("layer_norm_eps", json!([1]), ["`layer_norm_eps`: a list", "a number"]),
        ("hidden_act", json!(3), ["`hidden_act`: the number 3", "a text"]),
        ("pad_token_id", json!(1u64 << 40), ["`pad_token_id`: the number 1099511627776", "a whole number"]),
        ("num_attention_heads", json!(0), ["`num_attention_heads` is 0", "must be"]),
    ] {
        let mut config = good.clone();
        config[key] = value;
        std::fs::write(&path, config.to_string()).unwrap();
        fails(&mut vljepa(["embed-text", "a", "--model", &bert]), &[&words[..], &["bert/config.json"]].concat());
    }
}
