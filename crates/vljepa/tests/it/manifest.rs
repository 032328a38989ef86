//! `data check`, `train` and `eval manifest` on a manifest of one's own pictures and films.

use serde_json::Value;

use crate::support::{Bench, fails, json, misused, noted, picture, vljepa};

/// A film of 16 × 16 grey pixels at ten frames a second.
fn film(frames: u8, first: u8) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W16 H16 F10:1 Cmono\n".to_vec();
    for i in 0..frames {
        bytes.extend(b"FRAME\n");
        bytes.extend([first.wrapping_add(9 * i); 256]);
    }
    bytes
}

/// A manifest of pictures and films of three kinds in all splits; all is well with it.
fn manifest(bench: &Bench) -> String {
    let mut lines = String::new();
    for (split, first) in [("train", 0), ("validation", 20), ("test", 40)] {
        for i in 0..3u8 {
            let (picture_name, film_name) = (format!("{split}{i}.png"), format!("{split}{i}.y4m"));
            bench.write(&picture_name, picture(first + i));
            bench.write(&film_name, film(9 + i, first));
            let text = ["bar", "field", "stripe"][usize::from(i)];
            lines += &format!("{{\"visual\": \"{picture_name}\", \"target\": \"{text}\", \"split\": \"{split}\"}}\n");
            lines += &format!(
                "{{\"visual\": \"{film_name}\", \"end\": 0.8, \"target\": \"{text}\", \"split\": \"{split}\"}}\n"
            );
        }
    }
    bench.write("clips.jsonl", lines)
}

/// Runs `data check` on a manifest that something is wrong with: what it prints, and its one line.
#[track_caller]
fn checked(args: &[&str]) -> (String, String) {
    let output = vljepa([&["data", "check"], args].concat()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
    (stdout, stderr)
}

#[test]
fn a_check_counts_what_is_there() {
    let bench = Bench::new();
    let clips = manifest(&bench);
    let report = json(["data", "check", &clips]);
    assert_eq!((report["problem"].clone(), report["file"].as_str()), (Value::Null, Some(clips.as_str())));
    for split in ["train", "validation", "test"] {
        let counts = &report["splits"][split];
        let got = ["rows", "pictures", "videos", "timed", "distinct_targets"].map(|key| counts[key].as_u64().unwrap());
        assert_eq!(got, [6, 3, 3, 3, 3], "{split}");
    }
    assert_eq!(report["longest"][0]["text"], "stripe");
    let output = vljepa(["data", "check", &clips]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("split") && lines[1].starts_with("train       6     3"), "{text}");
    assert!(text.contains("train: bar 2, field 2, stripe 2\n"), "{text}");
    assert!(text.contains("long target: 6 characters, ") && text.contains("line 5: stripe\n"), "{text}");
}

#[test]
fn a_check_fails_where_training_would_be_wrong() {
    let bench = Bench::new();
    let clips = manifest(&bench);
    let good = std::fs::read_to_string(&clips).unwrap();
    let row = |fields: &str| format!("{{\"target\": \"a\", {fields}}}\n");
    let gone: String = (0..15).map(|i| row(&format!("\"visual\": \"gone{i}.png\""))).collect();
    bench.write("clips.jsonl", format!("{good}{gone}"));
    let (stdout, stderr) = checked(&[&clips]);
    assert!(stderr.contains("clips.jsonl: 15 rows whose files are missing; correct"), "{stderr}");
    assert_eq!(stdout.matches("missing: ").count(), 11, "{stdout}");
    assert!(stdout.contains("line 19: ") && stdout.contains("gone0.png: no such file"), "{stdout}");
    assert!(stdout.contains("missing: 5 more\n"), "{stdout}");
    assert_eq!(checked(&[&clips, "--show", "0"]).0.matches("missing: ").count(), 1);
    let report: Value = serde_json::from_str(&checked(&[&clips, "--json"]).0).unwrap();
    assert_eq!((report["missing_count"].as_u64(), report["missing"].as_array().unwrap().len()), (Some(15), 15));

    bench.write("broken.png", &picture(3)[..200]);
    bench.write("text.mp4", "not a film");
    std::fs::copy(bench.path("train1.png"), bench.path("copy.png")).unwrap();
    let more = [
        row("\"visual\": \"broken.png\""),
        row("\"visual\": \"text.mp4\""),
        row("\"visual\": \"train0.y4m\", \"start\": 7"),
        row("\"visual\": \"copy.png\", \"split\": \"test\""),
        row("\"visual\": \"train2.y4m\", \"start\": 0.5, \"split\": \"validation\""),
        row("\"visual\": \"test0.y4m\", \"end\": 90, \"split\": \"test\""),
    ];
    bench.write("clips.jsonl", format!("{good}{}", more.concat()));
    let (stdout, stderr) = checked(&[&clips]);
    assert!(stderr.contains("3 rows that cannot be read, 2 clips that are in two splits"), "{stderr}");
    for (kind, line, words) in [
        ("broken", 19, "broken.png"),
        ("broken", 20, "text.mp4"),
        ("broken", 21, "`start` is 7, the last frame is shown at 0.800 s"),
        ("in two splits", 22, "(test) shows what"),
        ("in two splits", 23, "(validation) shows what"),
        ("beyond the end", 24, "`end` is 90, the video ends at 0.900 s"),
    ] {
        let start = format!("{kind}: {clips}: line {line}");
        let found = stdout.lines().find(|text| text.starts_with(&start));
        assert!(found.is_some_and(|text| text.contains(words)), "{start} {words}\n{stdout}");
    }
    // A quick check decodes nothing and compares no contents.
    let (stdout, stderr) = checked(&[&clips, "--quick"]);
    assert!(stderr.contains("1 clip that is in two splits"), "{stderr}");
    assert!(!stdout.contains("broken.png") && stdout.contains("text.mp4"), "{stdout}");
    // Times beyond the end alone are no fault.
    bench.write("clips.jsonl", format!("{good}{}", more[5]));
    assert_eq!(json(["data", "check", &clips])["beyond_count"], 1);
    // Nothing to train on.
    bench.write("clips.jsonl", good.replace("\"train\"", "\"test\""));
    let said = checked(&[&clips]).1;
    assert!(said.contains("no row has the split train, there is nothing to train on; mark rows"), "{said}");
}

#[test]
fn a_check_of_what_is_no_manifest_is_one_line() {
    let bench = Bench::new();
    bench.write("a.csv", "visual,label\na.png,cat\n");
    bench.write("b.jsonl", "{\"visual\": \"a.png\", \"target\": \"a\"}\n[1]\n");
    bench.write("c.tar", [7; 2000]);
    for (file, words) in [
        ("a.csv", "the header names the fields: unknown field \"label\""),
        ("b.jsonl", "line 2: "),
        ("c.tar", "c.tar: "),
        ("none.jsonl", "no such file"),
        ("pictures", "a folder without .tar files"),
        ("model/config.json", "line 1: "),
    ] {
        fails(&mut vljepa(["data", "check", &bench.text(file)]), &[file, words]);
    }
    misused(&mut vljepa(["data", "check", &bench.text("a.csv"), "--show=-1"]), &["--show"]);
}

/// Writes a run of `steps` from the tiny model on a manifest.
fn run(bench: &Bench, steps: u64) -> String {
    bench.write(
        "run.toml",
        format!(
            "steps = {steps}\nbatch = 3\noutput = \"run\"\n[model]\nfolder = \"model\"\n[data]\nkind = \"manifest\"\n\
             manifest = \"clips.jsonl\"\n[objective]\nkind = \"bank\"\ny_head = {{ whiten = false }}\n[optimizer]\nlr = 0.01\n"
        ),
    )
}

#[test]
fn own_data_is_trained_on_and_measured() {
    let bench = Bench::new();
    let (clips, config) = (manifest(&bench), run(&bench, 8));
    let (document, notes) = noted(["train", &config]);
    assert_eq!((document["complete"].as_bool(), document["steps"].as_u64()), (Some(true), Some(8)));
    let cell = &document["validation"]["validation"];
    assert_eq!((cell["n"].as_u64(), cell["candidates"].as_u64()), (Some(6), Some(3)));
    assert!(notes.contains("step 8/8") && notes.contains("R@1/R@5 % validation rows"), "{notes}");

    let model = bench.text("run/model");
    let page = bench.text("page.html");
    let report = json(["eval", "manifest", &clips, "--model", &model, "--html", &page, "--seed", "3"]);
    assert_eq!((report["suite"].as_str(), report["split"].as_str()), (Some("manifest"), Some("test")));
    let top1 = &report["classification"]["top1"];
    assert_eq!((report["rows"].as_u64(), report["classification"]["texts"].as_u64()), (Some(6), Some(3)));
    assert!((top1["chance"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9);
    assert!((top1["majority"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9);
    let interval: Vec<f64> = top1["interval"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    let value = top1["value"].as_f64().unwrap();
    assert!(interval[0] <= value && value <= interval[1]);
    assert_eq!(report["text_to_visual"]["candidates"], 6);
    assert_eq!((report["resamples"].as_u64(), report["seed"].as_u64()), (Some(1000), Some(3)));
    let html = std::fs::read_to_string(&page).unwrap();
    for outside in ["<script", "<link", "src=", "@import", "http://", "https://", "url("] {
        assert!(!html.contains(outside), "{outside}: the page must need nothing but itself");
    }
    for word in ["clips.jsonl", "Which text it shows", "stripe", "Median rank", "1000 draws"] {
        assert!(html.contains(word), "{word}");
    }
    for tag in ["section", "table", "tbody", "tr", "td", "th", "div", "span", "p", "b", "strong"] {
        let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    // The model in the folder is the one that was measured at the end of the run.
    let again = json(["eval", "manifest", &clips, "--model", &model, "--split", "validation", "--resamples", "0"]);
    for (figure, key) in [("r1", "r1"), ("r5", "r5")] {
        let (a, b) = (again["visual_to_text"][figure]["value"].as_f64().unwrap(), cell[key].as_f64().unwrap());
        assert!((a - b).abs() < 1e-9, "{figure}: {a} {b}");
    }
    assert!(again["visual_to_text"]["r1"]["interval"].is_null());
    let output = vljepa(["eval", "manifest", &clips, "--model", &model]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("right text first") && text.contains("R@10"), "{text}");
}

#[test]
fn a_measurement_that_cannot_be_made_is_one_line() {
    let bench = Bench::new();
    let clips = manifest(&bench);
    let good = std::fs::read_to_string(&clips).unwrap();
    let eval = |more: &[&str]| vljepa(bench.args(&[&["eval", "manifest", &clips], more].concat()));
    bench.write("clips.jsonl", good.replace("\"test\"", "\"train\""));
    fails(&mut eval(&[]), &["no row is of the split test; there are train, validation"]);
    bench.write("clips.jsonl", good.replace("test1.y4m", "gone.y4m"));
    fails(&mut eval(&[]), &["clips.jsonl: line 16: ", "gone.y4m: no such file"]);
    bench.write("clips.jsonl", &good);
    fails(&mut eval(&["--html", &clips]), &["clips.jsonl"]);
    fails(&mut eval(&["--html", "@no/such/page.html"]), &["no/such: there is no such folder"]);
    misused(&mut eval(&["--split", "tests"]), &["--split", "validation"]);
    for resamples in ["-1", "100001", "x"] {
        misused(&mut eval(&[&format!("--resamples={resamples}")]), &["--resamples"]);
    }
    assert_eq!(std::fs::read_to_string(&clips).unwrap(), good);
    // Nor is a page written over a picture, or over a frame of a folder.
    std::fs::create_dir(bench.path("frames")).unwrap();
    bench.write("frames/0.png", picture(7));
    bench.write("clips.jsonl", format!("{good}{{\"visual\": \"frames\", \"target\": \"bar\"}}\n"));
    for file in ["test0.png", "train1.y4m", "frames/0.png"] {
        let before = std::fs::read(bench.path(file)).unwrap();
        fails(&mut eval(&["--html", &bench.text(file)]), &[file, "is read and would be replaced"]);
        assert_eq!(std::fs::read(bench.path(file)).unwrap(), before);
    }
    // A run removes old checkpoints, and replaces the files of its model.
    std::fs::create_dir_all(bench.path("run/checkpoints/old")).unwrap();
    std::fs::create_dir_all(bench.path("run/model")).unwrap();
    for file in ["run/checkpoints/old/a.png", "run/model/README.md"] {
        bench.write(file, picture(8));
        bench.write("clips.jsonl", format!("{good}{{\"visual\": \"{file}\", \"target\": \"bar\"}}\n"));
        fails(&mut vljepa(["train", &run(&bench, 2)]), &[file]);
    }
    std::fs::remove_dir_all(bench.path("run")).unwrap();
    // The tiny model takes no queries.
    bench.write("clips.jsonl", good.replace("\"target\": \"bar\"", "\"query\": \"what is it?\", \"target\": \"bar\""));
    let (report, notes) = noted(bench.args(&["eval", "manifest", &clips]));
    assert_eq!((report["unasked"].as_u64(), report["classification"]["rows"].as_u64()), (Some(2), Some(4)));
    assert!(notes.contains("2 rows have a query, and the model takes none") && notes.lines().count() == 1, "{notes}");
    fails(&mut vljepa(["train", &run(&bench, 2)]), &["run.toml: line 5: `model.folder`", "query_tokenizer.json"]);
}
