//! What can go wrong: crowds, clients that go away, uploads without end, paths that climb, keys, garbage, a full queue.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vljepa::AllowedFolders;
use vljepa::serve::{Key, ServeOptions};

use crate::client::{
    Running, bench, bytes_of, data_url, events, form, parse_events, read_reply, request, scenes, soon,
};
use crate::support::picture;

#[test]
fn a_hundred_clients_at_once_are_answered() {
    let server = Running::new(&bench(), ServeOptions { queue: 128, ..ServeOptions::default() });
    let barrier = Barrier::new(100);
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let client = |i: usize| {
            let (server, barrier) = (&server, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let reply = match i % 4 {
                    0 => server.post("/api/embed-text", &json!({ "texts": [format!("text {}", i % 8)] })),
                    1 => server.form("/api/embed", &[("@a.png", &picture(i as u8 % 8))]),
                    2 => server.post("/v1/embeddings", &json!({ "input": format!("text {}", i % 8) })),
                    _ => server.post("/api/ask", &json!({ "input": data_url("image/png", &picture(1)), "question": "who", "answers": ["a", "b"] })),
                };
                assert_eq!(reply.status, 200, "{}", reply.text());
                reply.json()
            })
        };
        let clients: Vec<_> = (0..100).map(client).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    // Whoever asks the same is told the same, whatever went through the model beside it.
    for (i, answer) in answers.iter().enumerate().filter(|(i, _)| i % 4 == 0) {
        let (a, b) = (&answer["rows"][0]["embedding"], &answers[i % 8]["rows"][0]["embedding"]);
        let apart = a
            .as_array()
            .unwrap()
            .iter()
            .zip(b.as_array().unwrap())
            .map(|(a, b)| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-5);
    }
    let metrics = server.get("/metrics").text();
    let value =
        |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok()).unwrap();
    // Several went through it together.
    assert!(value("vljepa_batch_size_count ") < value("vljepa_batch_size_sum "), "{metrics}");
    assert_eq!(value("vljepa_requests_in_place "), 0.0);
}

#[test]
fn a_crowd_beyond_the_queue_is_told_to_come_again() {
    let server = Running::new(&bench(), ServeOptions { queue: 2, ..ServeOptions::default() });
    let barrier = Barrier::new(40);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..40)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let reply = server.post("/api/embed-text", &json!({ "texts": vec!["a b c d e f"; 200] }));
                    if reply.status == 429 {
                        assert_eq!(
                            (reply.fault().1.as_str(), reply.header("retry-after")),
                            ("rate_limit_error", Some("1"))
                        );
                    }
                    reply.status
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert_eq!(server.post("/api/embed-text", &json!({ "texts": "a" })).status, 200);
}

#[test]
fn a_client_that_goes_away_frees_its_place() {
    let server = Running::new(&bench(), ServeOptions { queue: 1, ..ServeOptions::default() });
    let (kind, body) = form(&[("question", b"who"), ("answers", b"a,b"), ("@a.png", &picture(1))]);
    let whole = bytes_of(server.address, "POST", "/api/ask", &[("content-type", &kind)], &body);
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(&whole[..whole.len() / 2]).unwrap();
    let ask = || server.post("/api/embed-text", &json!({ "texts": "a" })).status;
    soon(|| (ask() == 429).then_some(()));
    // What needs no place is answered all the same.
    assert_eq!(server.get("/health").status, 200);
    drop(slow);
    soon(|| (ask() == 200).then_some(()));
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("vljepa_requests_in_place 0"), "{metrics}");
    // So does one that follows a stream; and one that only connects holds up nobody.
    let idle: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    assert_eq!(ask(), 200);
    drop(idle);
}

#[test]
fn a_body_that_stops_coming_is_not_waited_for_without_end() {
    let patience = Duration::from_millis(300);
    let server = Running::new(&bench(), ServeOptions { patience, ..ServeOptions::default() });
    let (kind, body) = form(&[("@a.png", &picture(1))]);
    let whole = bytes_of(server.address, "POST", "/api/embed", &[("content-type", &kind)], &body);
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(&whole[..whole.len() / 2]).unwrap();
    assert_eq!(read_reply(&mut slow).fault().0, 408);
}

#[test]
fn uploads_beyond_the_limit_leave_nothing() {
    let bench = bench();
    let data = bench.path("data");
    let options = ServeOptions { max_upload: 1 << 20, data: Some(data.clone()), ..ServeOptions::default() };
    let server = Running::new(&bench, options);
    // Uploads lie in a folder of the server's own, within its data.
    let uploads = || {
        let folders = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        folders.map(|folder| std::fs::read_dir(folder).unwrap().count()).sum::<usize>()
    };
    let large = vec![7; 4 << 20];
    let (kind, body) = form(&[("@a.y4m", &large)]);
    for path in ["/api/streams", "/api/embed", "/v1/embeddings"] {
        // The length is said before.
        assert_eq!(server.form(path, &[("@a.y4m", &large)]).fault().0, 413, "{path}");
        // It is not said: the body comes in chunks.
        let chunks: Vec<u8> = body
            .chunks(60_000)
            .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
            .collect();
        let headers = [("content-type", kind.as_str()), ("transfer-encoding", "chunked")];
        let fault = request(server.address, "POST", path, &headers, &[&chunks, &b"0\r\n\r\n"[..]].concat()).fault();
        assert_eq!((fault.0, fault.1.as_str()), (413, "invalid_request_error"), "{path}");
    }
    let text = json!({ "texts": "a".repeat(2 << 20) });
    assert_eq!(server.post("/api/embed-text", &text).fault().0, 413);
    // A client that says two gigabytes and goes away.
    let mut liar = TcpStream::connect(server.address).unwrap();
    let head = bytes_of(
        server.address,
        "POST",
        "/api/streams",
        &[("content-type", &kind), ("content-length", "2147483648")],
        b"",
    );
    liar.write_all(&head).unwrap();
    liar.write_all(&body[..100_000]).unwrap();
    assert_eq!(read_reply(&mut liar).fault().0, 413);
    // One that breaks off in the middle of a file.
    let half = bytes_of(
        server.address,
        "POST",
        "/api/streams",
        &[("content-type", &kind), ("content-length", "900000")],
        &body[..300_000],
    );
    let mut gone = TcpStream::connect(server.address).unwrap();
    gone.write_all(&half).unwrap();
    soon(|| (uploads() == 1).then_some(()));
    drop(gone);
    soon(|| (uploads() == 0).then_some(()));
    // What is looked at and done with is gone too.
    assert_eq!(server.form("/api/embed", &[("@a.png", &picture(1))]).status, 200);
    let stream = server.watch(&[("@a.y4m", &scenes(3))]);
    assert_eq!(stream["phase"], "finished");
    soon(|| (uploads() == 0).then_some(()));
    drop(server);
    let left: Vec<_> = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.len() == 1 && left[0].to_string_lossy().ends_with(".jsonl"), "{left:?}");
}

#[cfg(unix)]
#[test]
fn paths_cannot_climb_out_of_their_folder() {
    let bench = bench();
    std::fs::create_dir_all(bench.path("open/frames")).unwrap();
    bench.write("secret.png", picture(1));
    bench.write("open/a.png", picture(1));
    bench.write("open/frames/0.png", picture(0));
    std::os::unix::fs::symlink(bench.path("secret.png"), bench.path("open/link.png")).unwrap();
    std::os::unix::fs::symlink(bench.path("."), bench.path("open/up")).unwrap();
    std::os::unix::fs::symlink(bench.path("secret.png"), bench.path("open/frames/1.png")).unwrap();
    let folders = AllowedFolders::new(&[bench.path("open")]).unwrap();
    let server = Running::new(&bench, ServeOptions { folders, ..ServeOptions::default() });
    let look = |path: &str| server.post("/api/embed", &json!({ "input": path }));
    assert_eq!((look("a.png").status, look(&bench.text("open/a.png")).status), (200, 200));
    assert_eq!(look("none.png").fault().0, 404);
    let climbing = [
        "../secret.png",
        "link.png",
        "up/secret.png",
        "frames",
        "/etc/passwd",
        "../none",
        &bench.text("secret.png"),
        "//etc/passwd",
    ];
    for path in climbing {
        for fault in [look(path).fault(), server.post("/api/streams", &json!({ "source": path })).fault()] {
            assert_eq!((fault.0, fault.1.as_str()), (403, "permission_error"), "{path}: {}", fault.3);
        }
    }
    for path in ["", " ", "a.png\0", "https://127.0.0.1/a.png", "file:///etc/passwd"] {
        assert_eq!(look(path).fault().0, 400, "{path:?}");
    }
    for address in ["http://127.0.0.1:1/a", "rtsp://localhost/a", "file:///etc/passwd", "concat://a"] {
        assert_eq!(server.post("/api/streams", &json!({ "source": address })).fault().0, 403, "{address}");
    }
}

#[test]
fn a_key_is_asked_for_and_without_one_other_sites_are_refused() {
    let key = Some(Key::new("s3cret").unwrap());
    let server = Running::new(&bench(), ServeOptions { key, ..ServeOptions::default() });
    let send = |method: &str, path: &str, headers: &[(&str, &str)]| request(server.address, method, path, headers, b"");
    for (method, path) in [
        ("GET", "/metrics"),
        ("GET", "/v1/models"),
        ("GET", "/api/streams"),
        ("POST", "/api/ask"),
        ("DELETE", "/api/streams/x"),
        ("GET", "/nothing"),
    ] {
        let without = send(method, path, &[]);
        assert_eq!(
            (without.fault().0, without.fault().1.as_str(), without.header("www-authenticate")),
            (401, "authentication_error", Some("Bearer")),
            "{path}"
        );
        for wrong in ["Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret", "Bearer"] {
            assert_eq!(send(method, path, &[("authorization", wrong)]).status, 401, "{path} {wrong}");
        }
        assert_ne!(send(method, path, &[("authorization", "Bearer s3cret")]).status, 401, "{path}");
    }
    for path in ["/", "/health", "/openapi.json"] {
        assert_eq!(send("GET", path, &[("host", "films.example")]).status, 200, "{path}");
    }
    assert_eq!(
        send("GET", "/api/streams", &[("host", "films.example"), ("authorization", "Bearer s3cret")]).status,
        200
    );
    drop(server);
    let server = Running::new(&bench(), ServeOptions::default());
    let send = |headers: &[(&str, &str)]| request(server.address, "GET", "/api/streams", headers, b"").status;
    let own = server.address.to_string();
    assert_eq!(
        (send(&[]), send(&[("origin", &format!("http://{own}"))]), send(&[("host", "localhost")])),
        (200, 200, 200)
    );
    for headers in [
        [("host", "evil.example")],
        [("host", "127.0.0.1.evil.example")],
        [("origin", "http://evil.example")],
        [("origin", "null")],
    ] {
        assert_eq!(send(&headers), 403, "{headers:?}");
    }
    let page = request(server.address, "GET", "/", &[("host", "evil.example")], b"");
    assert_eq!(page.fault().1, "permission_error");
}

#[test]
fn streams_that_are_garbage_or_break_tell_first_what_they_have_shown() {
    let server = Running::new(&bench(), ServeOptions::default());
    let begin =
        |name: &str, bytes: &[u8]| server.form("/api/streams", &[(name, bytes), ("window", b"1"), ("hz", b"4")]);
    for (name, bytes) in [
        ("@a.mp4", &b"garbage, and more of it"[..]),
        ("@a", b"#EXTM3U\nhttp://a/b"),
        ("@a.y4m", b"YUV4MPEG2 W0 H0\n"),
        ("@a.avi", &[0; 5000]),
    ] {
        let fault = begin(name, bytes).fault();
        assert_eq!((fault.0, &fault.2), (415, &json!("source")), "{name}: {}", fault.3);
        assert!(fault.3.contains(&name[1..]) && !fault.3.contains("upload-"), "{}", fault.3);
    }
    assert_eq!(begin("@a.mp4", b"").fault().0, 415);
    assert_eq!(server.form("/api/streams", &[("@a.y4m", &scenes(1)), ("@b.y4m", &scenes(1))]).fault().0, 400);
    assert_eq!(server.get("/api/streams").json(), json!({ "streams": [] }));
    // In the middle of a frame.
    let film = scenes(6);
    let stream = server.watch(&[("@cut.y4m", &film[..film.len() - 100]), ("window", b"1"), ("hz", b"4")]);
    assert!(stream["counts"]["windows"].as_u64().unwrap() > 15, "{stream}");
    let told = events(&request(
        server.address,
        "GET",
        &format!("/api/streams/{}/events", stream["stream"].as_str().unwrap()),
        &[],
        b"",
    ));
    let last = &told.last().unwrap().data;
    let said = last["message"].as_str().unwrap_or_default().to_owned()
        + &told.iter().filter(|told| told.name == "note").map(|told| told.data.to_string()).collect::<String>();
    assert!(!said.is_empty() && !said.contains("upload-"), "{said} {last}");
    // A picture, and a video that is shorter than a window that was asked for.
    let still = server.watch(&[("@a.png", &picture(1))]);
    assert!(
        still["phase"] == "failed" && still["message"].as_str().unwrap().contains("shorter than one window"),
        "{still}"
    );
    let short = server.watch(&[("@a.y4m", &scenes(1)), ("window", b"5")]);
    assert!(short["phase"] == "failed" && short["message"].as_str().unwrap().contains("shorter"), "{short}");
    assert_eq!(server.get("/health").json()["status"], "ok");
}

#[test]
fn whoever_follows_is_told_when_the_server_stops() {
    let bench = bench();
    let pipe = bench.path("camera");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let folders = AllowedFolders::new(&[bench.path(".")]).unwrap();
    let server = Running::new(&bench, ServeOptions { folders, ..ServeOptions::default() });
    let begun = server.post("/api/streams", &json!({ "source": "camera" })).json();
    let mut writer = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    writer.write_all(&scenes(4)).unwrap();
    let path = format!("/api/streams/{}/events", begun["stream"].as_str().unwrap());
    let mut follower = TcpStream::connect(server.address).unwrap();
    follower.write_all(&bytes_of(server.address, "GET", &path, &[], b"")).unwrap();
    // After the first window it is there.
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("event: window") {
        let mut some = [0; 4096];
        let read = follower.read(&mut some).unwrap();
        assert!(read > 0);
        seen.extend(&some[..read]);
    }
    let begun = Instant::now();
    server.ask_to_stop();
    follower.read_to_end(&mut seen).unwrap();
    let text = String::from_utf8_lossy(&seen);
    let body = text.split_once("\r\n\r\n").unwrap().1;
    // Chunks have lines of their own between the events.
    let lines: String =
        body.split("\r\n").filter(|line| !line.is_empty() && u64::from_str_radix(line, 16).is_err()).collect();
    let told = parse_events(&lines);
    let names: Vec<&str> = told.iter().map(|told| told.name.as_str()).collect();
    assert!(
        names.contains(&"window") && (names.last() == Some(&"stopping") || names.last() == Some(&"ended")),
        "{names:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    drop(writer);
}
