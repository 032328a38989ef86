//! Files that ask for what is not there: each fault is one line with the file, the line of the key and what to do.

use std::fs;
use std::path::{Path, PathBuf};

use vljepa_data::emoji::EmojiVendors;
use vljepa_model::weights::Writer;
use vljepa_train::{RunOptions, check, run};

use crate::support::{config_text, device, model_folder, tokenizer_json};

/// Writes `train.toml` and gives its path.
fn write(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("train.toml");
    fs::write(&path, text).unwrap();
    path
}

/// That `error` is one line which names the file, the line of `text` that begins with `key`, and each of `words`.
#[track_caller]
fn says(error: &str, text: &str, key: &str, words: &[&str]) {
    let line = 1 + text.lines().position(|line| line.starts_with(key)).unwrap();
    assert!(error.contains(&format!("train.toml: line {line}: ")), "{key} is in line {line}: {error}");
    assert!(!error.contains('\n'), "{error:?} has more than one line");
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
}

#[test]
fn what_a_file_names_is_looked_at_before_a_device_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let good = config_text("steps = 1\nbatch = 6\n", "[objective]\ny_head = { whiten = false }\n");
    check(&write(dir.path(), &good), None).unwrap();
    fs::create_dir_all(dir.path().join("empty")).unwrap();
    fs::create_dir_all(dir.path().join("bare")).unwrap();
    fs::copy(dir.path().join("start/config.json"), dir.path().join("bare/config.json")).unwrap();
    fs::copy(dir.path().join("start/model.safetensors"), dir.path().join("bare/model.safetensors")).unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    let folder = "folder = \"start\"";
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("\"Flags\"", "\"Flagz\"", "exclude_groups", &["no group \"Flagz\"", "choose among", "\"Flags\""]),
        ("[\"noto\"]", "[\"noto\", \"nobody\"]", "vendors", &["no vendor \"nobody\"", "choose among", "noto, twemoji"]),
        ("[\"noto\"]", "[\"noto-v1\"]", "vendors", &["\"noto-v1\" has the role Val", "choose among noto, twemoji"]),
        (
            "[objective]",
            "[evaluate]\nvendor = \"noto\"\n[objective]",
            "vendor =",
            &["role Train", "choose among noto-v1"],
        ),
        ("batch = 6", "batch = 600", "batch", &["`batch` is 600", "take at most 58"]),
        ("[data]", "[data]\nimage_size = 12", "image_size", &["(12)", "patch (8)", "take 16"]),
        (folder, "folder = \"gone\"", "folder", &["gone: there is no such folder", "config.json", "relative to"]),
        (folder, "folder = \"file\"", "folder", &["file: is not a folder", "name a folder with"]),
        (folder, "folder = \"empty\"", "folder", &["empty: it has no config.json", "name a folder with"]),
        (folder, "folder = \"bare\"", "folder", &["bare: it has no target_tokenizer.json"]),
        (
            folder,
            "folder = \"start\"\ny_encoder = \"no\"",
            "y_encoder",
            &["no: there is no such folder", "tokenizer.json"],
        ),
        (
            folder,
            "folder = \"bare\"\ny_encoder = \"bare\"",
            "y_encoder",
            &["no target_tokenizer.json or tokenizer.json"],
        ),
        (
            folder,
            "folder = \"start\"\nstill_stem = \"start\"",
            "still_stem",
            &["where a model from `model.config` starts", "leave one of them out"],
        ),
        (folder, "config = \"gone.json\"\ny_encoder = \"start\"", "config", &["gone.json: there is no such file"]),
        (folder, "config = \"start\"\ny_encoder = \"start\"", "config", &["start: is a folder"]),
        (folder, "config = \"file\"\ny_encoder = \"start\"", "config", &["file: vljepa config"]),
        ("[data]", "[data]\ndir = \"gone\"", "dir", &["gone", "concepts.json", "VLJEPA_EMOJI_VENDORS"]),
        ("[data]", "[data]\ndir = \"empty\"", "dir", &["empty", "concepts.json", "name the folder"]),
        ("seed = 3", "output = \"file\"", "output", &["file is not a folder", "name a folder"]),
        ("seed = 3", "output = \"file/run\"", "output", &["file is not a folder", "name a folder"]),
    ];
    for (from, to, key, words) in cases {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good);
        says(&check(&write(dir.path(), &text), None).unwrap_err().to_string(), &text, key, words);
    }
    // A key that the file lacks has the line of its table.
    let text = good.replace("vendors = [\"noto\"]", "dir = \"set\"");
    let set = dir.path().join("set");
    fs::create_dir_all(&set).unwrap();
    let list = fs::read_to_string(EmojiVendors::default_dir().join("concepts.json")).unwrap();
    fs::write(set.join("concepts.json"), list.replace("\"twemoji\"", "\"another\"")).unwrap();
    says(&check(&write(dir.path(), &text), None).unwrap_err().to_string(), &text, "[data]", &["no vendor \"twemoji\""]);
}

#[test]
fn a_run_folder_that_is_a_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let path = write(dir.path(), &config_text("steps = 1\nbatch = 6\n", ""));
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for output in [file.clone(), file.join("run")] {
        let error = check(&path, Some(&output)).unwrap_err().to_string();
        assert_eq!(error, format!("{} is not a folder; name a folder for the run", file.display()));
    }
    check(&path, Some(&dir.path().join("new/run"))).unwrap();
    assert!(!dir.path().join("new").exists());
}

#[test]
fn a_text_encoder_that_does_not_fit_is_named_by_its_key() {
    let dir = tempfile::tempdir().unwrap();
    model_folder(dir.path());
    let other = dir.path().join("other");
    fs::create_dir_all(&other).unwrap();
    let mut writer = Writer::new();
    writer.f32("embeddings.word_embeddings.weight", &[3, 5], &[0.5; 15]).unwrap();
    fs::write(other.join("model.safetensors"), writer.finish().unwrap()).unwrap();
    fs::write(other.join("tokenizer.json"), tokenizer_json()).unwrap();
    let good = config_text("steps = 1\nbatch = 6\n", "");
    let with = |y_encoder: &str| good.replace("[data]", &format!("y_encoder = \"{y_encoder}\"\n[data]"));
    let output = dir.path().join("out");
    let fails = |text: &str| {
        let options = RunOptions::new(device()).output(&output);
        run(&write(dir.path(), text), options).unwrap_err().to_string()
    };
    let text = with("other");
    says(&fails(&text), &text, "y_encoder", &["other: ", "word_embeddings", "it must be the text encoder that"]);
    let text = with("start");
    fs::write(dir.path().join("start/target_tokenizer.json"), "{}").unwrap();
    says(&fails(&text), &text, "y_encoder", &["target_tokenizer.json: "]);
    fs::write(other.join("model.safetensors"), b"x").unwrap();
    let text = with("other");
    says(&fails(&text), &text, "y_encoder", &["other: ", "model.safetensors"]);

    model_folder(dir.path());
    let text = format!("{good}[[optimizer.groups]]\npattern = \"x_*\"\n[[optimizer.groups]]\npattern = \"x-*\"\n");
    says(&fails(&text), &text, "pattern = \"x-*\"", &["like \"x-*\"", "names are like x_encoder."]);
    assert!(!output.exists());
}
