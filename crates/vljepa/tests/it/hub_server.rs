//! A hub to test against: it answers as the real one does, with a store of large files at another port, and fails on request;
//! and an empty cache for its one repository.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::vljepa;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPO: &str = "org/tiny";
pub const CONFIG: &[u8] = b"{\"model_type\": \"vjepa2\"}\n";
/// `git hash-object` of [`CONFIG`].
pub const CONFIG_ETAG: &str = "7aa0fe888c2826f040b67b5e35fb1fcca7a46876";
pub const TOKEN: &str = "hf_SecretSecretSecret";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whether the store was asked, and not the hub.
    pub store: bool,
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

impl Seen {
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What to do instead of answering well.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Another status, with headers.
    Status(u16, Vec<(&'static str, String)>),
    /// All headers, that many bytes, and an end.
    Cut(usize),
    /// All headers, that many bytes, and silence.
    Stall(usize),
    /// A wrong byte.
    Corrupt,
    /// All of it, whatever range was asked for.
    Whole,
    /// Both: that many bytes from the start, whatever range was asked for.
    CutWhole(usize),
    /// Nothing at all.
    Hang,
    /// These headers in place of those of the same names.
    Headers(Vec<(&'static str, String)>),
    /// Another body.
    Body(String),
}

pub struct State {
    /// Name, content, whether it is in the store.
    pub files: BTreeMap<String, (Vec<u8>, bool)>,
    /// Names that are listed and not there.
    pub ghosts: Vec<String>,
    pub commit: String,
    pub revisions: Vec<String>,
    /// The token that is needed.
    pub token: Option<String>,
    /// Faults, each for the next request whose line holds the text.
    pub faults: VecDeque<(&'static str, Fault)>,
    pub seen: Vec<Seen>,
}

pub struct Hub {
    pub address: String,
    pub state: Arc<Mutex<State>>,
}

/// Bytes without a pattern that a shift would keep.
pub fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    let next = |_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 33) as u8
    };
    (0..len).map(next).collect()
}

pub fn etag(bytes: &[u8], lfs: bool) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    if lfs {
        hex(&Sha256::digest(bytes))
    } else {
        hex(&Sha1::digest([format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat()))
    }
}

impl Hub {
    /// A hub with one repository; files that end in `.safetensors`, `.pt` or `.bin` are in the store.
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let lfs = |name: &str| [".safetensors", ".pt", ".bin"].iter().any(|e| name.ends_with(e));
        let files = files.iter().map(|(n, b)| ((*n).to_owned(), (b.to_vec(), lfs(n)))).collect();
        let state = Arc::new(Mutex::new(State {
            files,
            ghosts: Vec::new(),
            commit: COMMIT.into(),
            revisions: vec!["main".into(), "refs/pr/1".into()],
            token: None,
            faults: VecDeque::new(),
            seen: Vec::new(),
        }));
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (hub, store) = (listen(), listen());
        let port = |l: &TcpListener| l.local_addr().unwrap().port();
        let (address, store_port) = (format!("http://127.0.0.1:{}", port(&hub)), port(&store));
        for (listener, is_store) in [(hub, false), (store, true)] {
            let state = state.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    // A client that leaves in the middle is no failure of the server.
                    std::thread::spawn(move || serve(stream, &state, is_store, store_port));
                }
            });
        }
        Self { address, state }
    }

    pub fn fault(&self, line: &'static str, fault: Fault) {
        self.state.lock().unwrap().faults.push_back((line, fault));
    }

    /// The requests since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>, store: bool, store_port: u16) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let get = |name: &str| headers.get(name).cloned();
    let seen = Seen { store, method, path, range: get("range"), authorization: get("authorization") };
    let (fault, mut reply) = {
        let mut state = state.lock().unwrap();
        state.seen.push(seen.clone());
        let line = seen.line();
        let at = state.faults.iter().position(|(part, _)| line.contains(part));
        let fault = at.and_then(|at| state.faults.remove(at)).map(|(_, f)| f);
        let reply = if store { state.stored(&seen) } else { state.answer(&seen, store_port) };
        (fault, reply)
    };
    let mut cut = None;
    match fault.clone() {
        Some(Fault::Status(status, headers)) => {
            reply = headers.into_iter().fold(Reply::new(status), |r, (n, v)| r.header(n, v));
        }
        Some(Fault::Headers(headers)) => reply = headers.into_iter().fold(reply, |r, (n, v)| r.header(n, v)),
        Some(Fault::Body(text)) => reply.body = text.into_bytes(),
        Some(Fault::Corrupt) => {
            let middle = reply.body.len() / 2;
            reply.body[middle] ^= 1;
        }
        Some(Fault::Cut(n) | Fault::CutWhole(n) | Fault::Stall(n)) => cut = Some(n),
        Some(Fault::Hang) => return Some(()),
        Some(Fault::Whole) | None => {}
    }
    if let Some(range) =
        seen.range.filter(|_| reply.status == 200 && !matches!(fault, Some(Fault::Whole | Fault::CutWhole(_))))
    {
        let from: usize = range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
        let len = reply.body.len();
        if from < len {
            reply.status = 206;
            reply.body.drain(..from);
            reply = reply.header("Content-Range", format!("bytes {from}-{}/{len}", len - 1));
        } else {
            reply = Reply::new(416).header("Content-Range", format!("bytes */{len}"));
        }
    }
    let length = reply.body.len();
    let mut head = format!("HTTP/1.1 {} Reason\r\nConnection: close\r\n", reply.status);
    if !reply.headers.iter().any(|(n, _)| n == "Content-Length") {
        head += &format!("Content-Length: {length}\r\n");
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = stream;
    stream.write_all((head + "\r\n").as_bytes()).ok()?;
    if seen.method != "HEAD" {
        stream.write_all(&reply.body[..cut.unwrap_or(length).min(length)]).ok()?;
        stream.flush().ok()?;
        if let Some(Fault::Stall(_)) = fault {
            // Until the client goes away.
            stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
            let _ = stream.read(&mut [0]);
        }
    }
    Some(())
}

impl State {
    fn answer(&self, seen: &Seen, store_port: u16) -> Reply {
        let given = seen.authorization.as_deref().and_then(|a| a.strip_prefix("Bearer "));
        if self.token.is_some() && given.is_some() && given != self.token.as_deref() {
            return Reply::new(401).header("X-Error-Message", "Invalid credentials in Authorization header");
        }
        if self.token.is_some() && given.is_none() {
            return Reply::new(401).header("X-Error-Code", "RepoNotFound");
        }
        if let Some(revision) = seen.path.strip_prefix(&format!("/api/models/{REPO}/revision/")) {
            let revision = revision.split('?').next().unwrap_or_default().replace("%2F", "/");
            if !self.revisions.contains(&revision) && revision != self.commit {
                return Reply::new(404).header("X-Error-Code", "RevisionNotFound");
            }
            let names = self.files.keys().chain(&self.ghosts);
            let siblings: Vec<_> = names.map(|n| json!({"rfilename": n})).collect();
            let body = json!({"_id": "1", "id": REPO, "sha": self.commit, "private": false, "siblings": siblings});
            return Reply { body: body.to_string().into_bytes(), ..Reply::new(200) };
        }
        if seen.path.starts_with(&format!("/api/models/{REPO}/tree/{}", self.commit)) {
            let entry = |(name, (bytes, lfs)): (&String, &(Vec<u8>, bool))| {
                let mut entry = json!({"type": "file", "oid": etag(bytes, false), "size": bytes.len(), "path": name});
                if *lfs {
                    entry["lfs"] = json!({"oid": etag(bytes, true), "size": bytes.len(), "pointerSize": 130});
                }
                entry
            };
            let entries: Vec<_> = self.files.iter().map(entry).collect();
            return Reply { body: json!(entries).to_string().into_bytes(), ..Reply::new(200) };
        }
        let resolved = format!("/{REPO}/resolve/{}/", self.commit);
        let cached = format!("/api/resolve-cache/models/{REPO}/{}/", self.commit);
        let by_name = |name: &str| self.files.get(&name.replace("%20", " "));
        let redirected = seen.path.strip_prefix(&cached);
        let Some(name) = seen.path.strip_prefix(&resolved).or(redirected) else {
            return Reply::new(404).header("X-Error-Code", "RepoNotFound");
        };
        let Some((bytes, lfs)) = by_name(name) else {
            return Reply::new(404).header("X-Error-Code", "EntryNotFound").header("X-Repo-Commit", &self.commit);
        };
        let tag = format!("\"{}\"", etag(bytes, *lfs));
        let reply = |status| Reply::new(status).header("X-Repo-Commit", &self.commit);
        if *lfs {
            return reply(302)
                .header("Location", format!("http://127.0.0.1:{store_port}/{}?signature=x%2Fy", etag(bytes, true)))
                .header("X-Linked-Etag", tag)
                .header("X-Linked-Size", bytes.len().to_string())
                .header("ETag", "\"of the redirect\"");
        }
        if redirected.is_none() {
            return reply(307).header("Location", format!("{cached}{name}")).header("X-Linked-Etag", &tag);
        }
        Reply { body: bytes.clone(), ..reply(200).header("ETag", tag) }
    }

    /// A store takes an authorization for an attack.
    fn stored(&self, seen: &Seen) -> Reply {
        let tag = seen.path.trim_start_matches('/').split('?').next().unwrap_or_default();
        let found = self.files.values().find(|(bytes, lfs)| *lfs && etag(bytes, true) == tag);
        match found {
            Some(_) if seen.authorization.is_some() => Reply::new(400),
            Some((bytes, _)) => Reply { body: bytes.clone(), ..Reply::new(200).header("ETag", "\"a store's own\"") },
            None => Reply::new(403),
        }
    }
}

/// A hub with a model, and an empty cache.
pub struct Fixture {
    pub hub: Hub,
    pub cache: TempDir,
    pub weights: Vec<u8>,
}

impl Fixture {
    pub fn new() -> Self {
        let weights = noise(300_001);
        let hub = Hub::new(&[
            (".gitattributes", b"*.safetensors filter=lfs\n"),
            ("1_Pooling/config.json", b"{}"),
            ("README.md", b"# Tiny\n"),
            ("config.json", CONFIG),
            ("model.safetensors", &weights),
            ("pytorch_model.bin", &noise(1000)),
            ("onnx/model.onnx", b"onnx"),
        ]);
        Self { hub, cache: tempfile::tempdir().unwrap(), weights }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        command(&self.hub.address, self.cache.path(), args)
    }

    /// Pulls, and gives the parsed document.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.command(&[args, &["--json"]].concat()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn repo(&self) -> PathBuf {
        self.cache.path().join("models--org--tiny")
    }

    pub fn snapshot(&self, name: &str) -> PathBuf {
        self.repo().join("snapshots").join(COMMIT).join(name)
    }

    pub fn incomplete(&self) -> PathBuf {
        self.repo().join("blobs").join(etag(&self.weights, true) + ".incomplete")
    }

    /// The requests since the last call, less what the store was asked.
    pub fn lines(&self) -> Vec<String> {
        self.hub.seen().iter().filter(|s| !s.store).map(Seen::line).collect()
    }
}

/// `vljepa pull` with nothing of this machine's own settings.
pub fn command(address: &str, cache: &Path, args: &[&str]) -> Command {
    let mut command = vljepa([&["pull"], args].concat());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        let ours = text.starts_with("HF_") || text.starts_with("HUGGING");
        if ours || text.ends_with("_PROXY") || text == "SSL_CERT_FILE" {
            command.env_remove(name);
        }
    }
    command.env("HF_ENDPOINT", address).env("HF_HOME", cache.join("home")).env("HF_HUB_CACHE", cache);
    command.timeout(Duration::from_secs(120));
    command
}

/// All below a folder: contents of files, `-> target` of links.
pub fn tree(folder: &Path) -> BTreeMap<String, String> {
    pub fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_symlink() {
                found.insert(name, format!("-> {}", std::fs::read_link(&path).unwrap().display()));
            } else if path.is_dir() {
                walk(&path, &format!("{name}/"), found);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found
                    .insert(name, String::from_utf8(bytes).unwrap_or_else(|e| format!("{} bytes", e.as_bytes().len())));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, "", &mut found);
    found
}

/// As [`fails`], with notes on stderr before the one line.
#[track_caller]
pub fn fails_after_notes(command: &mut Command, words: &[&str]) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty());
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && stderr.matches("error: ").count() == 1, "{stderr}");
    for word in words {
        assert!(last.contains(word), "no {word:?} in: {last}");
    }
}
