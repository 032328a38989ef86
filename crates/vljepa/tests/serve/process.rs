//! The command: its port, its signals, its folder, and what is left when it is killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::client::{bench, events, form, request, scenes, soon};
use crate::support::{Bench, fails, misused, vljepa};

/// The command while it serves.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    fn new(bench: &Bench, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vljepa"));
        command.args(bench.args(&[&["serve", "--port", "0", "--json"], args].concat()));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["address"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        Self { child, address }
    }

    fn get(&self, path: &str) -> Value {
        request(self.address, "GET", path, &[], b"").json()
    }

    fn begin(&self, film: &[u8]) -> String {
        let (kind, body) = form(&[
            ("@film.y4m", film),
            ("window", b"1"),
            ("hz", b"8"),
            ("gate", b"0"),
            ("alerts", b"a bar"),
            ("above", b"-1"),
        ]);
        let begun = request(self.address, "POST", "/api/streams", &[("content-type", &kind)], &body);
        assert_eq!(begun.status, 201, "{}", begun.text());
        begun.json()["stream"].as_str().unwrap().to_owned()
    }

    fn events(&self, id: &str) -> Vec<crate::client::Told> {
        events(&request(self.address, "GET", &format!("/api/streams/{id}/events"), &[], b""))
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nothing_that_was_seen_is_lost_when_the_server_is_killed() {
    let bench = bench();
    let serving = Serving::new(&bench, &["--data", &bench.text("data")]);
    let short = serving.begin(&scenes(4));
    soon(|| (serving.get(&format!("/api/streams/{short}"))["phase"] == "finished").then_some(()));
    let finished = serving.events(&short);
    // A long one is killed in the middle.
    let long = serving.begin(&scenes(600));
    let count = |serving: &Serving| serving.get(&format!("/api/streams/{long}"))["counts"]["windows"].as_u64().unwrap();
    soon(|| (count(&serving) > 40).then_some(()));
    let seen = serving.get(&format!("/api/streams/{long}"));
    assert_eq!(seen["phase"], "running");
    drop(serving);
    // Half a line at the end, as a crash leaves it.
    let log = bench.path("data").join(format!("{long}.jsonl"));
    let mut bytes = std::fs::read(&log).unwrap();
    bytes.extend(b"{\"id\": 99999, \"event\": \"wind");
    std::fs::write(&log, bytes).unwrap();
    bench.write("data/0123456789abcdef.jsonl", "something else\n");

    let serving = Serving::new(&bench, &["--data", &bench.text("data")]);
    assert_eq!(serving.events(&short), finished);
    let streams = serving.get("/api/streams");
    assert_eq!(streams["streams"].as_array().unwrap().len(), 2);
    let after = serving.get(&format!("/api/streams/{long}"));
    assert_eq!(after["phase"], "interrupted");
    assert!(
        after["counts"]["windows"].as_u64() >= seen["counts"]["windows"].as_u64()
            && after["last_event"].as_u64() > seen["last_event"].as_u64()
    );
    let told = serving.events(&long);
    assert!(told.iter().enumerate().all(|(i, told)| told.id == Some(i as u64 + 1)));
    assert_eq!(
        (told.last().unwrap().name.as_str(), &told.last().unwrap().data["reason"]),
        ("ended", &json!("interrupted"))
    );
    // It is searched, and texts are waited for in it; its frames are gone.
    let post = |path: &str, body: Value| {
        request(serving.address, "POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    };
    let found = post("/api/search", json!({ "text": "a bar", "streams": [long] })).json();
    assert!(found["searches"][0]["results"][0]["picture"].is_string(), "{found}");
    let alert = post(&format!("/api/streams/{long}/alerts"), json!({ "text": "another" })).json();
    assert_eq!(alert["scores"].as_array().unwrap().len() as u64, after["counts"]["windows"].as_u64().unwrap());
    assert_eq!(post(&format!("/api/streams/{long}/questions"), json!({ "question": "what" })).fault().0, 409);
    // A second server may not write into the same folder.
    let args = ["serve", "--port", "0", "--data", "@data"];
    fails(&mut vljepa(bench.args(&args)), &["another run", "data"]);
    // What is removed stays away; what was added stays.
    assert_eq!(request(serving.address, "DELETE", &format!("/api/streams/{short}"), &[], b"").status, 200);
    drop(serving);
    let serving = Serving::new(&bench, &["--data", &bench.text("data")]);
    assert_eq!(serving.get("/api/streams")["streams"].as_array().unwrap().len(), 1);
    assert!(serving.events(&long).iter().any(|told| told.name == "waiting" && told.data["text"] == "another"));
}

#[cfg(unix)]
#[test]
fn the_first_signal_ends_it_in_order_and_the_second_at_once() {
    let bench = bench();
    for name in ["-INT", "-TERM"] {
        let mut serving = Serving::new(&bench, &["--data", &bench.text("data")]);
        let id = serving.begin(&scenes(600));
        soon(|| (serving.get(&format!("/api/streams/{id}"))["counts"]["windows"].as_u64() > Some(4)).then_some(()));
        serving.signal(name);
        assert_eq!(serving.child.wait().unwrap().code(), Some(0), "{name}");
        let log = std::fs::read_to_string(bench.path("data").join(format!("{id}.jsonl"))).unwrap();
        assert!(log.lines().last().unwrap().contains("\"reason\":\"stopped\""), "{name}");
        assert!(bench.files("data").iter().all(|file| file.ends_with(".jsonl")), "{:?}", bench.files("data"));
    }
    // A request whose body does not come is waited for, but not after a second signal.
    let mut serving = Serving::new(&bench, &[]);
    let mut slow = std::net::TcpStream::connect(serving.address).unwrap();
    let half = crate::client::bytes_of(
        serving.address,
        "POST",
        "/api/embed-text",
        &[("content-type", "application/json"), ("content-length", "1000")],
        b"{",
    );
    std::io::Write::write_all(&mut slow, &half).unwrap();
    soon(|| serving.get("/health")["status"].as_str().map(|_| ()));
    serving.signal("-INT");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(serving.child.try_wait().unwrap().is_none());
    serving.signal("-INT");
    assert_eq!(serving.child.wait().unwrap().code(), Some(130));
}

#[test]
fn what_cannot_be_served_is_said_before_a_model_is_loaded() {
    let bench = bench();
    let serve = |args: &[&str]| vljepa(bench.args(&[&["serve"], args].concat()));
    fails(&mut serve(&["--allow", "@none"]), &["none"]);
    fails(&mut serve(&["--allow", "file:///etc"]), &["file:///etc"]);
    fails(&mut serve(&["--key-file", "@none"]), &["none"]);
    bench.write("key", "two words\n");
    fails(&mut serve(&["--key-file", "@key"]), &["key", "one word"]);
    fails(&mut serve(&["--host", "0.0.0.0", "--port", "0"]), &["--key-file"]);
    fails(&mut serve(&["--host", "no such host", "--port", "0"]), &["no such host"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    fails(&mut serve(&["--port", &taken.local_addr().unwrap().port().to_string()]), &["--port", "another program"]);
    fails(serve(&["--port", "0"]).env("VLJEPA_API_KEY", " "), &["VLJEPA_API_KEY"]);
    misused(&mut serve(&["--port", "70000"]), &["--port"]);
    misused(&mut serve(&["--queue", "0"]), &["--queue"]);
    misused(&mut serve(&["--max-upload-mib", "0"]), &["--max-upload-mib"]);
    bench.write("file", "x");
    fails(&mut serve(&["--port", "0", "--data", "@file"]), &["file"]);
}
