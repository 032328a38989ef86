//! Every address once, and requests of every wrong kind.

use serde_json::{Value, json};
use vljepa::serve::ServeOptions;

use crate::client::{Running, bench, data_url, form, request, scenes};
use crate::support::{Bench, json as command, picture};

fn close(a: &Value, b: &Value) {
    let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
    assert!((a - b).abs() < 1e-4, "{a} {b}");
}

fn unit(row: &Value) -> Vec<f64> {
    let row: Vec<f64> = row.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert!((row.iter().map(|value| value * value).sum::<f64>() - 1.0).abs() < 1e-4 && row.len() == 8);
    row
}

#[test]
fn every_address_answers() {
    let bench = bench();
    let server = Running::new(&bench, ServeOptions::default());
    let page = server.get("/");
    assert!(page.status == 200 && page.header("content-type") == Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && page.text().contains("<title>vljepa</title>"), "{policy}");
    let health = server.get("/health").json();
    assert_eq!((&health["status"], &health["asks"], &health["writes"]), (&json!("ok"), &json!(true), &json!(true)));
    assert_eq!(server.get("/openapi.json").json()["openapi"], "3.1.0");
    assert_eq!(server.get("/v1/models").json()["data"][0]["id"], "vljepa");
    assert_eq!(server.get("/api/streams").json(), json!({ "streams": [] }));

    // What is answered is what the command answers of the same file, sent in both ways.
    let file = bench.path("pictures/3.png");
    let url = data_url("image/png", &picture(3));
    let args = |verb: &str, more: &[&str]| bench.args(&[&[verb, "@pictures/3.png"], more].concat());
    let want = command(args("classify", &["--labels", "a b,c d,e", "--template", "z {}"]));
    for reply in [
        server.post("/api/classify", &json!({ "input": url, "labels": ["a b", "c d", "e"], "template": "z {}" })),
        server.form(
            "/api/classify",
            &[("@3.png", &picture(3)), ("labels", b"a b, c d,e"), ("template", b"z {}"), ("top", b"3")],
        ),
    ] {
        let found = reply.json();
        assert_eq!(found["results"][0]["labels"].as_array().unwrap().len(), 3, "{found}");
        for (own, want) in found["results"][0]["labels"]
            .as_array()
            .unwrap()
            .iter()
            .zip(want["results"][0]["labels"].as_array().unwrap())
        {
            assert_eq!(own["label"], want["label"]);
            close(&own["score"], &want["score"]);
            close(&own["cosine"], &want["cosine"]);
        }
    }
    let want = command(args("ask", &["--question", "who", "--answers", "a,b"]));
    let found = server.post("/api/ask", &json!({ "input": url, "question": "who", "answers": ["a", "b"] })).json();
    for (own, want) in [0, 1].map(|i| (&found["results"][0]["answers"][i], &want["results"][0]["answers"][i])) {
        assert_eq!(own["answer"], want["answer"]);
        close(&own["cosine"], &want["cosine"]);
    }
    let want = command(args("ask", &["--question", "who"]));
    let found = server.post("/api/ask", &json!({ "input": url, "question": "who" })).json();
    assert_eq!(found["results"][0]["answers"][0]["answer"], want["results"][0]["answers"][0]["answer"]);
    let want = command(args("caption", &["--beams", "2"]));
    let found = server.form("/api/caption", &[("@3.png", &picture(3)), ("beams", b"2")]).json();
    assert_eq!(
        (&found["results"][0]["text"], &found["results"][0]["input"]),
        (&want["results"][0]["text"], &json!("3.png"))
    );
    // Two at once, a picture and a video, in the order of the request.
    std::fs::write(bench.path("film.y4m"), scenes(1)).unwrap();
    let want = command(bench.args(&["embed", "@film.y4m", "@pictures/3.png", "--query", "who"]));
    let film = data_url("video/x-yuv4mpeg", &scenes(1));
    let found = server.post("/api/embed", &json!({ "input": [film, url], "query": "who" })).json();
    assert_eq!(found["dim"], 8);
    for i in [0, 1] {
        let want = unit(&want["rows"][i]["embedding"]);
        assert!(unit(&found["rows"][i]["embedding"]).iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-4), "{i}");
    }
    let found = server.form("/api/embed", &[("@a.y4m", &scenes(3)), ("start", b"1"), ("end", b"2"), ("frames", b"4")]);
    assert_eq!(found.status, 200, "{}", found.text());
    let want = command(bench.args(&["embed-text", "a b", "c"]));
    let found = server.post("/api/embed-text", &json!({ "texts": ["a b", "c"] })).json();
    assert!(
        unit(&found["rows"][1]["embedding"])
            .iter()
            .zip(unit(&want["rows"][1]["embedding"]))
            .all(|(a, b)| (a - b).abs() < 1e-4)
    );
    assert_eq!(found["rows"][0]["text"], "a b");
    // A text that says nothing to the model.
    let odd = server.post("/api/embed-text", &json!({ "texts": "日本" })).json();
    assert!(odd["notes"][0]["note"].as_str().unwrap().contains("knows no word"), "{odd}");
    let metrics = server.get("/metrics").text();
    for line in [
        "vljepa_http_requests_total{route=\"/api/classify\",method=\"POST\",status=\"200\"} 2",
        "vljepa_http_request_duration_seconds_count{route=\"/api/ask\"} 2",
        "vljepa_queue_depth 0",
        "vljepa_requests_in_place 0",
    ] {
        assert!(metrics.lines().any(|own| own == line), "no {line} in\n{metrics}");
    }
    assert!(file.exists());
}

#[test]
fn embeddings_are_as_clients_of_openai_ask_for_them() {
    let server = Running::new(&bench(), ServeOptions { model_id: "tiny".into(), ..ServeOptions::default() });
    let rows = |body: Value| {
        let reply = server.post("/v1/embeddings", &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let found = reply.json();
        assert_eq!((&found["object"], &found["model"]), (&json!("list"), &json!("tiny")));
        assert!(
            found["usage"]["prompt_tokens"].as_u64().unwrap() > 0
                && found["usage"]["prompt_tokens"] == found["usage"]["total_tokens"]
        );
        found["data"].as_array().unwrap().clone()
    };
    let one = rows(json!({ "input": "a b", "model": "tiny", "user": "me" }));
    let all = rows(json!({ "input": ["c", "a b"], "encoding_format": "float", "dimensions": 8 }));
    assert_eq!((one.len(), all.len(), &all[1]["index"], &all[0]["object"]), (1, 2, &json!(1), &json!("embedding")));
    assert_eq!(unit(&one[0]["embedding"]).len(), 8);
    let differ = unit(&one[0]["embedding"])
        .iter()
        .zip(unit(&all[1]["embedding"]))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    assert!(differ < 1e-5, "{differ}");
    let (image, video) = (data_url("image/png", &picture(1)), data_url("video/x-yuv4mpeg", &scenes(1)));
    let parts = json!([
        { "type": "video_url", "video_url": { "url": video } },
        { "type": "text", "text": "a b" },
        { "type": "image_url", "image_url": image },
        "c",
    ]);
    let mixed = rows(json!({ "input": parts, "encoding_format": "base64" }));
    assert_eq!(mixed.len(), 4);
    let decoded = |value: &Value| {
        let text = value.as_str().unwrap().as_bytes();
        let digit =
            |c: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|d| *d == c);
        let bits: Vec<usize> = text.iter().filter_map(|c| digit(*c)).collect();
        let bytes: Vec<u8> = bits
            .chunks(4)
            .flat_map(|four| {
                let word = four.iter().fold(0, |w, d| w << 6 | d) << (6 * (4 - four.len()));
                [(word >> 16) as u8, (word >> 8) as u8, word as u8].into_iter().take(four.len() - 1).collect::<Vec<_>>()
            })
            .collect();
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<f32>>()
    };
    let text = decoded(&mixed[1]["embedding"]);
    assert!(
        text.len() == 8 && text.iter().zip(unit(&one[0]["embedding"])).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-4)
    );
    let single =
        rows(json!({ "input": { "type": "image_url", "image_url": { "url": data_url("image/png", &picture(1)) } } }));
    let image = decoded(&mixed[2]["embedding"]);
    assert!(image.iter().zip(unit(&single[0]["embedding"])).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-4));
    let uploaded = server.form("/v1/embeddings", &[("model", b"tiny"), ("@a.png", &picture(1))]).json();
    close(&uploaded["data"][0]["embedding"][3], &single[0]["embedding"][3]);
    for (body, status, param) in [
        (json!({ "input": [1, 2, 3] }), 400, "input[0]"),
        (json!({ "input": [[1, 2]] }), 400, "input[0]"),
        (json!({ "input": ["a", ""] }), 400, "input[1]"),
        (json!({ "input": [] }), 400, "input"),
        (json!({ "model": "tiny" }), 400, "input"),
        (json!({ "input": [null] }), 400, "input[0]"),
        (json!({ "input": "a", "model": "other" }), 404, "model"),
        (json!({ "input": "a", "dimensions": 9 }), 400, "dimensions"),
        (json!({ "input": "a", "encoding_format": "hex" }), 400, "encoding_format"),
        (json!({ "input": "a", "surprise": 1 }), 400, "surprise"),
        (json!({ "input": [{ "type": "audio" }] }), 400, "input[0].type"),
        (json!({ "input": [{ "type": "image_url" }] }), 400, "input[0]"),
        (
            json!({ "input": [{ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }] }),
            400,
            "input[0]",
        ),
        (json!({ "input": [{ "type": "image_url", "image_url": "data:image/png;base64,QUJD" }] }), 415, "input"),
    ] {
        let fault = server.post("/v1/embeddings", &body).fault();
        assert_eq!((fault.0, &fault.2), (status, &json!(param)), "{body}: {}", fault.3);
    }
}

#[test]
fn malformed_requests_of_every_kind_are_told_what_is_wrong() {
    let server = Running::new(&bench(), ServeOptions { max_upload: 1 << 20, ..ServeOptions::default() });
    let at = server.address;
    let url = data_url("image/png", &picture(1));
    let send = |method: &str, path: &str, kind: &str, body: &[u8]| {
        request(at, method, path, &[("content-type", kind)], body).fault()
    };
    // Addresses and methods.
    assert_eq!(server.get("/nothing").fault().0, 404);
    assert_eq!(server.get("/api/streams/0123456789abcdef").fault().0, 404);
    assert_eq!(server.get("/api/streams/%ff%fe/events").fault().0, 404);
    assert_eq!(server.get("/api/streams/..%2f..%2fetc/events").fault().0, 404);
    let wrong = request(at, "PUT", "/api/ask", &[], b"");
    assert_eq!((wrong.fault().0, wrong.header("allow")), (405, Some("POST")));
    assert_eq!(request(at, "GET", "/api/ask", &[], b"").fault().0, 405);
    assert_eq!(request(at, "BREW", "/", &[], b"").fault().0, 405);
    assert_eq!(request(at, "DELETE", "/api/streams/none", &[], b"").fault().0, 404);
    // Types of bodies.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "", "image/png", "application/jsonx"] {
        assert_eq!(send("POST", "/api/ask", kind, b"{}").0, 415, "{kind}");
    }
    assert_eq!(request(at, "POST", "/api/ask", &[], b"{}").fault().0, 415);
    // No JSON.
    for body in
        [&b""[..], b"{", b"[1]", b"null", b"\"a\"", b"{\"question\": \"a\",}", b"\xff\xfe", b"{\"question\": \"\xff\"}"]
    {
        assert_eq!(send("POST", "/api/ask", "application/json", body).0, 400, "{body:?}");
    }
    let deep = format!("{{\"question\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(send("POST", "/api/ask", "application/json", deep.as_bytes()).0, 400);
    // Fields.
    for (path, body, param) in [
        ("/api/ask", json!({ "input": url }), "question"),
        ("/api/ask", json!({ "input": url, "question": " " }), "question"),
        ("/api/ask", json!({ "input": url, "question": 5 }), "question"),
        ("/api/ask", json!({ "input": url, "question": "a", "answers": ["a", "a"] }), "answers"),
        ("/api/ask", json!({ "input": url, "question": "a", "answers": [" "] }), "answers"),
        ("/api/ask", json!({ "input": url, "question": "a", "answers": { "a": 1 } }), "answers"),
        ("/api/ask", json!({ "question": "a" }), "input"),
        ("/api/ask", json!({ "input": 7, "question": "a" }), "input"),
        ("/api/ask", json!({ "input": "", "question": "a" }), "input"),
        ("/api/ask", json!({ "input": "a.png", "question": "a" }), "input"),
        ("/api/ask", json!({ "input": "data:image/png;base64,%", "question": "a" }), "input"),
        ("/api/ask", json!({ "input": url, "question": "a", "top": 0 }), "top"),
        ("/api/ask", json!({ "input": url, "question": "a", "unknown": 0 }), "unknown"),
        ("/api/classify", json!({ "input": url }), "labels"),
        ("/api/classify", json!({ "input": url, "labels": ["a"], "template": "no place" }), "template"),
        ("/api/classify", json!({ "input": url, "labels": "a", "top": -1 }), "top"),
        ("/api/classify", json!({ "input": url, "labels": vec!["a"; 1001] }), "labels"),
        ("/api/caption", json!({ "input": url, "beams": 65 }), "beams"),
        ("/api/caption", json!({ "input": url, "query": "" }), "query"),
        ("/api/embed", json!({ "input": url, "frames": 257 }), "frames"),
        ("/api/embed", json!({ "input": url, "frames": 1e30 }), "frames"),
        ("/api/embed", json!({ "input": vec![url.as_str(); 65] }), "input"),
        ("/api/embed-text", json!({}), "texts"),
        ("/api/embed-text", json!({ "texts": [] }), "texts"),
        ("/api/embed-text", json!({ "texts": ["a", "\t"] }), "texts"),
        ("/api/search", json!({}), "text"),
        ("/api/search", json!({ "text": "a", "top": 101 }), "top"),
        ("/api/streams", json!({}), "source"),
        ("/api/streams", json!({ "source": "film.mp4" }), "source"),
        ("/api/streams", json!({ "source": url, "fps": 0 }), "fps"),
        ("/api/streams", json!({ "source": url, "above": 2 }), "above"),
        ("/api/streams", json!({ "source": url, "alerts": vec!["a"; 65] }), "alerts"),
    ] {
        let fault = server.post(path, &body).fault();
        assert_eq!(
            (fault.0, fault.1.as_str(), &fault.2),
            (400, "invalid_request_error", &json!(param)),
            "{path} {body}: {}",
            fault.3
        );
    }
    assert_eq!(server.post("/api/search", &json!({ "text": "a", "streams": ["none"] })).fault().0, 404);
    for (field, value) in [
        ("hz", 0.0),
        ("hz", 1e9),
        ("window", -1.0),
        ("window", 1e9),
        ("gate", 2.0),
        ("novelty", -1.0),
        ("gap", -1.0),
        ("budget", 0.0),
    ] {
        let body = json!({ "source": data_url("video/x-yuv4mpeg", &scenes(3)), field: value });
        let fault = server.post("/api/streams", &body).fault();
        assert_eq!((fault.0, &fault.2), (400, &json!(field)), "{field} {value}: {}", fault.3);
    }
    // Files.
    for (bytes, status) in
        [(&b"garbage, and more of it"[..], 415), (b"", 400), (&picture(1)[..60], 400), (b"%PDF-1.4", 415)]
    {
        assert_eq!(server.form("/api/embed", &[("@a.png", bytes)]).fault().0, status, "{bytes:?}");
    }
    let broken = server.form("/api/embed", &[("@a.png", &picture(1)[..60])]).fault();
    assert!(broken.3.starts_with("a.png: ") && !broken.3.contains("upload-"), "{}", broken.3);
    // Forms.
    let kind = "multipart/form-data; boundary=line";
    let (_, whole) = form(&[("question", b"a"), ("@a.png", &picture(1))]);
    assert_eq!(request(at, "POST", "/api/ask", &[("content-type", kind)], &whole).status, 200);
    for body in [
        &b""[..],
        b"nothing",
        &whole[..whole.len() - 6],
        &whole[..40],
        b"--line\r\n\r\nx\r\n--line--",
        b"--line and more",
    ] {
        assert_eq!(send("POST", "/api/ask", kind, body).0, 400, "{:?}", String::from_utf8_lossy(body));
    }
    assert_eq!(send("POST", "/api/ask", "multipart/form-data", &whole).0, 400);
    for (name, value) in [("top", &b"many"[..]), ("question", b"\xff"), ("question", b"again"), ("start", b"NaN")] {
        let fields: Vec<(&str, &[u8])> = vec![("question", b"a"), (name, value), ("@a.png", b"x")];
        assert_eq!(server.form("/api/ask", &fields).fault().2, json!(name), "{name}");
    }
    // It still answers.
    assert_eq!(server.get("/health").json()["status"], "ok");
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains("route=\"none\",method=\"GET\",status=\"404\"") && !metrics.contains("/nothing"),
        "{metrics}"
    );
}

#[test]
fn models_that_take_no_questions_or_write_nothing_say_so() {
    let server = Running::new(&Bench::new(), ServeOptions::default());
    let url = data_url("image/png", &picture(1));
    for (path, body) in [
        ("/api/ask", json!({ "input": url, "question": "a", "answers": ["a"] })),
        ("/api/caption", json!({ "input": url })),
        ("/api/embed", json!({ "input": url, "query": "a" })),
        ("/api/streams", json!({ "source": url, "query": "a" })),
    ] {
        assert_eq!(server.post(path, &body).fault().0, 400, "{path}");
    }
    let health = server.get("/health").json();
    assert_eq!((&health["asks"], &health["writes"]), (&json!(false), &json!(false)));
    assert_eq!(server.post("/api/embed", &json!({ "input": url })).status, 200);
}
