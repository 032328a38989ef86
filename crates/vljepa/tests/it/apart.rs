//! Nothing is written over what is read, through links, or into pipes and devices; what cannot be written is said first.

use std::path::Path;
use std::process::Stdio;

use crate::stopped::large;
use crate::support::{Bench, fails, json, noted, picture, vljepa};

#[test]
fn what_is_read_is_not_replaced() {
    let bench = Bench::new();
    let good = picture(3);
    bench.write("x.npy", &good);
    bench.write("pictures/p.idx.png", &good);
    let weights = std::fs::read(bench.path("model/model.safetensors")).unwrap();
    bench.write("texts.npy", "cat\ndog\n");
    for (args, file) in [
        (&["embed", "@x.npy", "--out", "@x.npy"][..], "x.npy"),
        (&["embed", "@pictures", "@x.npy", "--out", "@x.npy"], "x.npy"),
        (&["index", "build", "@pictures", "--out", "@pictures/p.idx.png"], "p.idx.png"),
        (&["embed", "@pictures", "--out", "@model/model.safetensors"], "model.safetensors"),
        (&["index", "build", "@pictures", "--out", "@model/config.json"], "config.json"),
        (&["embed-text", "cat", "--out", "@model/model.safetensors"], "model.safetensors"),
        (&["embed-text", "--file", "@texts.npy", "--out", "@texts.npy"], "texts.npy"),
    ] {
        fails(&mut vljepa(bench.args(args)), &[file, "is read", "would", "name another file"]);
    }
    assert!(std::fs::read(bench.path("x.npy")).unwrap() == good);
    assert!(std::fs::read(bench.path("pictures/p.idx.png")).unwrap() == good);
    assert!(std::fs::read(bench.path("model/model.safetensors")).unwrap() == weights);
    assert_eq!(std::fs::read(bench.path("texts.npy")).unwrap(), b"cat\ndog\n");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(bench.path("pictures/1.png"), bench.path("link.npy")).unwrap();
        fails(
            &mut vljepa(bench.args(&["embed", "@pictures", "--out", "@link.npy"])),
            &["link.npy", "1.png, which is read"],
        );
    }
}

#[cfg(unix)]
#[test]
fn unfinished_files_are_files_of_our_own() {
    let bench = Bench::new();
    bench.write("precious", "precious");
    for (out, args) in [("r.npy", &["embed", "@pictures"][..]), ("p.idx", &["index", "build", "@pictures"])] {
        for suffix in [".partial", ".partial.jsonl"] {
            let place = bench.path(&format!("{out}{suffix}"));
            let args = bench.args(&[args, &["--out", &bench.text(out)]].concat());
            std::os::unix::fs::symlink(bench.path("precious"), &place).unwrap();
            fails(&mut vljepa(&args), &[suffix, "is a link", "move it away"]);
            std::fs::remove_file(&place).unwrap();
            std::os::unix::fs::symlink("/dev/full", &place).unwrap();
            fails(&mut vljepa(&args), &[suffix, "is a link"]);
            std::fs::remove_file(&place).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&place).status().unwrap().success());
            fails(&mut vljepa(&args), &[suffix, "not a regular file"]);
            std::fs::remove_file(&place).unwrap();
        }
    }
    assert_eq!(std::fs::read(bench.path("precious")).unwrap(), b"precious");
}

/// A pipe that is opened waits for ever, and the test would too.
#[cfg(unix)]
#[test]
fn pipes_in_the_place_of_files_are_refused() {
    let bench = Bench::new();
    bench.write("run.toml", "steps = 1\nbatch = 4\n[model]\nconfig = \"pipe\"\ny_encoder = \"model\"\n");
    let emoji = "steps = 1\nbatch = 4\n[model]\nfolder = \"model\"\n[data]\ndir = \"emoji\"\n";
    bench.write("emoji.toml", emoji);
    std::fs::create_dir(bench.path("emoji")).unwrap();
    let pipe = |name: &str| {
        let _ = std::fs::remove_file(bench.path(name));
        assert!(std::process::Command::new("mkfifo").arg(bench.path(name)).status().unwrap().success());
    };
    pipe("pipe");
    pipe("emoji/concepts.json");
    for (args, name) in [
        (&["train", "@pipe"][..], "pipe"),
        (&["train", "@run.toml"], "pipe"),
        (&["train", "@emoji.toml"], "concepts.json"),
        (&["eval", "emoji-vendors", "--data", "@emoji"], "concepts.json"),
        (&["inspect", "@pipe"], "pipe"),
        (&["search", "@pipe", "a"], "pipe"),
        (&["embed", "@pipe"], "pipe"),
        (&["classify", "@pictures/0.png", "--labels-file", "@pipe"], "pipe"),
        (&["embed-text", "--file", "@pipe"], "pipe"),
        (&["convert", "--from", "vjepa2-pt", "@pipe", "--out", "@out"], "pipe"),
    ] {
        let all = bench.args(args);
        let models = !matches!(args[0], "train" | "inspect" | "convert");
        let all = if models { &all[..] } else { &all[..all.len() - 2] };
        fails(&mut vljepa(all), &[name, "regular file"]);
    }
    for name in ["model.safetensors", "config.json", "target_tokenizer.json", "query_tokenizer.json"] {
        let name = format!("model/{name}");
        let good = std::fs::read(bench.path(&name)).ok();
        pipe(&name);
        fails(&mut vljepa(bench.args(&["embed", "@pictures"])), &[&name, "is not a regular file"]);
        std::fs::remove_file(bench.path(&name)).unwrap();
        good.into_iter().for_each(|bytes| drop(bench.write(&name, bytes)));
    }
    let pull = || {
        let mut command = vljepa(["pull", "org/tiny"]);
        command.env("HF_ENDPOINT", "https://127.0.0.1:9").env("HF_HOME", bench.path("home"));
        command
    };
    fails(pull().env("SSL_CERT_FILE", bench.path("pipe")), &["SSL_CERT_FILE", "not a regular file"]);
    fails(pull().env("HF_TOKEN_PATH", bench.path("pipe")), &["HF_TOKEN_PATH", "not a regular file"]);
}

#[test]
fn unfinished_files_of_any_size_are_read_within_bounds() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("many")).unwrap();
    for i in 0..70u8 {
        bench.write(&format!("many/{i:03}.png"), picture(i));
    }
    bench.write("many/069.png", "no picture");
    let args = bench.args(&["embed", "@many", "--out", "@r.npy"]);
    fails(&mut vljepa(&args), &["069.png"]);
    bench.write("many/069.png", picture(69));
    let journal = std::fs::read_to_string(bench.path("r.npy.partial.jsonl")).unwrap();
    // One line claims rows of 61 GB, and the file has them.
    let sparse = std::fs::File::options().write(true).open(bench.path("r.npy.partial")).unwrap();
    sparse.set_len(61 << 30).unwrap();
    bench.write("r.npy.partial.jsonl", journal.replace("\"shape\":[8]", "\"shape\":[250000000]"));
    let (said, _) = noted(&args);
    assert_eq!((&said["resumed"], &said["shape"]), (&0.into(), &serde_json::json!([70, 8])));
    // A journal of that size.
    std::fs::File::create(bench.path("r.npy.partial.jsonl")).unwrap().set_len(61 << 30).unwrap();
    std::fs::remove_file(bench.path("r.npy")).unwrap();
    fails(&mut vljepa(&args), &["r.npy.partial.jsonl", "at most"]);
    assert!(!bench.path("r.npy").exists());
}

#[test]
fn unchanged_rows_of_an_index_are_taken_over() {
    let bench = Bench::new();
    let build = |out: &str| json(bench.args(&["index", "build", "@pictures", "--out", out]));
    let first = build("@p.idx");
    assert_eq!((&first["pictures"], &first["reused"]), (&9.into(), &0.into()));
    let bytes = std::fs::read(bench.path("p.idx")).unwrap();
    let again = build("@p.idx");
    assert_eq!((&again["pictures"], &again["reused"]), (&9.into(), &9.into()));
    assert!(std::fs::read(bench.path("p.idx")).unwrap() == bytes, "the same bits");
    // One more, one gone, one changed.
    bench.write("pictures/00.png", picture(77));
    std::fs::remove_file(bench.path("pictures/3.png")).unwrap();
    bench.write("pictures/4.png", picture(78));
    let time = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    std::fs::File::options().write(true).open(bench.path("pictures/4.png")).unwrap().set_modified(time).unwrap();
    let mixed = build("@p.idx");
    assert_eq!((&mixed["pictures"], &mixed["reused"]), (&9.into(), &7.into()));
    assert_eq!(build("@new.idx")["reused"], 0);
    let search = |index: &str| {
        let found = json(bench.args(&["search", index, "a picture", "--top", "9"]));
        let mut found: Vec<(String, f64)> = found["searches"][0]["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| (r["input"].as_str().unwrap().to_owned(), r["score"].as_f64().unwrap()))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    };
    // Other batches: f32 sums of the same numbers in another order.
    for ((path, a), (other, b)) in search("@p.idx").iter().zip(&search("@new.idx")) {
        assert!(path == other && (a - b).abs() < 1e-5, "{path}: {a} and {b}");
    }
    // Another precision, and a file that is no index.
    let f16 = json(bench.args(&["index", "build", "@pictures", "--out", "@p.idx", "--precision", "f16"]));
    assert_eq!(f16["reused"], 0);
    bench.write("p.idx", "no index");
    assert_eq!(build("@p.idx")["reused"], 0);
}

#[test]
fn texts_come_from_files_and_from_standard_input() {
    let bench = Bench::new();
    bench.write("texts.txt", "a cat\r\nblue bird\rdog\n\n");
    let want = json(bench.args(&["embed-text", "a cat", "blue bird", "dog"]));
    assert_eq!(json(bench.args(&["embed-text", "--file", "@texts.txt"])), want);
    let mut command = vljepa(bench.args(&["embed-text", "-", "--json"]));
    let output = command.write_stdin("a cat\nblue bird\ndog").output().unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap(), want);
    bench.write("blank.txt", "a\n\nb");
    fails(&mut vljepa(bench.args(&["embed-text", "--file", "@blank.txt"])), &["blank.txt", "line 2 is blank"]);
    fails(&mut vljepa(bench.args(&["embed-text", "--file", "@pictures"])), &["pictures", "folder"]);
    fails(vljepa(bench.args(&["embed-text", "-"])).write_stdin(""), &["standard input", "empty"]);
    #[cfg(unix)]
    fails(&mut vljepa(bench.args(&["embed-text", "--file", "/dev/zero"])), &["/dev/zero", "regular file"]);
}

#[cfg(unix)]
#[test]
fn a_lost_document_is_a_failure() {
    let bench = Bench::new();
    for (more, code) in [(&["--json"][..], 1), (&[], 0)] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vljepa"));
        command.args(bench.args(&["embed", "@pictures"])).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(
            if code == 1 { stderr.contains("standard output: it was closed") } else { stderr.is_empty() },
            "{stderr}"
        );
    }
    let help = String::from_utf8(vljepa(["--help"]).output().unwrap().stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for code in ["0 done", "1 failed", "2 arguments that are wrong", "130 interrupted"] {
        assert!(help.contains(code), "{help}");
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_no_fault_of_the_source() {
    let bench = Bench::new();
    let source = large(&bench);
    // Files may have 1 MB, and a write beyond is an error instead of a signal.
    let limited = |args: &[&str]| {
        let script = format!("trap '' XFSZ; ulimit -f 2000; exec {} \"$@\"", env!("CARGO_BIN_EXE_vljepa"));
        let mut command = assert_cmd::Command::new("sh");
        command.args(["-c", &script, "sh"]).args(args);
        command
    };
    let out = bench.text("out");
    fails(
        &mut limited(&["convert", "--from", "vjepa2", &source, "--out", &out]),
        &["out/model.safetensors: writing failed", "large"],
    );
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_name_of_any_length_is_shown() {
    let bench = Bench::new();
    let mut writer = vljepa_model::weights::Writer::new();
    let long = "x".repeat(70_000);
    writer.f32(&long, &[1], &[1.0]).unwrap();
    writer.f32("b", &[1], &[1.0]).unwrap();
    let file = bench.write("long.safetensors", writer.finish().unwrap());
    let output = vljepa(["inspect", &file]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stdout).unwrap().contains(&long));
    json(bench.args(&["index", "build", "@pictures", "--out", "@p.idx"]));
    for args in [
        &["search", "@p.idx", &long][..],
        &["embed-text", &long],
        &["classify", "@pictures/0.png", "--labels", &format!("{long},b")],
    ] {
        let output = vljepa(bench.args(args)).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.len() < 1000, "{}: {} characters", args[0], stderr.len());
        assert!(String::from_utf8(output.stdout).unwrap().contains(&long), "{}", args[0]);
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_in_a_model_folder_is_called_that() {
    let bench = Bench::new();
    for name in ["model.safetensors", "config.json", "target_tokenizer.json", "query_tokenizer.json"] {
        let place = bench.path("model").join(name);
        let good = std::fs::read(&place).ok();
        let _ = std::fs::remove_file(&place);
        std::os::unix::fs::symlink("../../blobs/0123", &place).unwrap();
        let words = [name, "is a link to ../../blobs/0123, where there is nothing", "vljepa pull"];
        fails(&mut vljepa(bench.args(&["embed", "@pictures"])), &words);
        if name == "model.safetensors" {
            fails(&mut vljepa(["inspect", &bench.text("model")]), &words);
        }
        std::fs::remove_file(&place).unwrap();
        good.into_iter().for_each(|bytes| std::fs::write(&place, bytes).unwrap());
    }
}
