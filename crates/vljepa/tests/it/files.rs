//! Bad pictures, label lists, indices and outputs: one clear line, code 1, nothing half-written.

use crate::support::{Bench, fails, json, noted, picture, vljepa, weights};
use serde_json::Value;
use vljepa::index::{Entry, Made, write_index};
use vljepa_embed::visuals::Reading;

#[test]
fn pictures() {
    let bench = Bench::new();
    let good = picture(1);
    bench.write("empty.png", "");
    bench.write("text.png", "this is no picture");
    bench.write("cut.png", &good[..good.len() / 2]);
    let mut lying = good.clone();
    lying[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    bench.write("lying.png", lying);
    std::fs::create_dir(bench.path("none")).unwrap();
    for (input, words) in [
        ("@gone.png", ["gone.png", "no such file"]),
        ("@empty.png", ["empty.png", "empty"]),
        ("@text.png", ["text.png", "not a picture"]),
        ("@cut.png", ["cut.png", "truncated"]),
        ("@lying.png", ["lying.png", "lying.png"]),
        ("@none", ["none", "no pictures"]),
    ] {
        let out = bench.text("rows.npy");
        // A good picture first: what was done before the failure must not be left behind.
        fails(&mut vljepa(bench.args(&["embed", "@pictures/0.png", input, "--out", &out])), &words);
        fails(&mut vljepa(bench.args(&["classify", input, "--labels", "a,b"])), &words);
        assert!(!bench.path("rows.npy").exists(), "{input}");
    }
    bench.write("pictures/cut.png", &good[..40]);
    let before = bench.files(".");
    fails(&mut vljepa(bench.args(&["index", "build", "@pictures", "--out", "@p.idx"])), &["cut.png"]);
    fails(&mut vljepa(bench.args(&["index", "build", "@none", "--out", "@p.idx"])), &["no pictures"]);
    fails(&mut vljepa(bench.args(&["index", "build", "@cut.png", "--out", "@p.idx"])), &["is a file"]);
    assert_eq!(bench.files("."), before, "nothing half-written");
}

#[test]
fn what_a_folder_holds_besides_is_counted() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("mixed")).unwrap();
    std::fs::create_dir_all(bench.path("phone")).unwrap();
    for name in ["mixed/b.heic", "mixed/c.HEIC", "mixed/d.tif", "mixed/e.txt", "phone/a.heic"] {
        bench.write(name, "x");
    }
    bench.write("mixed/a.apng", picture(1));
    let counted = serde_json::json!({ "heic": 2, "tif": 1 });
    let idx = bench.text("m.idx");
    for args in [
        vec!["embed", "@mixed"],
        vec!["classify", "@mixed", "--labels", "a,b"],
        vec!["index", "build", "@mixed", "--out", &idx],
    ] {
        let (document, notes) = noted(bench.args(&args));
        assert_eq!(document["passed_over"], counted, "{args:?}");
        assert_eq!(notes, "3 files passed over: 2 .heic, 1 .tif\n", "{args:?}");
    }
    assert_eq!(json(bench.args(&["embed", "@mixed/a.apng"]))["passed_over"], serde_json::json!({}));
    fails(&mut vljepa(bench.args(&["embed", "@phone"])), &["no pictures", "1 file passed over: 1 .heic"]);
    let heic = bench.write("a.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    fails(&mut vljepa(bench.args(&["embed", &heic])), &["a.jpg: HEIC pictures are not read; convert it to PNG"]);
}

/// Names and labels come from anywhere, and a terminal obeys what is in them.
#[cfg(unix)]
#[test]
fn names_do_not_reach_the_terminal_raw() {
    let bench = Bench::new();
    let path = bench.write("\u{1b}[2J\u{9b}a\tb\n.png", picture(1));
    let labels = bench.write("labels.txt", "a\u{1b}]0;b\u{7}\nc");
    let idx = bench.text("p.idx");
    std::fs::create_dir(bench.path("odd")).unwrap();
    std::fs::copy(&path, bench.path("odd/\u{1b}[31m.png")).unwrap();
    json(bench.args(&["index", "build", "@odd", "--out", &idx]));
    for (args, shown) in [
        (vec!["embed", &path], "\\u{1b}[2J\\u{9b}a\\tb\\n.png\t"),
        (vec!["classify", &path, "--labels-file", &labels], "a\\u{1b}]0;b\\u{7}"),
        (vec!["search", &idx, "a\u{1b}b"], "/\\u{1b}[31m.png"),
    ] {
        let output = vljepa(bench.args(&args)).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(shown), "{args:?}: {text:?}");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{args:?}: {text:?}");
        let output = vljepa(bench.args(&args)).arg("--json").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.trim_end().contains(char::is_control), "{args:?}: {text:?}");
        serde_json::from_str::<Value>(&text).unwrap();
    }
    let named = json(bench.args(&["embed", &path]));
    assert_eq!(named["rows"][0]["input"], path.as_str());
}

#[test]
fn label_lists() {
    let bench = Bench::new();
    bench.write("empty.txt", "");
    bench.write("blank.txt", "\n  \n");
    bench.write("twice.txt", "cat\ndog\ncat\n");
    bench.write("binary.txt", [b'a', b'\n', 0xff, 0xfe]);
    for (file, words) in [
        ("@empty.txt", ["empty.txt", "list is empty"]),
        ("@blank.txt", ["blank.txt", "list is empty"]),
        ("@pictures", ["pictures: is a folder", "one label or answer a line"]),
        ("@twice.txt", ["line 3 repeats \"cat\" of line 1", "must differ"]),
        ("@binary.txt", ["line 2", "UTF-8"]),
        ("@gone.txt", ["gone.txt", "no such file"]),
    ] {
        fails(&mut vljepa(bench.args(&["classify", "@pictures/0.png", "--labels-file", file])), &words);
    }
    for (list, words) in [("", "no labels"), (" , ", "no labels"), ("cat,dog,cat", "repeats \"cat\"")] {
        fails(&mut vljepa(bench.args(&["classify", "@pictures/0.png", "--labels", list])), &[words]);
    }
    let args = ["classify", "@pictures/0.png", "--labels", "a,b", "--template", "a picture"];
    fails(&mut vljepa(bench.args(&args)), &["--template", "{}"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let bench = Bench::new();
    bench.write("file", "x");
    for (out, words) in [
        ("@pictures/rows", ".npy or .safetensors"),
        ("@rows.txt", ".npy or .safetensors"),
        ("@gone/rows.npy", "no such folder to write into"),
        ("@file/rows.npy", "file"),
    ] {
        fails(&mut vljepa(bench.args(&["embed", "@pictures", "--out", out])), &[words]);
        fails(&mut vljepa(bench.args(&["embed-text", "cat", "--out", out])), &[words]);
    }
    std::fs::create_dir(bench.path("folder.npy")).unwrap();
    fails(&mut vljepa(bench.args(&["embed", "@pictures", "--out", "@folder.npy"])), &["is a folder"]);
    for out in ["@pictures", "@gone/p.idx"] {
        fails(&mut vljepa(bench.args(&["index", "build", "@pictures", "--out", out])), &["folder"]);
        fails(
            &mut vljepa(bench.args(&["demo", "--out", if out == "@pictures" { out } else { "@file/page.html" }])),
            &["error"],
        );
    }
    fails(&mut vljepa(bench.args(&["demo", "--out", "@gone/page.html"])), &["gone", "no such folder to write into"]);
    assert!(!bench.path("gone").exists());
    if cfg!(target_os = "linux") {
        fails(&mut vljepa(bench.args(&["index", "build", "@pictures", "--out", "/dev/null"])), &["not a regular file"]);
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_vljepa")).arg("info").stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("error: standard output: ") && stderr.lines().count() == 1, "{stderr}");
    }
}

/// The model is looked for later than the place of what it is to make.
#[test]
fn outputs_that_cannot_be_made_are_refused_before_the_work() {
    let bench = Bench::new();
    let (model, source) = (bench.text("no model"), bench.text("no source"));
    std::fs::create_dir(bench.path("folder.npy")).unwrap();
    for (args, words) in [
        (&["embed", "gone.png", "--model", &model, "--out"][..], ["gone/x.npy", "no such folder to write into"]),
        (&["embed", "gone.png", "--model", &model, "--out"], ["folder.npy", "is a folder"]),
        (&["embed-text", "cat", "--model", &model, "--out"], ["gone/x.npy", "no such folder to write into"]),
        (&["index", "build", "gone", "--model", &model, "--out"], ["gone/x.npy", "no such folder to write into"]),
        (&["demo", "--model", &model, "--out"], ["gone/x.npy", "no such folder to write into"]),
        (&["convert", "--from", "vjepa2", &source, "--out"], ["gone/x.npy", "its folder does not exist"]),
        (&["convert", "--from", "vjepa2", &source, "--out"], ["pictures", "the folder is not empty"]),
    ] {
        fails(vljepa(args).arg(bench.path(words[0])), &[words[0].split('/').next().unwrap(), words[1]]);
    }
}

/// An index file of pictures with rows of our choice.
fn index(bench: &Bench, model: &str, pictures: &[&str], dim: usize, values: &[f32]) -> Vec<u8> {
    let made = Made {
        model: model.into(),
        root: bench.path("pictures"),
        program: "1.0".into(),
        reading: Reading::default(),
        settings: Value::Null,
        frame_folders: false,
        mixed: false,
    };
    let entry = |path: &&str| Entry { path: (*path).into(), size: 1, modified: 1, noted: false, clips: Vec::new() };
    let entries: Vec<Entry> = pictures.iter().map(entry).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let path = bench.path("made.idx");
    write_index(&path, &made, &entries, dim, &mut &bytes[..]).unwrap();
    std::fs::read(path).unwrap()
}

/// The same bytes with the first `from` replaced by `to`, which is as long.
fn with(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn indices() {
    let bench = Bench::new();
    json(bench.args(&["index", "build", "@pictures", "--out", "@p.idx"]));
    let good = std::fs::read(bench.path("p.idx")).unwrap();
    let info = json(bench.args(&["info"]));
    let hash = info["models"].as_array().unwrap().last().unwrap()["hash"].as_str().unwrap().to_owned();
    let unit = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let made = |model: &str, pictures: &[&str], values: &[f32]| index(&bench, model, pictures, 8, values);
    let one = made(&hash, &["a.png"], &unit);
    let value = one.windows(4).position(|part| part == 1.0f32.to_le_bytes()).unwrap();
    let mut nan = one.clone();
    nan[value..value + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let two = [unit, unit].concat();
    for (name, bytes, words) in [
        ("empty", Vec::new(), "empty"),
        ("garbage", b"GIF89a, but not really an index at all".to_vec(), "not a whole index"),
        ("cut", good[..good.len() - 10].to_vec(), "not a whole index"),
        ("long", [&good[..], b"more"].concat(), "not a whole index"),
        ("plain", weights(0, |_, _, _| ()), "no index of"),
        ("version", with(one.clone(), "\"vljepa_index\":\"3\"", "\"vljepa_index\":\"7\""), "version \"7\""),
        ("model", made("0123", &["a.png"], &unit), "another model"),
        (
            "count",
            with(made(&hash, &["a.png", "b.png"], &two), "\"shape\":[2,8]", "\"shape\":[8,2]"),
            "not a whole index",
        ),
        ("dim", index(&bench, &hash, &["a.png"], 4, &unit[..4]), "dimensions"),
        ("escape", with(made(&hash, &["xx/xx/etc/passwd"], &unit), "xx/xx/", "../../"), "no path below"),
        ("absolute", with(made(&hash, &["xetc/passwd"], &unit), "xetc", "/etc"), "no path below"),
        ("length", made(&hash, &["a.png"], &[0.5; 8]), "unit length"),
        ("nan", nan, "not a whole index"),
        ("reading", with(one.clone(), "\"reading\":\"{}\"", "\"reading\":\"77\""), "`reading`"),
        ("column", with(one, "\"sizes\"", "\"seize\""), "no tensor `sizes`"),
    ] {
        bench.write("bad.idx", bytes);
        fails(&mut vljepa(bench.args(&["search", "@bad.idx", "cat"])), &["bad.idx", words, ""]);
        assert!(bench.path("bad.idx").exists(), "{name}");
    }
    fails(&mut vljepa(bench.args(&["search", "@gone.idx", "cat"])), &["gone.idx", "no such file"]);
    fails(&mut vljepa(bench.args(&["search", "@pictures", "cat"])), &["is a folder"]);
    bench.write("model/model.safetensors", weights(1, |_, _, _| ()));
    fails(&mut vljepa(bench.args(&["search", "@p.idx", "cat"])), &["p.idx", "another model", "index build"]);
    fails(&mut vljepa(bench.args(&["index", "update", "@p.idx"])), &["p.idx", "another model", "index build"]);
}
