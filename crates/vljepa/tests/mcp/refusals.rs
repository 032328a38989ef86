//! What must not work: paths that climb out, files that are none, arguments that are wrong, calls that nobody waits for.

use std::time::Duration;

use rmcp::model::{CallToolRequest, ClientRequest};
use rmcp::service::{PeerRequestOptions, ServiceError};
use serde_json::json;

use crate::client::{Running, beside, call, connected, fails, films, refused, request, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outside_of_the_folders_is_read() {
    let bench = films();
    let (client, _server) = connected(settings(&bench)).await;
    let allowed = bench.path("films").canonicalize().unwrap().display().to_string();
    let secret = bench.text("secret.png");
    for input in [
        "../secret.png",
        "more/../../secret.png",
        &secret,
        "/etc/passwd",
        "/",
        "..",
        "../nothing.png",
        "/nothing/at/all",
    ] {
        for tool in ["describe", "watch", "surprise"] {
            let said = fails(&client, tool, json!({ "input": input }), &["in no folder", &allowed]).await;
            assert!(!said.contains("no such file"), "whether there is anything is not told: {said}");
        }
        fails(&client, "ask", json!({ "input": input, "question": "what" }), &["in no folder", &allowed]).await;
        fails(&client, "search_moments", json!({ "input": input, "text": "x" }), &["in no folder", &allowed]).await;
        fails(&client, "compare", json!({ "a": "picture.png", "b": input }), &["in no folder", &allowed]).await;
    }
    for input in ["gone.png", "more/gone", "picture.png/x"] {
        fails(&client, "describe", json!({ "input": input }), &[input, "allowed: "]).await;
    }
    let none = vljepa::mcp::Settings::default();
    let (client, _server) = connected(none).await;
    fails(&client, "describe", json!({ "input": "picture.png" }), &["none is allowed"]).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_do_not_lead_out() {
    use std::os::unix::fs::symlink;
    let bench = films();
    std::fs::create_dir(bench.path("outside")).unwrap();
    bench.write("outside/0.png", crate::support::picture(2));
    symlink(bench.path("outside"), bench.path("films/way")).unwrap();
    symlink(bench.path("secret.png"), bench.path("films/link.png")).unwrap();
    std::fs::create_dir(bench.path("films/frames")).unwrap();
    bench.write("films/frames/0.png", crate::support::picture(4));
    symlink(bench.path("films/picture.png"), bench.path("films/frames/1.png")).unwrap();
    let (client, _server) = connected(settings(&bench)).await;
    for input in ["way", "way/0.png", "way/gone.png", "link.png"] {
        fails(&client, "describe", json!({ "input": input }), &["in no folder"]).await;
        fails(&client, "search_moments", json!({ "input": input, "text": "x" }), &["in no folder"]).await;
    }
    // A search of a folder leaves them out, and says so.
    let (found, _) =
        call(&client, "search_moments", json!({ "input": ".", "text": "a bar", "top": 100, "merge": false })).await;
    let text = found.to_string();
    assert!(!text.contains("secret") && !text.contains("outside/") && text.contains("2 links lead out"), "{text}");
    // A folder of frames with one of them.
    let (seen, _) = call(&client, "describe", json!({ "input": "frames" })).await;
    assert_eq!(seen["is_video"], true);
    symlink(bench.path("secret.png"), bench.path("films/frames/2.png")).unwrap();
    for tool in ["describe", "watch"] {
        fails(&client, tool, json!({ "input": "frames" }), &["frames/2.png", "in no folder"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_none_are_errors_of_the_tool() {
    let bench = films();
    bench.write("films/empty.mp4", "");
    bench.write("films/cut.png", &crate::support::picture(1)[..60]);
    std::fs::create_dir(bench.path("films/empty")).unwrap();
    let (client, _server) = connected(settings(&bench)).await;
    for (input, words) in
        [("empty.mp4", "empty"), ("cut.png", "cut.png"), ("notes.txt", "notes.txt"), ("empty", "no pictures")]
    {
        fails(&client, "describe", json!({ "input": input }), &[input, words]).await;
    }
    fails(&client, "search_moments", json!({ "input": "empty", "text": "x" }), &["empty", "no pictures and no videos"])
        .await;
    #[cfg(unix)]
    {
        let pipe = bench.path("films/pipe.y4m");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // Nobody writes to it: opening it would wait without end.
        fails(&client, "describe", json!({ "input": "pipe.y4m" }), &["pipe.y4m", "not a regular file"]).await;
    }
    call(&client, "describe", json!({ "input": "picture.png" })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_not_well_formed_are_errors_of_the_protocol() {
    let bench = films();
    let (client, _server) = connected(settings(&bench)).await;
    refused(&client, "paint", json!({}), "there is no tool \"paint\"").await;
    refused(&client, "describe", json!({}), "missing field `input`").await;
    refused(&client, "describe", json!({ "input": ["a"] }), "invalid type").await;
    refused(&client, "describe", json!({ "input": "a", "inputs": "b" }), "unknown field `inputs`").await;
    refused(&client, "describe", json!({ "input": "" }), "`input` is empty").await;
    refused(&client, "describe", json!({ "input": "a", "top": 0 }), "`top` is 0").await;
    refused(&client, "describe", json!({ "input": "a", "start_s": 5, "end_s": 2 }), "not after `start_s`").await;
    refused(&client, "ask", json!({ "input": "a", "question": "what", "answers": [] }), "empty list").await;
    refused(&client, "ask", json!({ "input": "a", "question": "what", "answers": ["b", "b"] }), "repeats").await;
    refused(&client, "watch", json!({ "input": "a", "hz": 0 }), "`hz` is 0").await;
    refused(&client, "surprise", json!({ "input": "a", "frames": 1e9 }), "frames").await;
    refused(&client, "compare", json!({ "a": "a" }), "missing field `b`").await;
    // Null is as good as nothing.
    call(&client, "describe", json!({ "input": "picture.png", "captions": null, "top": null })).await;
}

/// Sends a call that would take very long, and waits until it runs.
async fn long(client: &Running) -> rmcp::service::RequestHandle<rmcp::RoleClient> {
    let params = request("search_moments", json!({ "input": "long.y4m", "text": "x", "window_s": 0.05 }));
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
    let handle = client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap();
    let told = std::sync::Arc::clone(&client.service().0);
    for _ in 0..600 {
        if told.lock().unwrap().iter().any(|one| one.progress > 0.1) {
            return handle;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing was told of its progress: {:?}", told.lock().unwrap());
}

/// A film of nearly an hour and a half in tiny frames: two hundred thousand windows.
fn long_film(bench: &crate::support::Bench) {
    let mut bytes = b"YUV4MPEG2 W4 H4 F100:1 Cmono\n".to_vec();
    for i in 0..500_000usize {
        bytes.extend(b"FRAME\n");
        bytes.extend([(i % 200) as u8; 16]);
    }
    bench.write("films/long.y4m", bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_cancelled_makes_room_for_the_next() {
    let bench = films();
    long_film(&bench);
    let (client, server) = connected(settings(&bench)).await;
    let handle = long(&client).await;
    // Another client's call waits for its turn.
    let other = beside(&server).await;
    let waiting = tokio::spawn(async move { call(&other, "describe", json!({ "input": "picture.png" })).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "calls run one after the other");
    handle.cancel(Some("enough".into())).await.unwrap();
    waiting.await.unwrap();
    let told = client.service().0.lock().unwrap().clone();
    assert!(told.windows(2).all(|pair| pair[0].progress < pair[1].progress), "{told:?}");
    assert!(told.iter().all(|one| one.total == Some(1.0) && one.message.is_some()));
    // A client that goes away takes its call with it.
    let handle = long(&client).await;
    let other = beside(&server).await;
    client.cancel().await.unwrap();
    call(&other, "describe", json!({ "input": "picture.png" })).await;
    assert!(matches!(
        handle.await_response().await,
        Err(ServiceError::TransportClosed | ServiceError::Cancelled { .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_full_says_so() {
    let bench = films();
    long_film(&bench);
    let (client, server) = connected(settings(&bench)).await;
    let first = long(&client).await;
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let params = request("describe", json!({ "input": "picture.png" }));
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        waiting.push(client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let other = beside(&server).await;
    fails(&other, "describe", json!({ "input": "picture.png" }), &["64 calls wait already"]).await;
    // The server may end while calls run and wait.
    server.finish();
    fails(&other, "describe", json!({ "input": "picture.png" }), &["the server is ending"]).await;
    drop((first, waiting));
}
