//! Streams: what is seen in them, who follows, who waits, what is found again.

use std::io::Write;

use serde_json::{Value, json};
use vljepa::serve::ServeOptions;
use vljepa::{AllowedFolders, Builtin};
use vljepa_data::{Rgb8Image, encode_webp_animation};

use crate::client::{Running, Told, bench, data_url, events, request, scenes, soon};

const FAST: [(&str, &[u8]); 2] = [("window", b"1"), ("hz", b"4")];

fn follow(server: &Running, id: &str, last: Option<&str>) -> Vec<Told> {
    let headers: Vec<(&str, &str)> = last.map(|last| ("last-event-id", last)).into_iter().collect();
    events(&request(server.address, "GET", &format!("/api/streams/{id}/events"), &headers, b""))
}

fn named<'a>(told: &'a [Told], name: &str) -> Vec<&'a Value> {
    told.iter().filter(|told| told.name == name).map(|told| &told.data).collect()
}

#[test]
fn a_stream_is_seen_followed_asked_and_found_again() {
    let server = Running::new(&bench(), ServeOptions::default());
    let film = scenes(12);
    let stream = server.watch(&[("@scenes.y4m", &film), FAST[0], FAST[1], ("alerts", b"a bar"), ("above", b"-1")]);
    let id = stream["stream"].as_str().unwrap();
    assert_eq!(
        (&stream["phase"], &stream["name"], &stream["window_s"]),
        (&json!("finished"), &json!("scenes.y4m"), &json!(1.0)),
        "{stream}"
    );
    assert_eq!(stream["counts"]["frames"], 120);
    let told = follow(&server, id, None);
    assert!(told.iter().enumerate().all(|(i, told)| told.id == Some(i as u64 + 1)));
    assert_eq!(
        (told[0].name.as_str(), &told[0].data["stream"], &told[1].data["text"]),
        ("started", &json!(id), &json!("a bar"))
    );
    let windows = named(&told, "window");
    assert!((44..=46).contains(&windows.len()), "{}", windows.len());
    assert_eq!(stream["counts"]["windows"], windows.len());
    let encoded = windows.iter().filter(|window| window["encoded"] == true).count();
    assert!((3..=14).contains(&encoded) && stream["counts"]["encoded"] == encoded, "{encoded}");
    for (one, next) in windows.iter().zip(&windows[1..]) {
        let start = |window: &Value| window["start_s"].as_f64().unwrap();
        assert!((start(next) - start(one) - 0.25).abs() < 1e-6);
    }
    assert!(windows[0]["picture"].as_str().unwrap().starts_with("data:image/jpeg;base64,/9j/"));
    assert!(windows.iter().all(|window| window["alerts"][0]["on"] == true));
    let sentences = named(&told, "sentence");
    assert!(!sentences.is_empty() && sentences.len() <= 6 && sentences[0]["picture"].is_string());
    assert_eq!(stream["text"], sentences.last().unwrap()["text"]);
    // The alert was on from the first window to the last, and is over with the stream.
    let alerts = named(&told, "alert");
    assert!(alerts.len() == 1 && alerts[0]["start_s"] == windows[0]["start_s"] && alerts[0]["picture"].is_string());
    let segments = named(&told, "segments")[0]["segments"].as_array().unwrap();
    assert!(!segments.is_empty() && segments[0]["start_s"] == windows[0]["start_s"]);
    assert!(
        segments.windows(2).all(|pair| pair[0]["end_s"] == pair[1]["start_s"] && pair[0]["text"] != pair[1]["text"])
    );
    assert_eq!(
        (told.last().unwrap().name.as_str(), &told.last().unwrap().data["reason"]),
        ("ended", &json!("finished"))
    );
    // Whoever comes back goes on where it was.
    for at in [1, 7, told.len() - 1] {
        assert_eq!(follow(&server, id, Some(&at.to_string())), told[at..]);
    }
    let path = format!("/api/streams/{id}/events");
    let over = request(server.address, "GET", &path, &[("last-event-id", &told.len().to_string())], b"");
    assert_eq!((over.status, over.body.len()), (204, 0));
    assert_eq!(request(server.address, "GET", &path, &[("last-event-id", "x")], b"").fault().0, 400);

    // A text that is waited for afterwards is scored against all that was seen.
    let alert = server.post(&format!("/api/streams/{id}/alerts"), &json!({ "text": "a thing", "above": -1 }));
    assert_eq!(alert.status, 201, "{}", alert.text());
    let alert = alert.json();
    assert_eq!(alert["scores"].as_array().unwrap().len(), windows.len());
    assert!(alert["scores"].as_array().unwrap().iter().all(|point| point["on"] == true));
    assert_eq!(named(&follow(&server, id, Some(&told.len().to_string())), "alert")[0]["text"], "a thing");
    // And a question is asked of the windows whose frames are kept: those that were encoded.
    let asked = server
        .post(&format!("/api/streams/{id}/questions"), &json!({ "question": "which", "answers": ["a", "b"] }))
        .json();
    assert_eq!(asked["scores"].as_array().unwrap().len(), encoded, "{asked}");
    assert!(["a", "b"].contains(&asked["answers"][0]["text"].as_str().unwrap()));
    let open = server.post(&format!("/api/streams/{id}/questions"), &json!({ "question": "what" })).json();
    assert!(open["answers"][0]["text"].is_string() && open["scores"][0]["score"].as_f64().unwrap() <= 1.0001);

    // A search by the state of a window finds that window; by words it finds something.
    let other = server.watch(&[("@other.y4m", &film), FAST[0], FAST[1], ("name", b"the other")]);
    let found = server.post("/api/search", &json!({ "text": ["a bar", "grey"], "top": 5 })).json();
    let searches = found["searches"].as_array().unwrap();
    assert_eq!((searches.len(), &searches[1]["text"]), (2, &json!("grey")));
    let results = searches[0]["results"].as_array().unwrap();
    assert!(
        results.len() == 5 && results.windows(2).all(|pair| pair[0]["score"].as_f64() >= pair[1]["score"].as_f64())
    );
    assert!(results.iter().any(|result| result["name"] == "the other") && results[0]["picture"].is_string());
    for (i, a) in results.iter().enumerate() {
        let overlap = |b: &&Value| {
            a["stream"] == b["stream"]
                && a["start_s"].as_f64() < b["end_s"].as_f64()
                && b["start_s"].as_f64() < a["end_s"].as_f64()
        };
        assert!(!results[i + 1..].iter().any(|b| overlap(&b)), "{results:?}");
    }
    let one = server
        .post("/api/search", &json!({ "input": data_url("video/x-yuv4mpeg", &film), "streams": [id], "top": 100 }))
        .json();
    assert!(one["searches"][0]["results"].as_array().unwrap().iter().all(|result| result["stream"] == id));

    // The newest comes first; what is removed is gone.
    assert_eq!(server.get("/api/streams").json()["streams"][0]["stream"], other["stream"]);
    let gone = request(server.address, "DELETE", &format!("/api/streams/{id}"), &[], b"");
    assert_eq!((gone.status, &gone.json()["deleted"]), (200, &json!(true)));
    assert_eq!(server.get(&format!("/api/streams/{id}")).fault().0, 404);
    let metrics = server.get("/metrics").text();
    let value =
        |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<usize>().ok()).unwrap();
    assert_eq!(value("vljepa_windows_total "), 2 * windows.len());
    assert_eq!(value("vljepa_windows_encoded_total "), 2 * encoded);
    assert_eq!(value("vljepa_windows_skipped_total "), 2 * (windows.len() - encoded));
    assert_eq!(value("vljepa_states_decoded_total "), 2 * sentences.len());
}

#[test]
fn two_streams_of_one_film_say_the_same_and_short_ones_are_one_window() {
    let server = Running::new(&bench(), ServeOptions { streams: 3, ..ServeOptions::default() });
    let film = scenes(8);
    let ids: Vec<String> = (0..3)
        .map(|_| {
            let begun = server.form("/api/streams", &[("@a.y4m", &film), FAST[0], FAST[1]]);
            begun.json()["stream"].as_str().unwrap().to_owned()
        })
        .collect();
    let of = |id: &String| {
        server.wait(id);
        let plain = |told: &Told| {
            (told.name.clone(), told.data["start_s"].clone(), told.data["encoded"].clone(), told.data["text"].clone())
        };
        follow(&server, id, None).iter().map(plain).collect::<Vec<_>>()
    };
    let first = of(&ids[0]);
    assert!(first.len() > 20 && ids[1..].iter().all(|id| of(id) == first));
    // One second and eight frames a second: no window of two seconds fits.
    let frames: Vec<Rgb8Image> = (0..8u8).map(|i| Rgb8Image::new(32, 32, vec![i * 30; 3072]).unwrap()).collect();
    let short = encode_webp_animation(&frames, 125).unwrap();
    let stream = server.watch(&[("@short.webp", &short)]);
    assert_eq!((&stream["phase"], &stream["counts"]["windows"]), (&json!("finished"), &json!(1)), "{stream}");
    assert!(stream["window_s"].as_f64().unwrap() < 2.0 && stream["text"].is_string(), "{stream}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_followed_while_it_is_written_and_may_stall() {
    let bench = bench();
    let pipe = bench.path("camera");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let folders = AllowedFolders::new(&[bench.path(".")]).unwrap();
    let server = Running::new(&bench, ServeOptions { folders, streams: 1, ..ServeOptions::default() });
    let begin = || server.post("/api/streams", &json!({ "source": "camera", "window": 1, "hz": 4 }));
    let begun = begin().json();
    let id = begun["stream"].as_str().unwrap();
    assert_eq!((&begun["live"], &begun["phase"]), (&json!(true), &json!("running")));
    // Only one runs at a time.
    let busy = begin();
    assert_eq!((busy.fault().0, busy.header("retry-after")), (429, Some("1")));
    let film = scenes(8);
    let mut writer = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    writer.write_all(&film[..film.len() / 2]).unwrap();
    let windows = || server.get(&format!("/api/streams/{id}")).json()["counts"]["windows"].as_u64().unwrap();
    soon(|| (windows() >= 8).then_some(()));
    // It stalls; what is waited for now is scored, asked and told in the next windows.
    assert_eq!(server.post(&format!("/api/streams/{id}/alerts"), &json!({ "text": "a bar" })).status, 201);
    let twice = server.post(&format!("/api/streams/{id}/alerts"), &json!({ "text": "a bar" }));
    assert_eq!(twice.fault().0, 400);
    assert_eq!(server.post(&format!("/api/streams/{id}/questions"), &json!({ "question": "what" })).status, 201);
    let before = windows();
    writer.write_all(&film[film.len() / 2..]).unwrap();
    soon(|| (windows() > before + 8).then_some(()));
    let stopped = server.post(&format!("/api/streams/{id}/stop"), &json!({}));
    assert_eq!(stopped.status, 200);
    let stream = server.wait(id);
    assert_eq!((&stream["phase"], &stream["alerts"]), (&json!("stopped"), &json!(["a bar"])), "{stream}");
    let told = follow(&server, id, None);
    let last = named(&told, "window").last().copied().unwrap().clone();
    assert_eq!((&last["alerts"][0]["text"], &last["questions"][0]["question"]), (&json!("a bar"), &json!("what")));
    assert!(!named(&told, "answer").is_empty());
    drop(writer);
    // A pipe that nobody writes into can be stopped too.
    let begun = soon(|| Some(begin()).filter(|begun| begun.status == 201)).json();
    let id = begun["stream"].as_str().unwrap();
    server.post(&format!("/api/streams/{id}/stop"), &json!({}));
    assert_eq!(server.wait(id)["phase"], "stopped");
}

#[test]
fn the_built_in_model_sees_what_the_command_sees() {
    if !Builtin::Sprites.is_carried() {
        return;
    }
    let model =
        vljepa::embed::Model::load(&vljepa::open_device("auto").unwrap(), &Builtin::Sprites.open().unwrap()).unwrap();
    let server = Running::with(model, ServeOptions { model_id: "sprites".into(), ..ServeOptions::default() });
    // A red square that goes to the right.
    let frame = |i: usize| {
        let pixel = |p: usize| {
            if (20..44).contains(&(p / 64)) && (6 * i..6 * i + 16).contains(&(p % 64)) {
                [200, 30, 30]
            } else {
                [250, 250, 250]
            }
        };
        Rgb8Image::new(64, 64, (0..64 * 64).flat_map(pixel).collect()).unwrap()
    };
    let clip = encode_webp_animation(&(0..8).map(frame).collect::<Vec<_>>(), 125).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.webp");
    std::fs::write(&path, &clip).unwrap();
    let labels = "it moves right,it moves left,it spins";
    let want = crate::support::json(["classify", path.to_str().unwrap(), "--model", "sprites", "--labels", labels]);
    let found = server.form("/api/classify", &[("@clip.webp", &clip), ("labels", labels.as_bytes())]).json();
    for (own, want) in
        found["results"][0]["labels"].as_array().unwrap().iter().zip(want["results"][0]["labels"].as_array().unwrap())
    {
        assert_eq!(own["label"], want["label"]);
        assert!((own["cosine"].as_f64().unwrap() - want["cosine"].as_f64().unwrap()).abs() < 1e-3);
    }
    let stream = server.watch(&[("@clip.webp", &clip)]);
    assert_eq!(stream["phase"], "finished");
    assert!(stream["text"].as_str().is_some_and(|text| text.len() > 5), "{stream}");
}
