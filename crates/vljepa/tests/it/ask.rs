//! `ask`: a question about pictures and videos, and the answers to choose among.

use serde_json::Value;

use crate::support::{Bench, fails, json, noted, tokenizer, vljepa};

fn vector(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn asking() -> Bench {
    let bench = Bench::new();
    bench.write("model/query_tokenizer.json", tokenizer());
    bench
}

#[test]
fn answers_are_ranked_by_what_the_question_predicts() {
    let bench = asking();
    bench.write("answers.txt", "a red bar\nnothing at all\nyes, twice\n");
    let answers = ["a red bar", "nothing at all", "yes, twice"];
    let question = "what is in the picture";
    let args = ["ask", "@pictures/3.png", "@pictures/sub", "--question", question, "--answers-file", "@answers.txt"];
    let out = json(bench.args(&args));
    assert_eq!(out["question"], question);
    let results = out["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    let asked = json(bench.args(&["embed", "@pictures/3.png", "@pictures/sub", "--query", question]));
    let texts = json(bench.args(&[&["embed-text"], &answers[..]].concat()));
    for (i, result) in results.iter().enumerate() {
        assert_eq!(result["input"], asked["rows"][i]["input"]);
        let ranked = result["answers"].as_array().unwrap();
        assert_eq!(ranked.len(), 3);
        let mut sum = 0.0;
        for (place, answer) in ranked.iter().enumerate() {
            let which = answers.iter().position(|a| answer["answer"] == *a).unwrap();
            let (a, b) = (vector(&asked["rows"][i]["embedding"]), vector(&texts["rows"][which]["embedding"]));
            let cosine: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
            assert!((answer["cosine"].as_f64().unwrap() - cosine).abs() < 1e-5);
            assert!(place == 0 || answer["cosine"].as_f64() <= ranked[place - 1]["cosine"].as_f64());
            sum += answer["score"].as_f64().unwrap();
        }
        assert!((sum - 1.0).abs() < 1e-9, "probabilities");
    }
    // Another question, another prediction.
    let other = json(bench.args(&[
        "ask",
        "@pictures/3.png",
        "--question",
        "how many",
        "--answers",
        "a red bar, nothing at all",
    ]));
    let cosine = |v: &Value| {
        let answers = v["results"][0]["answers"].as_array().unwrap();
        answers.iter().find(|a| a["answer"] == "a red bar").unwrap()["cosine"].as_f64().unwrap()
    };
    assert!((cosine(&other) - cosine(&out)).abs() > 1e-6);
    assert_eq!(other["results"][0]["answers"].as_array().unwrap().len(), 2);
    let top = ["ask", "@pictures/3.png", "--question", "how many", "--answers", "a, b, c", "--top", "1"];
    assert_eq!(json(bench.args(&top))["results"][0]["answers"].as_array().unwrap().len(), 1);
    let text = String::from_utf8(vljepa(bench.args(&top)).output().unwrap().stdout).unwrap();
    assert!(text.lines().count() == 1 && text.contains('%') && text.contains("3.png"), "{text}");
}

#[test]
fn clips_are_asked_about_too() {
    let bench = asking();
    let clip: std::path::PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "../data/tests/fixtures/video/clear.gif"].iter().collect();
    let out = json(bench.args(&["ask", clip.to_str().unwrap(), "--question", "what moves", "--answers", "a, b"]));
    assert!(out["results"][0]["input"].as_str().unwrap().ends_with("clear.gif"));
    assert_eq!(out["results"][0]["answers"].as_array().unwrap().len(), 2);
}

#[test]
fn files_that_cannot_be_read_are_left_out_when_asked() {
    let bench = asking();
    let args = ["ask", "@pictures", "--question", "what", "--answers", "a, b"];
    let all = json(bench.args(&args));
    bench.write("pictures/1.png", "no picture");
    fails(&mut vljepa(bench.args(&args)), &["1.png", "not a picture", "--skip-broken"]);
    let (some, notes) = noted(bench.args(&[&args[..], &["--skip-broken"]].concat()));
    assert!(notes.lines().count() == 1 && notes.starts_with("skipped: ") && notes.contains("1.png"), "{notes}");
    let (before, after) = (all["results"].as_array().unwrap(), some["results"].as_array().unwrap());
    assert_eq!((before.len(), after.len()), (9, 8));
    for (a, b) in before.iter().filter(|r| !r["input"].as_str().unwrap().ends_with("1.png")).zip(after) {
        assert_eq!(a["input"], b["input"]);
        assert_eq!(a["answers"][0]["answer"], b["answers"][0]["answer"]);
    }
    assert!(some["skipped"].as_array().unwrap().len() == 1 && some["skipped"][0].as_str().unwrap().ends_with("1.png"));
    let bad = bench.text("pictures/1.png");
    let none = ["ask", &bad, "--question", "what", "--answers", "a, b", "--skip-broken"];
    fails(&mut vljepa(bench.args(&none)), &["none of the 1 files can be read", "1.png"]);
}

#[test]
fn what_cannot_be_asked_is_one_line() {
    let bench = asking();
    let ask = |more: &[&str]| vljepa(bench.args(&[&["ask", "@pictures/0.png", "--question", "what"], more].concat()));
    fails(&mut ask(&[]), &["has no Y-Decoder", "--answers"]);
    for (list, words) in [("", "no answers"), (" , ", "no answers"), ("a,b,a", "answer 3 repeats \"a\" of answer 1")] {
        fails(&mut ask(&["--answers", list]), &["--answers", words]);
    }
    bench.write("twice.txt", "a\na\n");
    fails(&mut ask(&["--answers-file", &bench.text("twice.txt")]), &["line 2 repeats", "every line must differ"]);
    bench.write("empty.txt", "\n");
    fails(
        &mut ask(&["--answers-file", &bench.text("empty.txt")]),
        &["empty.txt", "list is empty", "one label or answer"],
    );
    fails(&mut ask(&["--answers-file", &bench.text("pictures")]), &["pictures", "is a folder", "one label or answer"]);
    fails(&mut ask(&["--answers-file", &bench.text("gone.txt")]), &["gone.txt", "no such file"]);
    fails(
        &mut vljepa(bench.args(&["ask", "@pictures/0.png", "--question", " ", "--answers", "a,b"])),
        &["--question", "empty", "say what is asked"],
    );
    std::fs::remove_file(bench.path("model/query_tokenizer.json")).unwrap();
    for more in [&[][..], &["--answers", "a,b"]] {
        fails(&mut ask(more), &["no query tokenizer", "takes no question", "classify"]);
    }
    if vljepa::Builtin::Compact.is_carried() {
        let picture = bench.text("pictures/0.png");
        fails(
            &mut vljepa(["ask", &picture, "--question", "what", "--answers", "a,b", "--model", "compact"]),
            &["compact model", "takes no question"],
        );
    }
    for args in [
        &["ask", "a.png"][..],
        &["ask", "--question", "what"],
        &["ask", "a.png", "--question", "what", "--answers", "a", "--answers-file", "b"],
        &["ask", "a.png", "--question", "what", "--answers", "a", "--top", "0"],
    ] {
        assert_eq!(vljepa(args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
}
