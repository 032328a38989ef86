//! `watch` and `caption`: streams and what is told of them.

use serde_json::{Value, json};
use vljepa_model::config::{VlJepaConfig, YDecoderConfig};

use crate::support::{Bench, config, fails, film, misused, noted, tokenizer, vljepa, weights, write_weights, y4m};

/// Lines of JSON of a command that must succeed.
#[track_caller]
fn lines(args: Vec<String>, stdin: &[u8]) -> Vec<Value> {
    let output = vljepa(args).arg("--json").write_stdin(stdin).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// Twelve seconds at ten frames a second: grey, then a bar for three seconds, then grey again.
fn scenes() -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W24 H16 F10:1 Cmono\n".to_vec();
    for i in 0..120 {
        bytes.extend(b"FRAME\n");
        let bar = (40..70).contains(&i);
        bytes.extend((0..384).map(|at| if bar && at % 24 < 12 { 220 } else { 60 }));
    }
    bytes
}

/// A bench whose model has a Y-Decoder with random weights.
fn writing() -> Bench {
    let bench = Bench::new();
    let llama = json!({"vocab_size": 60, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 64});
    let decoder = json!({"config": llama, "max_tokens": 5, "end_id": 3}).to_string();
    let config = VlJepaConfig { y_decoder: Some(YDecoderConfig::from_json(&decoder).unwrap()), ..config() };
    bench.write("model/config.json", config.to_json().unwrap());
    bench.write("model/model.safetensors", write_weights(&config, 1, |_, _, _| ()));
    bench.write("model/query_tokenizer.json", tokenizer());
    bench
}

#[test]
fn a_stream_is_told_window_by_window_and_still_ones_cost_nothing() {
    let bench = Bench::new();
    bench.write("said.txt", "a grey field\na bar\nsomething else\n");
    let args = ["watch", "-", "--captions", "@said.txt", "--window", "1", "--hz", "4", "--embeddings"];
    let mut found = lines(bench.args(&args), &scenes());
    let last = found.pop().unwrap();
    let summary = &last["summary"];
    assert!((44..=46).contains(&found.len()), "{}", found.len());
    assert_eq!((number(summary, "windows") as usize, number(summary, "frames")), (found.len(), 120.0));
    for (one, next) in found.iter().zip(&found[1..]) {
        assert!((number(one, "end_s") - number(one, "start_s") - 1.0).abs() < 1e-6);
        assert!((number(next, "start_s") - number(one, "start_s") - 0.25).abs() < 1e-6);
    }
    // Two changes, each in the windows of a second.
    let encoded = found.iter().filter(|line| line["encoded"] == true).count();
    assert!((3..=14).contains(&encoded), "{encoded}");
    assert_eq!(number(summary, "encoded") as usize, encoded);
    assert!(number(summary, "audited") >= 1.0 && number(summary, "fidelity") > 0.99, "{summary}");
    for line in &found {
        let row: Vec<f64> = line["embedding"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert!(row.len() == 8 && (row.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-4);
        assert_eq!(line["decoded"] == true, line["text"].is_string());
        assert_eq!(line["alerts"], json!([]));
    }
    let told: Vec<&Value> = found.iter().filter(|line| line["decoded"] == true).collect();
    assert!(!told.is_empty() && told.len() <= 6, "{told:?}");
    assert!(
        told.iter().all(|line| ["a grey field", "a bar", "something else"].contains(&line["text"].as_str().unwrap()))
    );
    assert_eq!(number(summary, "decoded") as usize, told.len());
    // Everything encoded gives the same states as far as a gate can tell.
    let all = lines(
        bench.args(&["watch", "-", "--captions", "@said.txt", "--window", "1", "--hz", "4", "--gate", "0"]),
        &scenes(),
    );
    assert!(all[..all.len() - 1].iter().all(|line| line["encoded"] == true && line.get("embedding").is_none()));
    // From a file, in batches, the same as from a pipe; with a page.
    bench.write("scenes.y4m", scenes());
    let file = ["watch", "@scenes.y4m", "--captions", "@said.txt", "--window", "1", "--hz", "4", "--embeddings"];
    let file = lines(bench.args(&[&file[..], &["--html", "@page.html"]].concat()), b"");
    for (a, b) in found.iter().zip(&file) {
        for key in ["start_s", "encoded", "decoded", "text", "embedding"] {
            assert_eq!(a[key], b[key], "{key}");
        }
    }
    let page = std::fs::read_to_string(bench.path("page.html")).unwrap();
    assert_eq!(page.matches("<li><img").count(), told.len());
    assert!(page.contains("polyline") && page.contains("scenes.y4m"));
    let onto = bench.args(&["watch", "@scenes.y4m", "--html", "@scenes.y4m"]);
    fails(&mut vljepa(onto), &["scenes.y4m"]);
}

#[test]
fn alerts_have_a_beginning_and_an_end() {
    let bench = Bench::new();
    bench.write("said.txt", "a\nb\n");
    let base =
        ["watch", "-", "--captions", "@said.txt", "--window", "1", "--hz", "4", "--alert", "a bar", "--alert", "b"];
    let found = lines(bench.args(&[&base[..], &["--alert-above", "-1"]].concat()), &scenes());
    let (last, windows) = found.split_last().unwrap();
    assert!(windows.iter().all(|line| line["alerts"][0]["on"] == true && line["alerts"][1]["text"] == "b"));
    let events = last["events"].as_array().unwrap();
    assert_eq!((events.len(), &events[0]["text"]), (2, &json!("a bar")));
    assert!(number(&events[0], "start_s") < 0.1 && number(&events[0], "end_s") > 11.0, "{events:?}");
    assert!(number(&events[0], "score") <= 1.0 && number(&events[0], "peak_s") > 0.0);
    // With pictures of the strongest moments.
    lines(bench.args(&[&base[..], &["--alert-above", "-1", "--events", "@events"]].concat()), &scenes());
    let list = std::fs::read_to_string(bench.path("events/events.jsonl")).unwrap();
    assert_eq!((list.lines().count(), bench.files("events").len()), (2, 3), "{list}");
    misused(&mut vljepa(bench.args(&["watch", "-", "--events", "@events"])), &["--alert"]);
    let none = lines(bench.args(&[&base[..], &["--alert-above", "1.5"]].concat()), &scenes());
    assert!(none.iter().all(|line| line["events"] == json!([])));
    // As text: one line where it begins, one where it ends.
    let output =
        vljepa(bench.args(&[&base[..], &["--alert-above", "-1"]].concat())).write_stdin(scenes()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((text.matches("alert: ").count(), text.matches("alert over: ").count()), (2, 2), "{text}");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("windows") && notes.contains("encoded") && notes.contains("told"), "{notes}");
}

#[test]
fn streams_that_break_tell_first_what_they_have_shown() {
    let bench = Bench::new();
    bench.write("said.txt", "a\nb\n");
    let args = ["watch", "-", "--captions", "@said.txt", "--window", "1", "--hz", "4"];
    // In the middle of a frame.
    let bytes = y4m(60);
    let output = vljepa(bench.args(&args)).arg("--json").write_stdin(&bytes[..bytes.len() - 100]).output().unwrap();
    let (text, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(text.lines().count() > 15 && error.contains("standard input"), "{error}");
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(last["summary"].is_object());
    fails(vljepa(bench.args(&args)).write_stdin("garbage, and more of it"), &["standard input", "neither Y4M nor"]);
    fails(vljepa(bench.args(&args)).write_stdin(""), &["standard input", "empty"]);
    film(&bench.path("short.y4m"), 3);
    fails(
        &mut vljepa(bench.args(&["watch", "@short.y4m", "--captions", "@said.txt"])),
        &["short.y4m", "shorter than one window"],
    );
    fails(&mut vljepa(bench.args(&["watch", "@none.mp4"])), &["none.mp4"]);
    fails(vljepa(bench.args(&["watch", "-", "--captions", "@none.txt"])).write_stdin(y4m(30)), &["none.txt"]);
    fails(vljepa(bench.args(&["watch", "-", "--hz", "0"])).write_stdin(y4m(30)), &["--hz"]);
    fails(vljepa(bench.args(&["watch", "-", "--query", "what"])).write_stdin(y4m(30)), &["no query tokenizer"]);
    misused(&mut vljepa(bench.args(&["watch", "@short.y4m", "--raw", "4x4:rgb24"])), &["--raw"]);
    misused(&mut vljepa(bench.args(&["watch", "-", "--embeddings"])), &["--json"]);
}

#[test]
fn raw_frames_are_a_stream() {
    let bench = Bench::new();
    let bytes: Vec<u8> =
        (0..40u32).flat_map(|i| (0..8 * 6 * 3).map(move |at| ((i / 10 * 60 + at) % 256) as u8)).collect();
    let args = ["watch", "-", "--raw", "8x6:rgb24", "--fps", "8", "--window", "1", "--hz", "2"];
    let found = lines(bench.args(&args), &bytes);
    // Nine windows, the last of them perhaps once more to be told, and the summary.
    assert!((9..=11).contains(&found.len()), "{}", found.len());
    // Frames that nobody waits for: with room for all of them, the same.
    let live = lines(bench.args(&[&args[..], &["--live"]].concat()), &bytes);
    assert_eq!(live.len(), found.len());
    misused(&mut vljepa(bench.args(&["watch", "@model", "--live"])), &["--live"]);
    // The sentences that come with the program.
    let text = found.iter().find_map(|line| line["text"].as_str()).unwrap();
    assert!(vljepa::stream::sentences().iter().any(|sentence| sentence == text), "{text}");
}

#[test]
fn a_model_with_a_decoder_writes_of_pictures_questions_and_streams() {
    let bench = writing();
    let (captions, notes) = noted(bench.args(&["caption", "@pictures", "--beams", "3"]));
    assert_eq!(notes, "");
    let results = captions["results"].as_array().unwrap();
    assert_eq!(results.len(), 9);
    assert!(results.iter().all(|result| result["text"].is_string() && (0.0..=1.0).contains(&number(result, "score"))));
    let (asked, _) = noted(bench.args(&["ask", "@pictures/1.png", "--question", "what is it"]));
    assert!(asked["results"][0]["answers"][0]["answer"].is_string(), "{asked}");
    let (same, _) = noted(bench.args(&["caption", "@pictures/1.png", "--query", "what is it"]));
    assert_eq!(asked["results"][0]["answers"][0]["answer"], same["results"][0]["text"]);
    let text = String::from_utf8(vljepa(bench.args(&["caption", "@pictures/1.png"])).output().unwrap().stdout).unwrap();
    assert!(text.contains("1.png") && text.lines().count() == 1, "{text}");
    let found = lines(bench.args(&["watch", "-", "--window", "1", "--hz", "4"]), &scenes());
    assert!(found.iter().any(|line| line["text"].is_string()));
    // Without one, what can be done is said.
    let plain = Bench::new();
    plain.write("model/query_tokenizer.json", tokenizer());
    plain.write("model/model.safetensors", weights(0, |_, _, _| ()));
    fails(&mut vljepa(plain.args(&["caption", "@pictures"])), &["has no Y-Decoder", "classify"]);
    fails(&mut vljepa(plain.args(&["ask", "@pictures", "--question", "what"])), &["has no Y-Decoder", "--answers"]);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_stream_with_what_it_has_told() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    let bench = Bench::new();
    bench.write("said.txt", "a\nb\n");
    let args =
        ["watch", "-", "--captions", "@said.txt", "--window", "1", "--hz", "4", "--html", "@page.html", "--json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_vljepa"));
    command.args(bench.args(&args)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, mut out) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    stdin.write_all(&scenes()).unwrap();
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    assert!(first.contains("start_s"), "{first}");
    let line = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    std::thread::sleep(std::time::Duration::from_millis(200));
    // The stream goes on, and its next frame is the end.
    let frame = [&b"FRAME\n"[..], &[60; 384]].concat();
    for _ in 0..200 {
        if stdin.write_all(&frame).is_err() {
            break;
        }
    }
    drop(stdin);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.lines().last().unwrap().contains("\"summary\""), "{rest}");
    assert!(std::fs::read_to_string(bench.path("page.html")).unwrap().ends_with("</html>\n"));
}
