//! Answers of a hub, from a server in this process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use vljepa::hub::{PullEvent, PullOptions, RepoId, Revision, Settings, pull_with};

use crate::error::{Result, other};
use crate::mutate::Shape;
use crate::target::{Case, Stop, Target};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CONFIG: &str = "{\"model_type\": \"vjepa2\"}\n";
/// The name of `CONFIG` in Git.
const TAG: &str = "7aa0fe888c2826f040b67b5e35fb1fcca7a46876";

fn listing() -> String {
    format!(
        r#"{{"id":"org/tiny","sha":"{COMMIT}","siblings":[{{"rfilename":"config.json"}},{{"rfilename":"1_Pooling/config.json"}}]}}"#
    )
}

fn with_head(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn file() -> Vec<u8> {
    with_head(&format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{TAG}\"\r\nAccept-Ranges: bytes\r\n"), CONFIG.as_bytes())
}

/// Answers that the server gives: to a question for the listing, and to all others.
type Answers = Arc<Mutex<[Vec<u8>; 2]>>;

fn serve(listener: &TcpListener, answers: &Answers) {
    for stream in listener.incoming().flatten() {
        let _ = answer(stream, answers);
    }
}

fn answer(mut stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..count]);
    }
    let line = String::from_utf8_lossy(&request);
    let is_head = line.starts_with("HEAD");
    let bytes = match answers.lock() {
        Ok(answers) => answers[usize::from(!line.contains("/api/models/"))].clone(),
        Err(_) => return Ok(()),
    };
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    stream.write_all(if is_head { &bytes[..end] } else { &bytes })
}

/// A pull of a repository whose server gives each input as one of its answers.
fn pulls(folder: &Path, place: usize, answer: fn(&[u8]) -> Vec<u8>) -> Result<Case> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    let cache = folder.join("cache");
    // SAFETY: targets are prepared before this process has a second thread.
    unsafe {
        std::env::set_var("HF_ENDPOINT", &address);
        std::env::set_var("HF_HUB_CACHE", &cache);
        std::env::set_var("HF_HOME", folder.join("home"));
        std::env::set_var("HF_HUB_DOWNLOAD_TIMEOUT", "2");
        std::env::set_var("NO_PROXY", "127.0.0.1");
        std::env::remove_var("HF_TOKEN");
        std::env::remove_var("HF_HUB_OFFLINE");
    }
    let settings = Settings::from_env().map_err(other)?;
    let repo = RepoId::parse("org/tiny").map_err(other)?;
    let revision = Revision::parse("main").map_err(other)?;
    let answers: Answers = Arc::new(Mutex::new([with_head("", listing().as_bytes()), file()]));
    let served = Arc::clone(&answers);
    std::thread::spawn(move || serve(&listener, &served));
    Ok(Box::new(move |input| {
        if let Ok(mut answers) = answers.lock() {
            answers[place] = answer(input);
        }
        let _ = std::fs::remove_dir_all(&cache);
        let options = PullOptions { revision: revision.clone(), include: &[], exclude: &[], force: true };
        let _ = pull_with(&repo, &options, &settings, &mut |event| {
            if matches!(event, PullEvent::Retrying { .. }) {
                // The next attempt gets the same answer, after a wait.
                std::panic::resume_unwind(Box::new(Stop));
            }
        });
    }))
}

pub const LISTING: Target = Target {
    name: "listing",
    about: "a hub's list of files",
    shape: Shape::Json,
    megabytes: 160,
    seeds: || Ok(vec![listing().into_bytes()]),
    make: |folder| pulls(folder, 0, |input| with_head("", input)),
};

pub const HEADERS: Target = Target {
    name: "headers",
    about: "a hub's answer for a file: status, headers and body",
    shape: Shape::Bytes,
    megabytes: 160,
    seeds: || {
        let chunked = format!(
            "HTTP/1.1 200 OK\r\nX-Repo-Commit: {COMMIT}\r\nX-Linked-Etag: \"{TAG}\"\r\nX-Linked-Size: 25\r\nTransfer-Encoding: \
             chunked\r\n\r\n19\r\n{CONFIG}\r\n0\r\n\r\n"
        );
        let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nRateLimit: \"api\";r=0;t=1\r\nContent-Length: 0\r\n\r\n";
        Ok(vec![file(), chunked.into_bytes(), busy.as_bytes().to_vec()])
    },
    make: |folder| pulls(folder, 1, <[u8]>::to_vec),
};
