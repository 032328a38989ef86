//! A server on a free port, and a small client of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vljepa::embed::Model;
use vljepa::embed::folder::ModelFolder;
use vljepa::serve::{ServeOptions, Server, listen};
use vljepa_model::config::{VlJepaConfig, YDecoderConfig};

use crate::support::{Bench, config, tokenizer, write_weights};

/// A tiny model that takes questions and writes sentences.
pub fn bench() -> Bench {
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

pub fn model(bench: &Bench) -> Model {
    let folder = ModelFolder::open(&bench.path("model")).unwrap();
    Model::load(&vljepa::open_device("auto").unwrap(), &folder).unwrap()
}

/// A server that runs until it is dropped.
pub struct Running {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn new(bench: &Bench, options: ServeOptions) -> Self {
        Self::with(model(bench), options)
    }

    pub fn with(model: Model, options: ServeOptions) -> Self {
        let server = Server::new(model, options, &mut |note| panic!("{note}")).unwrap();
        let (listener, address) = listen("127.0.0.1", 0).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let wanted = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            server.run(listener, move || wanted.load(Ordering::SeqCst)).unwrap();
            server.finish();
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// Asks it to stop, without waiting for that.
    pub fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub fn get(&self, path: &str) -> Reply {
        request(self.address, "GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        let body = body.to_string();
        request(self.address, "POST", path, &[("content-type", "application/json")], body.as_bytes())
    }

    /// Sends a form; a field whose name begins with `@` is a file of that name.
    pub fn form(&self, path: &str, fields: &[(&str, &[u8])]) -> Reply {
        let (kind, body) = form(fields);
        request(self.address, "POST", path, &[("content-type", &kind)], &body)
    }

    /// Begins a stream, and waits until it is over.
    pub fn watch(&self, fields: &[(&str, &[u8])]) -> Value {
        let begun = self.form("/api/streams", fields);
        assert_eq!(begun.status, 201, "{}", begun.text());
        let id = begun.json()["stream"].as_str().unwrap().to_owned();
        self.wait(&id)
    }

    /// Waits until a stream is over, and tells what it is then.
    pub fn wait(&self, id: &str) -> Value {
        soon(|| Some(self.get(&format!("/api/streams/{id}")).json()).filter(|stream| stream["phase"] != "running"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ask_to_stop();
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

/// Waits for something that comes.
#[track_caller]
pub fn soon<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The type and the bytes of a form.
pub fn form(fields: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, bytes) in fields {
        let head = match name.strip_prefix('@') {
            Some(file) => format!("name=\"file\"; filename=\"{file}\"\r\nContent-Type: application/octet-stream"),
            None => format!("name=\"{name}\""),
        };
        body.extend(format!("--line\r\nContent-Disposition: form-data; {head}\r\n\r\n").bytes());
        body.extend(*bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--line--\r\n");
    ("multipart/form-data; boundary=line".into(), body)
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// A failure of the one shape: its status, type, field and message.
    #[track_caller]
    pub fn fault(&self) -> (u16, String, Value, String) {
        let body = self.json();
        let error = &body["error"];
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        let text = |name: &str| error[name].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
        let message = text("message");
        assert!(!message.is_empty() && !message.contains('\n') && error.as_object().unwrap().len() == 3, "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        (self.status, text("type"), error["param"].clone(), message)
    }
}

/// The bytes of a request.
pub fn bytes_of(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let has = |name: &str| headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !has("host") {
        text += &format!("host: {address}\r\n");
    }
    if !has("content-length") && !has("transfer-encoding") && (method == "POST" || !body.is_empty()) {
        text += &format!("content-length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

pub fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    // A server that refuses may not read to the end.
    let _ = stream.write_all(&bytes_of(address, method, path, headers, body));
    read_reply(&mut stream)
}

/// Reads an answer to its end.
#[track_caller]
pub fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
        panic!("no answer: {ended:?} {:?}", String::from_utf8_lossy(&bytes));
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = &bytes[head + 4..];
    Reply { status, body: if chunked { unchunked(body) } else { body.to_vec() }, headers }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = bytes.windows(2).position(|end| end == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        let Some(chunk) = bytes.get(end + 2..end + 2 + size) else { break };
        out.extend(chunk);
        bytes = &bytes[(end + 4 + size).min(bytes.len())..];
        if size == 0 {
            break;
        }
    }
    out
}

/// One event as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub id: Option<u64>,
    pub name: String,
    pub data: Value,
}

/// The events of an answer.
pub fn events(reply: &Reply) -> Vec<Told> {
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")), "{}", reply.text());
    parse_events(&reply.text())
}

pub fn parse_events(text: &str) -> Vec<Told> {
    let field = |part: &str, name: &str| {
        part.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    let whole = text.split_inclusive("\n\n").filter(|part| part.ends_with("\n\n"));
    let told = whole.filter_map(|part| {
        let data = field(part, "data")?;
        Some(Told {
            id: field(part, "id").map(|id| id.parse().unwrap()),
            name: field(part, "event").unwrap(),
            data: serde_json::from_str(&data).unwrap(),
        })
    });
    told.collect()
}

/// A stream of some seconds: grey, then a bar for three seconds, then grey again, ten frames a second.
pub fn scenes(seconds: usize) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W24 H16 F10:1 Cmono\n".to_vec();
    for i in 0..10 * seconds {
        bytes.extend(b"FRAME\n");
        let bar = (40..70).contains(&i);
        bytes.extend((0..384).map(|at| if bar && at % 24 < 12 { 220 } else { 60 }));
    }
    bytes
}

/// A data URL.
pub fn data_url(kind: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("data:{kind};base64,");
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, &b| w << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            text.push(if digit <= chunk.len() {
                DIGITS[(word >> (18 - 6 * digit) & 63) as usize] as char
            } else {
                '='
            });
        }
    }
    text
}
