//! The ways in: the command over standard input and output, and HTTP with several clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rmcp::ServiceExt;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use serde_json::{Value, json};
use vljepa::mcp::{HttpServer, Server};

use crate::client::{Client, call, fails, films, number, refused, settings};
use crate::support::{misused, vljepa};

fn command(bench: &crate::support::Bench, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vljepa"));
    command.args(["mcp", "--device", "cpu", "--allow"]).arg(bench.path("films")).args(more);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_the_sdk_starts_the_command() {
    let bench = films();
    let child = TokioChildProcess::new(tokio::process::Command::from(command(&bench, &[]))).unwrap();
    let client = Client::default().serve(child).await.unwrap();
    assert_eq!(client.list_all_tools().await.unwrap().len(), 6);
    let (found, _) = call(&client, "describe", json!({ "input": "right.y4m" })).await;
    assert!(number(&found, "windows") >= 9.0);
    fails(&client, "describe", json!({ "input": "../secret.png" }), &["in no folder"]).await;
    // Advice in terms of flags.
    fails(&client, "surprise", json!({ "input": "right.y4m" }), &["--surprise-model DIR"]).await;
    refused(&client, "ask", json!({ "input": "right.y4m" }), "missing field `question`").await;
    client.cancel().await.unwrap();
}

#[test]
fn standard_output_carries_nothing_but_the_protocol() {
    let bench = films();
    let mut child = command(&bench, &[])
        .env("RUST_LOG", "trace")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    let mut answer = |id: i64| loop {
        let mut line = String::new();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "no answer to {id}");
        let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(value["jsonrpc"], "2.0", "{line}");
        lines.push(value.clone());
        if value["id"] == id {
            return value;
        }
    };
    let mut send = |value: &str| writeln!(stdin, "{value}").unwrap();
    send(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"0"}}}"#,
    );
    let greeted = answer(1);
    assert_eq!(
        (&greeted["result"]["serverInfo"]["name"], &greeted["result"]["protocolVersion"]),
        (&json!("vljepa"), &json!("2025-06-18"))
    );
    send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    // What is no message is passed over, or refused; the connection stays.
    for garbage in [
        "garbage",
        "{",
        "[]",
        "{}",
        "\u{0}\u{7f}",
        r#"{"jsonrpc":"2.0","id":7}"#,
        r#"{"jsonrpc":"1.0","id":8,"method":"ping"}"#,
    ] {
        send(garbage);
    }
    send(&"x".repeat(17 << 20));
    send(r#"{"jsonrpc":"2.0","id":2,"method":"no/such","params":{}}"#);
    assert_eq!(answer(2)["error"]["code"], -32601);
    let ask = |id: u32, name: &str, arguments: Value| {
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": name, "arguments": arguments, "_meta": { "progressToken": id } } }).to_string()
    };
    send(&ask(3, "describe", json!({ "input": "right.y4m" })));
    let described = answer(3);
    assert_eq!(described["result"]["isError"], false, "{described}");
    assert!(described["result"]["structuredContent"]["segments"].is_array());
    send(&ask(4, "describe", json!({ "input": 4 })));
    assert_eq!(answer(4)["error"]["code"], -32602);
    send(&ask(5, "describe", json!({ "input": "gone.mp4" })));
    assert_eq!(answer(5)["result"]["isError"], true);
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert!(
        lines.iter().any(|line| line["method"] == "notifications/progress" && line["params"]["progressToken"] == 3),
        "{lines:?}"
    );
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !stderr.contains("internal error"), "{stderr}");
}

#[test]
fn a_client_that_never_begins_is_no_failure() {
    let bench = films();
    let output = command(&bench, &[]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let nothing = vljepa(["mcp"]).output().unwrap();
    assert!(
        nothing.status.success() && String::from_utf8_lossy(&nothing.stderr).contains("--allow DIR"),
        "{nothing:?}"
    );
}

#[test]
fn what_is_wrong_at_the_start_is_one_line() {
    let bench = films();
    let gone = bench.text("gone");
    crate::support::fails(&mut vljepa(["mcp", "--allow", &gone]), &["gone", "no such file"]);
    crate::support::fails(&mut vljepa(["mcp", "--allow", &bench.text("secret.png")]), &["secret.png", "is no folder"]);
    crate::support::fails(&mut vljepa(["mcp", "--model", &gone]), &["--model", "gone", "no such folder"]);
    crate::support::fails(&mut vljepa(["mcp", "--surprise-model", "sprites"]), &["--surprise-model", "no such folder"]);
    misused(&mut vljepa(["mcp", "--port", "1"]), &["--http"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    crate::support::fails(&mut vljepa(["mcp", "--http", "--port", &port]), &[&port, "choose another one with --port"]);
}

/// Asks by hand; the status, and what comes with it.
fn posted(url: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let place = url.strip_prefix("http://").unwrap().strip_suffix("/mcp").unwrap();
    let mut stream = TcpStream::connect(place).unwrap();
    let mut head = format!(
        "POST /mcp HTTP/1.1\r\nconnection: close\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| *name == "host") {
        head += &format!("host: {place}\r\n");
    }
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"));
    (status, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_of_http_share_what_was_seen() {
    let bench = films();
    let http = HttpServer::bind(Server::new(settings(&bench)).unwrap(), 0).unwrap();
    let (url, stop) = (http.url(), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let serving = std::thread::spawn(move || http.run(move || stopped.load(Ordering::SeqCst)));
    let connect = || Client::default().serve(StreamableHttpClientTransport::from_uri(url.clone()));
    let (one, two) = tokio::join!(connect(), connect());
    let (one, two) = (one.unwrap(), two.unwrap());
    let search = || json!({ "input": "right.y4m", "text": "something moves right" });
    let ((a, _), (b, _)) = tokio::join!(call(&one, "search_moments", search()), call(&two, "search_moments", search()));
    assert_eq!(a["moments"], b["moments"]);
    assert_eq!(number(&a, "embedded") + number(&b, "embedded"), 1.0, "the second to come finds it done");
    fails(&two, "describe", json!({ "input": "/etc/passwd" }), &["in no folder"]).await;
    refused(&one, "describe", json!({}), "missing field `input`").await;
    // Pages of others, and names that lead here from elsewhere, are turned away.
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"0"}}}"#;
    let own = url.trim_end_matches("/mcp").to_owned();
    assert_eq!(posted(&url, &[], hello).0, 200);
    assert_eq!(posted(&url, &[("origin", &own)], hello).0, 200);
    assert_eq!(posted(&url, &[("origin", "http://evil.example")], hello).0, 403);
    assert_eq!(posted(&url, &[("host", "evil.example")], hello).0, 403);
    assert!((400..500).contains(&posted(&url, &[], "{\"garbage").0));
    assert_eq!(posted(&url, &[], &"x".repeat(5 << 20)).0, 413);
    // A client that goes away leaves the others alone.
    one.cancel().await.unwrap();
    call(&two, "describe", json!({ "input": "picture.png" })).await;
    // The server ends with a client still there.
    stop.store(true, Ordering::SeqCst);
    tokio::task::spawn_blocking(move || serving.join().unwrap().unwrap()).await.unwrap();
    drop(two);
}

#[cfg(unix)]
#[test]
fn the_command_listens_until_it_is_interrupted() {
    let bench = films();
    let mut child = command(&bench, &["--http", "--port", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/mcp"), "{url}");
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"0"}}}"#;
    let (status, answer) = posted(&url, &[], hello);
    assert!(status == 200 && answer.contains("\"vljepa\""), "{answer}");
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let status = child.wait().unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(status.success() && rest.is_empty(), "{status}: {rest}");
}
