//! `train`, `eval` and `demo` on the tiny model and the real picture set.

use serde_json::Value;

use crate::support::{Bench, fails, json, noted, vljepa};

#[test]
fn the_suite_fills_every_cell_and_the_demo_agrees_with_it() {
    let bench = Bench::new();
    let report = json(bench.args(&["eval", "emoji-vendors"]));
    assert_eq!(report["suite"], "emoji-vendors");
    let sizes = [
        ("seen_concept_unseen_vendor", 450, 450),
        ("unseen_concept_unseen_vendor", 150, 150),
        ("seen_concept_seen_vendor", 900, 450),
        ("unseen_concept_seen_vendor", 300, 150),
    ];
    for (cell, n, candidates) in sizes {
        let figures = &report["cells"][cell];
        assert_eq!((figures["n"].as_u64(), figures["candidates"].as_u64()), (Some(n), Some(candidates)), "{cell}");
        assert!((figures["chance_r1"].as_f64().unwrap() - 1.0 / candidates as f64).abs() < 1e-12);
        for key in ["r1", "r5", "t2i_r1", "t2i_r5"] {
            let value = figures[key].as_f64().unwrap();
            // Random weights know nothing: far below what luck gives with a probability worth naming.
            assert!((0.0..0.2).contains(&value), "{cell} {key}: {value}");
        }
        assert!(report["full"][cell]["n"].as_u64().unwrap() > n);
    }

    let page = bench.text("page.html");
    let (demo, notes) = noted(bench.args(&["demo", "--out", &page]));
    let name = "Japanese “open for business” button";
    let line = format!(
        "names and wordings: \"{name}\" has 33 tokens, special ones included, and is cut to the 32 that the model takes: shorten it\n"
    );
    assert_eq!(notes, line);
    for score in demo["scores"].as_array().unwrap() {
        let cell = &report["cells"][score["cell"].as_str().unwrap()];
        for key in ["n", "candidates", "r1", "r5", "chance_r1", "chance_r5", "t2i_n", "t2i_r1", "t2i_r5"] {
            let (a, b) = (score[key].as_f64().unwrap(), cell[key].as_f64().unwrap());
            assert!((a - b).abs() < 1e-9, "{key}: {a} {b}");
        }
    }
    let html = std::fs::read_to_string(&page).unwrap();
    for outside in ["<script", "<link", "src=", "@import", "http://", "https://"] {
        assert!(!html.contains(outside), "{outside}: the page must need nothing but itself");
    }
    assert_eq!(html.matches("url(").count(), html.matches("url(data:").count());
    assert_eq!(html.matches("<article").count(), 48);
    // 48 cards, 24 searches of 8, and all 600.
    assert_eq!(html.matches("role=\"img\"").count(), 48 + 24 * 8 + 600);
    assert_eq!(html.matches("aria-label=\"drawing of").count(), 48);
    for tag in ["section", "article", "figure", "table", "div", "span", "ol", "li", "p", "b"] {
        let (open, close) = (
            html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count(),
            html.matches(&format!("</{tag}>")).count(),
        );
        assert_eq!(open, close, "{tag}");
    }
}

#[test]
fn a_run_is_trained_and_its_model_used() {
    let bench = Bench::new();
    bench.write("run.toml", "steps = 2\nbatch = 4\noutput = \"run\"\n[model]\nfolder = \"model\"\n");
    let config = bench.text("run.toml");
    let output = vljepa(["train", &config, "--resume", "--json"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("step 2/2"), "{stderr}");
    let said = format!("nothing to resume in {}: starting from step 0", bench.text("run"));
    assert_eq!(stderr.lines().filter(|line| *line == said).count(), 1, "{stderr}");
    let cut: Vec<&str> = stderr.lines().filter(|line| line.contains("is cut to the 32 that")).collect();
    assert!(cut.len() == 1 && cut[0].starts_with("texts of the concepts: \""), "{stderr}");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((value["steps"].as_u64(), value["complete"].as_bool()), (Some(2), Some(true)));
    let cell = &value["validation"]["seen_concept_new_vendor"];
    assert!(
        cell["r1"].is_f64() && cell["t2i_n"] == 0 && cell["t2i_r1"].is_null() && cell["t2i_r5"].is_null(),
        "{cell}"
    );
    let model = value["model"].as_str().unwrap();
    assert_eq!(bench.files("run/model"), ["README.md", "config.json", "model.safetensors", "target_tokenizer.json"]);
    let before = json(bench.args(&["embed", "@pictures/0.png"]));
    let after = json(["embed", &bench.text("pictures/0.png"), "--model", model]);
    assert_ne!(before["rows"][0]["embedding"], after["rows"][0]["embedding"]);
    fails(&mut vljepa(["train", &config, "--device", "99"]), &["adapter 99 is not there", "there is: 0 "]);
    let again = vljepa(["train", &config]).output().unwrap();
    let stderr = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr.lines().last().unwrap().contains("resume"), "{stderr}");
}

#[test]
fn bad_training_files_are_one_clear_line() {
    let bench = Bench::new();
    let model = "[model]\nfolder = \"model\"\n";
    for (text, word) in [
        (String::new(), "steps"),
        ("steps = ".to_owned(), "run.toml"),
        (format!("stepps = 2\nbatch = 4\n{model}"), "stepps"),
        (format!("steps = 2\nbatch = 0\n{model}"), "batch"),
        (format!("steps = -2\nbatch = 4\n{model}"), "run.toml"),
        ("steps = 2\nbatch = 4\n[model]\n".to_owned(), "model"),
        (
            format!("steps = 2\nbatch = 4\n{model}[schedule]\nkind = \"wsd\"\nwarmup = 2\n"),
            "run.toml: line 7: `schedule.warmup`",
        ),
        (format!("steps = 2\nbatch = 4\n{model}[data]\nexclude_groups = [\"Flagz\"]\n"), "run.toml: line 6: "),
        (format!("steps = 2\nbatch = 4\n{model}[data]\nvendors = [\"nobody\"]\n"), "run.toml: line 6: "),
        (format!("steps = 2\nbatch = 4\n{model}[data]\ndir = \"gone\"\n"), "run.toml: line 6: "),
        (format!("steps = 2\nbatch = 9999\n{model}"), "run.toml: line 2: "),
        (format!("steps = 2\nbatch = 4\n{model}y_encoder = \"pictures\"\n"), "run.toml: line 5: "),
    ] {
        bench.write("run.toml", text);
        fails(&mut vljepa(["train", &bench.text("run.toml")]), &[word]);
    }
    bench.write("run.toml", format!("steps = 2\nbatch = 4\n{model}"));
    let file = bench.text("pictures/0.png");
    fails(&mut vljepa(["train", &bench.text("run.toml"), "--out", &file]), &[&file, "is not a folder"]);
    fails(&mut vljepa(["train", &bench.text("gone.toml")]), &["gone.toml"]);
    fails(
        &mut vljepa(["eval", "emoji-vendors", "--data", &bench.text("pictures"), "--model", &bench.text("model")]),
        &["concepts.json"],
    );
}

#[test]
fn help_says_what_resume_does_where_nothing_is() {
    let output = vljepa(["train", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("start from step 0 and say so on stderr"), "{help}");
}
