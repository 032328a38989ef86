//! Each tool on small films, with the built-in model.

use serde_json::{Value, json};
use vljepa_model::config::Vjepa2Config;
use vljepa_model::weights::Writer;

use crate::client::{call, connected, fails, film, films, list, number, settings, to_the_right};
use crate::fixtures;
use crate::support::{Bench, json, tokenizer};
use crate::synthetic::synthetic;

/// A folder of a tiny V-JEPA 2 with its predictor, 16 pixels and 8 frames.
fn foreteller(bench: &Bench) -> std::path::PathBuf {
    let config = fixtures::text("../../../model/tests/fixtures/vision/predictor.json");
    let parsed = Vjepa2Config::from_json(&config).unwrap();
    let mut writer = Writer::new();
    for spec in parsed.tensors().into_iter().chain(parsed.predictor_tensors()) {
        writer.f32(&spec.name, &spec.shape, &synthetic(&spec.name, &spec.shape, None)).unwrap();
    }
    std::fs::create_dir(bench.path("base")).unwrap();
    bench.write("base/config.json", config);
    bench.write("base/model.safetensors", writer.finish().unwrap());
    bench.path("base")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_are_listed_with_schemas_and_where_they_may_read() {
    let bench = films();
    let (client, _server) = connected(settings(&bench)).await;
    let info = client.peer_info().unwrap();
    let text = format!("{info:?}");
    assert!(text.contains(bench.path("films").canonicalize().unwrap().to_str().unwrap()), "{text}");
    let tools = client.list_all_tools().await.unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(names, ["describe", "ask", "search_moments", "watch", "surprise", "compare"]);
    assert!(tools.iter().all(|tool| tool.output_schema.is_some() && tool.title.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describe_tells_the_whole_and_the_parts() {
    let bench = films();
    let (client, _server) = connected(settings(&bench)).await;
    let (found, text) = call(&client, "describe", json!({ "input": "right.y4m" })).await;
    assert!(number(&found, "windows") >= 9.0 && found["is_video"] == true, "{found}");
    let sentence = found["sentences"][0]["text"].as_str().unwrap();
    assert!(!sentence.is_empty() && text.starts_with(sentence), "{text}");
    // As the command says it.
    let film = bench.text("films/right.y4m");
    let said = json(["caption", &film, "--device", "cpu"]);
    assert_eq!(said["results"][0]["text"], found["sentences"][0]["text"]);
    let segments = list(&found, "segments");
    assert!(segments.len() > 1, "what stands and what moves differ: {found}");
    assert_eq!((number(&segments[0], "start_s"), number(segments.last().unwrap(), "end_s")), (0.0, 10.0));
    for pair in segments.windows(2) {
        assert_eq!(pair[0]["end_s"], pair[1]["start_s"]);
    }
    // Captions are chosen among, the nearest first.
    let captions = ["something moves right", "something moves left", "something is shown and nothing moves"];
    let arguments = json!({ "input": "right.y4m", "captions": captions, "top": 2, "start_s": 4.0, "end_s": 5.5 });
    let (moving, _) = call(&client, "describe", arguments).await;
    let told = list(&moving, "sentences");
    assert_eq!((told.len(), told[0]["text"].as_str()), (2, Some(captions[0])), "{moving}");
    assert!(number(&told[0], "score") >= number(&told[1], "score"));
    let one = call(&client, "describe", json!({ "input": "right.y4m", "max_segments": 1 })).await.0;
    assert_eq!(list(&one, "segments").len(), 1);
    // A picture has no parts.
    let (picture, _) = call(&client, "describe", json!({ "input": "picture.png" })).await;
    assert!(picture["is_video"] == false && list(&picture, "segments").is_empty() && picture.get("stride_s").is_none());
    fails(&client, "describe", json!({ "input": "picture.png", "start_s": 1 }), &["picture.png", "has no parts"]).await;
    fails(&client, "describe", json!({ "input": "right.y4m", "start_s": 60 }), &["right.y4m", "ends at 10"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ask_chooses_or_writes_an_answer() {
    let bench = films();
    let (client, _server) = connected(settings(&bench)).await;
    let question = "Which way does it go?";
    let answers = ["left", "right", "up", "down"];
    let arguments = json!({ "input": "right.y4m", "question": question, "answers": answers, "window_s": 2.0 });
    let (found, text) = call(&client, "ask", arguments).await;
    let ranked = list(&found, "answers");
    let sum: f64 = ranked.iter().map(|one| number(one, "score")).sum();
    assert!(ranked.len() == 4 && (sum - 1.0).abs() < 1e-3 && text.contains('%'), "{found}");
    let said = json([
        "ask",
        &bench.text("films/right.y4m"),
        "--question",
        question,
        "--answers",
        "left,right,up,down",
        "--device",
        "cpu",
    ]);
    assert_eq!(said["results"][0]["answers"][0]["answer"], ranked[0]["answer"]);
    assert!((number(&said["results"][0]["answers"][0], "cosine") - number(&ranked[0], "cosine")).abs() < 1e-3);
    let windows = list(&found, "windows");
    assert!(windows.len() >= 9 && windows.iter().all(|window| list(window, "answers").len() == 3), "{found}");
    // While it goes, it is seen to.
    let moving = windows.iter().find(|window| number(window, "start_s") == 4.0).unwrap();
    assert_eq!(moving["answers"][0]["answer"], "right", "{moving}");
    let (written, _) = call(&client, "ask", json!({ "input": "right.y4m", "question": question })).await;
    assert!(list(&written, "answers").len() == 1 && written["answers"][0].get("cosine").is_none(), "{written}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moments_are_found_and_rows_are_kept() {
    let bench = films();
    let (client, server) = connected(settings(&bench)).await;
    let search = |input: &str, text: &str| json!({ "input": input, "text": text, "top": 3 });
    let (found, text) = call(&client, "search_moments", search("right.y4m", "something moves right")).await;
    assert_eq!((number(&found, "files"), number(&found, "embedded")), (1.0, 1.0));
    let best = &list(&found, "moments")[0];
    let [start, end] = ["start_s", "end_s"].map(|key| number(best, key));
    assert!(start < 5.5 && end > 4.0 && end - start <= 6.0, "it moves from 4 s to 5.5 s: {found}");
    assert!(text.contains("right.y4m") && text.starts_with("3 moments of "), "{text}");
    let again = call(&client, "search_moments", search("right.y4m", "something moves right")).await.0;
    assert_eq!((number(&again, "embedded"), &again["moments"]), (0.0, &found["moments"]));
    // A folder with all that is in it; another client shares what was seen.
    let other = crate::client::beside(&server).await;
    let (all, _) =
        call(&other, "search_moments", search(bench.path("films").to_str().unwrap(), "something moves down")).await;
    assert_eq!((number(&all, "files"), number(&all, "embedded")), (4.0, 3.0), "{all}");
    assert!(list(&all, "moments")[0]["input"].as_str().unwrap().ends_with("down.y4m"), "{all}");
    // A file that has changed is seen anew, one that is broken is left out.
    film(&bench.path("films/right.y4m"), 9.0, 10, to_the_right);
    bench.write("films/broken.mp4", "no film");
    let (anew, _) = call(&client, "search_moments", search(".", "something moves right")).await;
    assert_eq!((number(&anew, "files"), number(&anew, "embedded")), (4.0, 1.0), "{anew}");
    assert!(list(&anew, "skipped").len() == 1 && anew["skipped"][0].as_str().unwrap().contains("broken.mp4"), "{anew}");
    fails(&client, "search_moments", search("broken.mp4", "x"), &["broken.mp4"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_watched_in_parts_as_in_one() {
    let bench = films();
    // It stands, goes right, stands, goes left, stands.
    let there_and_back = |time: f64| if time < 8.0 { to_the_right(time) } else { to_the_right(16.0 - time - 2.5) };
    film(&bench.path("films/back.y4m"), 20.0, 10, there_and_back);
    let (client, _server) = connected(settings(&bench)).await;
    let captions = ["something moves right", "something moves left", "nothing moves"];
    let alerts = ["something moves left"];
    let watch = |more: Value| {
        let mut call =
            json!({ "input": "back.y4m", "captions": captions, "alerts": alerts, "alert_above": 0.35, "hz": 4.0 });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    let (whole, text) = call(&client, "watch", watch(json!({}))).await;
    assert!(whole.get("resume_s").is_none() && text.starts_with("watched 00:00.0 to 00:2"), "{text}");
    let (windows, encoded) = (number(&whole, "windows"), number(&whole, "encoded"));
    assert!((70.0..=75.0).contains(&windows) && encoded < windows, "{whole}");
    assert!(number(&whole, "fidelity") > 0.9, "{whole}");
    let told = list(&whole, "segments");
    assert!(!told.is_empty() && told.windows(2).all(|pair| pair[0]["end_s"] == pair[1]["start_s"]), "{whole}");
    let score = &list(&whole, "alerts")[0];
    assert!((7.0..=11.0).contains(&number(score, "at_s")), "it goes left from 8 s on: {whole}");
    // In three calls: the same windows, sentences and events.
    let (mut resume, mut seen, mut segments, mut events) = (json!({}), 0.0, Vec::new(), Vec::new());
    for part in 0..3 {
        let mut more = json!({ "max_s": 7.0 });
        more.as_object_mut().unwrap().extend(resume.as_object().unwrap().clone());
        let (found, text) = call(&client, "watch", watch(more)).await;
        assert_eq!(found["continued"], part > 0, "{found}");
        seen += number(&found, "windows");
        for segment in list(&found, "segments") {
            segments.retain(|one: &Value| one["start_s"] != segment["start_s"]);
            segments.push(segment.clone());
        }
        events.retain(|event: &Value| event["goes_on"] == false);
        events.extend(list(&found, "events").iter().cloned());
        match found.get("resume_s") {
            Some(time) => {
                assert!(part < 2 && text.contains("there is more: pass resume_s"), "{found}");
                resume = json!({ "resume_s": time });
            }
            None => assert_eq!(part, 2, "{found}"),
        }
    }
    assert_eq!((seen, &segments, &events), (windows, &told.to_vec(), &list(&whole, "events").to_vec()));
    // A time that no call left off at begins a window earlier, with nothing known.
    let (fresh, _) = call(&client, "watch", watch(json!({ "resume_s": 12.0 }))).await;
    assert_eq!((&fresh["continued"], number(&fresh, "start_s")), (&json!(false), 12.0));
    fails(&client, "watch", watch(json!({ "resume_s": 99.0 })), &["back.y4m", "ends before 99 s"]).await;
    fails(&client, "watch", json!({ "input": "picture.png" }), &["picture.png", "is a picture"]).await;
    fails(&client, "watch", json!({ "input": "still.y4m", "window_s": 60 }), &["still.y4m", "shorter than one window"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_before_a_fault_is_told() {
    let bench = films();
    let mut bytes = std::fs::read(bench.path("films/right.y4m")).unwrap();
    let frame = 64 * 64 + 6;
    bytes.splice(bytes.len() - 20 * frame..bytes.len() - 20 * frame + 5, *b"WRONG");
    bench.write("films/broken.y4m", bytes);
    let (client, _server) = connected(settings(&bench)).await;
    let (found, text) = call(&client, "watch", json!({ "input": "broken.y4m" })).await;
    let fault = found["fault"].as_str().unwrap();
    assert!(fault.contains("broken.y4m") && text.contains("could not be read further"), "{found}");
    assert!((7.0..=8.5).contains(&number(&found, "end_s")) && !list(&found, "segments").is_empty(), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn surprise_needs_its_model_and_goes_on_where_it_left_off() {
    let bench = films();
    let (client, _server) = connected(settings(&bench)).await;
    fails(&client, "surprise", json!({ "input": "right.y4m" }), &["V-JEPA 2", "masked predictor"]).await;
    let mut with = settings(&bench);
    with.surprise_model = Some(foreteller(&bench));
    let (client, _server) = connected(with).await;
    let surprise = |more: Value| {
        let mut call = json!({ "input": "right.y4m", "frames": 8, "rate": 8.0, "top": 3 });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    let (whole, text) = call(&client, "surprise", surprise(json!({}))).await;
    // As the command finds them.
    let film = bench.text("films/right.y4m");
    let base = bench.text("base");
    let said =
        json(["surprise", &film, "--model", &base, "--frames", "8", "--rate", "8", "--top", "3", "--device", "cpu"]);
    let times = |found: &Value| {
        list(found, "windows").iter().map(|one| (number(one, "start_s") * 1e3).round()).collect::<Vec<_>>()
    };
    assert_eq!(times(&whole), times(&said));
    for (one, other) in list(&whole, "windows").iter().zip(list(&said, "windows")) {
        assert!((number(one, "score") - number(other, "score")).abs() < 1e-3);
    }
    assert!(
        list(&whole, "peaks").len() == 3 && whole.get("resume_s").is_none() && text.contains("deviations"),
        "{whole}"
    );
    let (mut parts, mut resume) = (Vec::new(), Some(0.0));
    while let Some(time) = resume {
        let (part, _) = call(&client, "surprise", surprise(json!({ "resume_s": time, "max_s": 4.0 }))).await;
        resume = part.get("resume_s").map(|time| time.as_f64().unwrap());
        parts.extend(times(&part));
        assert!(parts.len() < 100, "{part}");
    }
    assert_eq!(parts, times(&whole));
    fails(&client, "surprise", surprise(json!({ "frames": 6 })), &["frames", "multiple of 4"]).await;
    fails(&client, "surprise", surprise(json!({ "frames": 256 })), &["right.y4m", "shorter than one window"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_inputs_are_compared() {
    let bench = films();
    let (client, _server) = connected(settings(&bench)).await;
    let (same, _) = call(&client, "compare", json!({ "a": "right.y4m", "b": "right.y4m" })).await;
    assert!(number(&same, "cosine") > 0.999, "{same}");
    for window in list(&same, "windows") {
        assert!(number(window, "cosine") > 0.999 && number(window, "best") > 0.999, "{window}");
    }
    let (other, text) = call(&client, "compare", json!({ "a": "right.y4m", "b": "more/down.y4m" })).await;
    assert!(number(&other, "cosine") < number(&same, "cosine") && text.starts_with("cosine "), "{other}");
    let windows = list(&other, "windows");
    assert!(windows[0].get("cosine").is_some() && windows.last().unwrap().get("cosine").is_none(), "{other}");
    let (still, _) = call(&client, "compare", json!({ "a": "picture.png", "b": "right.y4m" })).await;
    assert!(list(&still, "windows").is_empty());
    let (asked, _) =
        call(&client, "compare", json!({ "a": "right.y4m", "b": "still.y4m", "query": "Which way does it go?" })).await;
    assert!(number(&asked, "cosine") < 0.999, "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_of_the_users_own_says_what_it_cannot() {
    let bench = films();
    let mut own = settings(&bench);
    own.model = Some(bench.path("model"));
    let (client, _server) = connected(own.clone()).await;
    fails(&client, "ask", json!({ "input": "right.y4m", "question": "what" }), &["no query tokenizer"]).await;
    // It has no Y-Decoder: built-in sentences tell.
    let (found, _) = call(&client, "describe", json!({ "input": "right.y4m" })).await;
    assert_eq!(list(&found, "sentences").len(), 3);
    let (same, _) = call(&client, "compare", json!({ "a": "right.y4m", "b": "still.y4m" })).await;
    let rows = json([
        "embed",
        &bench.text("films/right.y4m"),
        &bench.text("films/still.y4m"),
        "--model",
        &bench.text("model"),
        "--device",
        "cpu",
    ]);
    let row = |i: usize| list(&rows["rows"][i], "embedding").iter().map(|v| v.as_f64().unwrap()).collect::<Vec<f64>>();
    let cosine: f64 = row(0).iter().zip(row(1)).map(|(a, b)| a * b).sum();
    assert!((number(&same, "cosine") - cosine).abs() < 1e-3, "{same}");
    // With a tokenizer of queries it is asked, and chooses.
    bench.write("model/query_tokenizer.json", tokenizer());
    let (client, _server) = connected(own).await;
    fails(&client, "ask", json!({ "input": "right.y4m", "question": "what" }), &["no Y-Decoder", "give answers"]).await;
    let (asked, _) =
        call(&client, "ask", json!({ "input": "right.y4m", "question": "what", "answers": ["a", "b"] })).await;
    assert_eq!(list(&asked, "answers").len(), 2);
    // Texts that are longer than the model takes are cut, and that is said.
    let long = "z ".repeat(100);
    let (cut, text) =
        call(&client, "ask", json!({ "input": "right.y4m", "question": long, "answers": ["a", "b"] })).await;
    assert!(
        list(&cut, "notes")[0].as_str().unwrap().starts_with("question: ") && text.contains("note: question"),
        "{cut}"
    );
    let broken = bench.path("secret.png");
    let mut wrong = settings(&bench);
    wrong.model = Some(broken);
    let (client, _server) = connected(wrong).await;
    fails(&client, "describe", json!({ "input": "right.y4m" }), &["secret.png"]).await;
}
