//! Texts that are longer than a model takes.

use serde_json::{Value, json};

use crate::support::{Bench, json, noted, tokenizer, vljepa};

/// Letters in words of four, each letter a token: `count` of them.
fn letters(count: usize) -> String {
    let letters: Vec<char> = ('a'..='z').cycle().take(count).collect();
    letters.chunks(4).map(|word| word.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// The line about a text of so many tokens, of which the tiny model takes 32.
fn line(place: &str, text: &str, tokens: usize, others: &str) -> String {
    let beginning: String = text.chars().take(40).collect();
    let more = if beginning == text { "" } else { "…" };
    let end = format!("with those that the model adds, and is cut to its 32{others}");
    format!("{place}: \"{beginning}{more}\" has {tokens} tokens {end}\n")
}

#[test]
fn texts_that_are_cut_are_told_of_once() {
    let bench = Bench::new();
    // Thirty letters fit between the two special tokens.
    let (fits, long, longer) = (letters(30), letters(31), letters(1000));
    let run = |texts: &[&str]| noted(bench.args(&[&["embed-text"], texts].concat()));
    let (rows, notes) = run(&[&fits]);
    assert_eq!(notes, "");
    for (text, tokens) in [(&long, 33), (&longer, 1002)] {
        let (cut, notes) = run(&[text]);
        assert_eq!(notes, line("TEXT 1", text, tokens, ""));
        assert_eq!(cut["rows"][0]["embedding"], rows["rows"][0]["embedding"]);
    }
    let (many, notes) = run(&["cat", &longer, &fits, &long, "dog", &long]);
    assert_eq!(notes, line("TEXT 2", &longer, 1002, "; 2 other texts are cut too"));
    assert_eq!(many["rows"].as_array().unwrap().len(), 6);
    // Without --json too; what stands in a text does not reach the terminal as it is.
    let odd = format!("\u{1b}[31m\n{longer}");
    let output = vljepa(bench.args(&["embed-text", "cat", &odd])).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(0), 1), "{stderr}");
    assert!(stderr.starts_with("TEXT 2: \"\\u{1b}[31m\\nabcd efgh"), "{stderr}");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("cat\t"));
    // A file is written all the same.
    let (said, notes) = noted(bench.args(&["embed-text", &long, "--out", "@rows.npy"]));
    assert_eq!((&said["shape"], notes), (&json!([1, 8]), line("TEXT 1", &long, 33, "")));
}

#[test]
fn labels_and_searches_that_are_cut_are_told_of_with_their_place() {
    let bench = Bench::new();
    let (long, longer) = (letters(31), letters(50));
    let classify = |more: &[&str]| noted(bench.args(&[&["classify", "@pictures/0.png"], more].concat()));
    let (found, notes) = classify(&["--labels", &format!("cat, {long}")]);
    assert_eq!(notes, line("--labels: label 2", &long, 33, ""));
    assert_eq!(found["results"][0]["labels"].as_array().unwrap().len(), 2);
    let file = bench.write("labels.txt", format!("cat\n\n{longer}\ndog\n{long}\n"));
    let place = format!("{file}: line 3");
    let (_, notes) = classify(&["--labels-file", &file]);
    assert_eq!(notes, line(&place, &longer, 52, "; 1 other text is cut too"));
    // The template takes its part.
    let (_, notes) = classify(&["--labels-file", &file, "--template", "one {}"]);
    assert_eq!(notes, line(&place, &format!("one {longer}"), 55, "; 1 other text is cut too"));

    json(bench.args(&["index", "build", "@pictures", "--out", "@p.idx"]));
    let (found, notes) = noted(bench.args(&["search", "@p.idx", "cat", &long]));
    assert_eq!(notes, line("TEXT 2", &long, 33, ""));
    assert_eq!(found["searches"].as_array().unwrap().len(), 2);
}

#[test]
fn questions_that_are_cut_are_told_of() {
    let bench = Bench::new();
    bench.write("model/query_tokenizer.json", tokenizer());
    // No special tokens stand around a question here.
    let (fits, long) = (letters(32), letters(33));
    let embed = |query: &str| noted(bench.args(&["embed", "@pictures/0.png", "--query", query]));
    let ((want, silent), (got, notes)) = (embed(&fits), embed(&long));
    assert_eq!((silent, notes), (String::new(), line("--query", &long, 33, "")));
    assert_eq!(got["rows"], want["rows"]);

    let file = bench.write("answers.txt", format!("yes\n{long}\n"));
    let ask = ["ask", "@pictures/0.png", "--question", &long];
    let (found, notes) = noted(bench.args(&[&ask[..], &["--answers-file", &file]].concat()));
    let told = [line("--question", &long, 33, ""), line(&format!("{file}: line 2"), &long, 35, "")];
    assert_eq!(notes, told.concat());
    assert_eq!((&found["question"], found["results"][0]["answers"].as_array().unwrap().len()), (&json!(long), 2));
    let (_, notes) = noted(bench.args(&[&ask[..3], &["what", "--answers", &format!("no,yes,{long}")]].concat()));
    assert_eq!(notes, line("--answers: answer 3", &long, 35, ""));

    // The model's own query.
    let mut config: Value = serde_json::from_slice(&std::fs::read(bench.path("model/config.json")).unwrap()).unwrap();
    config["predictor"]["default_query"] = long.as_str().into();
    bench.write("model/config.json", config.to_string());
    let told = line(&format!("{}: its default query", bench.text("model")), &long, 33, "");
    for args in [
        &["embed", "@pictures/0.png"][..],
        &["index", "build", "@pictures", "--out", "@p.idx"],
        &["classify", "@pictures/0.png", "--labels", "cat,dog"],
    ] {
        assert_eq!(noted(bench.args(args)).1, told, "{args:?}");
    }
}
