//! Events to where they are wanted: a folder, a command, an address.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vljepa_data::atomic::write_atomically;
use vljepa_data::{Rgb8Image, encode_jpeg};

use super::alert::Event;
use crate::error::{Error, Result};
use crate::html::base64;

/// The list of events in a folder.
pub const EVENTS: &str = "events.jsonl";
/// Events that wait for a command or an address; further ones are dropped and counted.
const WAITING: usize = 64;
/// How long a command or an address may take for an event.
const PATIENCE: Duration = Duration::from_secs(60);
/// Quality of pictures.
const QUALITY: u8 = 85;

/// Where events go.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// A folder that gets a picture of each event, and [`EVENTS`] with a line for each.
    pub folder: Option<PathBuf>,
    /// A command line of the system's shell, run for each event with its JSON on standard input.
    pub command: Option<String>,
    /// An address that gets the JSON of each event by `POST`.
    pub address: Option<String>,
}

/// What could not be delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// Events that found no room because a command or an address was slow.
    pub dropped: u64,
    /// Events that a command or an address did not take.
    pub failed: u64,
    /// Why the first of these was not taken.
    pub why: Option<String>,
}

/// Delivers events. A folder has them when [`Self::send`] returns; a command and an address get them from a thread, so that a slow one does not
/// hold up the stream.
#[derive(Debug)]
pub struct Delivery {
    folder: Option<(PathBuf, File)>,
    count: u64,
    sender: Option<SyncSender<Value>>,
    thread: Option<JoinHandle<Undelivered>>,
    dropped: u64,
}

impl Delivery {
    /// Opens the folder, which is made where it is not there, and starts the thread where one is needed.
    ///
    /// # Errors
    /// A folder that cannot be made or written into, and an address that is none.
    pub fn new(targets: Targets) -> Result<Self> {
        let Targets { folder, command, address } = targets;
        if let Some(address) = address.as_deref().filter(|address| !is_address(address)) {
            let reason = format!("{address} is no address of http:// or https://");
            return Err(Error::argument("webhook", reason));
        }
        let folder = folder.map(|dir| open(&dir).map(|file| (dir, file))).transpose()?;
        let count = folder.as_ref().map_or(0, |(dir, _)| pictures(dir));
        let (mut sender, mut thread) = (None, None);
        if command.is_some() || address.is_some() {
            let (send, receive) = sync_channel::<Value>(WAITING);
            let run = move || {
                let mut undelivered = Undelivered::default();
                for event in receive {
                    let by_command = command.as_deref().map(|command| tell(command, &event));
                    let by_address = address.as_deref().map(|address| post(address, &event));
                    for fault in [by_command, by_address].into_iter().flatten().filter_map(std::result::Result::err) {
                        undelivered.failed += 1;
                        undelivered.why.get_or_insert(fault);
                    }
                }
                undelivered
            };
            thread = Some(std::thread::spawn(run));
            sender = Some(send);
        }
        Ok(Self { folder, count, sender, thread, dropped: 0 })
    }

    /// Delivers an event with the picture of its strongest moment, where there is one.
    ///
    /// # Errors
    /// A folder that cannot be written into, and a picture that cannot be encoded.
    pub fn send(&mut self, event: &Event, picture: Option<&Rgb8Image>) -> Result<()> {
        let jpeg = picture.map(|picture| encode_jpeg(picture, QUALITY)).transpose()?;
        let with = |picture: Option<String>| {
            json!({
                "text": event.text, "start_s": event.start_s, "end_s": event.end_s, "peak_s": event.peak_s, "score": event.score,
                "picture": picture,
            })
        };
        if let Some((dir, list)) = &mut self.folder {
            let name = match &jpeg {
                Some(jpeg) => {
                    self.count += 1;
                    let name = format!("event-{:06}.jpg", self.count);
                    write_atomically(&dir.join(&name), jpeg)?;
                    Some(name)
                }
                None => None,
            };
            let path = dir.join(EVENTS);
            let write = || {
                list.write_all(format!("{}\n", with(name)).as_bytes())?;
                list.sync_data()
            };
            write().map_err(Error::io(&path, "writing"))?;
        }
        if let Some(sender) = &self.sender {
            let url = jpeg.map(|jpeg| format!("data:image/jpeg;base64,{}", base64(&jpeg)));
            match sender.try_send(with(url)) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full(_)) => self.dropped += 1,
            }
        }
        Ok(())
    }

    /// Waits until everything is delivered, and says what was not.
    pub fn finish(mut self) -> Undelivered {
        drop(self.sender.take());
        let found = self.thread.take().map(JoinHandle::join);
        let ended = || Undelivered { failed: 1, why: Some("the thread that delivers has ended".into()), dropped: 0 };
        let found = found.map_or_else(Undelivered::default, |found| found.unwrap_or_else(|_| ended()));
        Undelivered { dropped: self.dropped, ..found }
    }
}

fn is_address(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

fn open(dir: &Path) -> Result<File> {
    std::fs::create_dir_all(dir).map_err(Error::io(dir, "creating"))?;
    let path = dir.join(EVENTS);
    if path.exists() && !path.is_file() {
        return Err(Error::content(path, "is no regular file; name another folder for the events"));
    }
    OpenOptions::new().append(true).create(true).open(&path).map_err(Error::io(&path, "opening"))
}

/// The greatest number of a picture that is there: further ones come after it.
fn pictures(dir: &Path) -> u64 {
    let number = |name: String| name.strip_prefix("event-")?.strip_suffix(".jpg")?.parse::<u64>().ok();
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten();
    names.filter_map(|entry| number(entry.file_name().into_string().ok()?)).max().unwrap_or(0)
}

fn shell(line: &str) -> Command {
    let (program, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut command = Command::new(program);
    command.arg(flag).arg(line);
    command
}

/// Runs a command with an event on standard input.
fn tell(line: &str, event: &Value) -> std::result::Result<(), String> {
    let mut command = shell(line);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("the command could not be run: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command need not read.
        let _ = stdin.write_all(event.to_string().as_bytes());
    }
    wait(&mut child)
}

fn wait(child: &mut Child) -> std::result::Result<(), String> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("the command failed: {status}")),
            Ok(None) if begun.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("the command took longer than {} s", PATIENCE.as_secs()));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(format!("the command could not be waited for: {error}")),
        }
    }
}

fn post(address: &str, event: &Value) -> std::result::Result<(), String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build();
    let agent = ureq::Agent::new_with_config(config);
    let sent = agent.post(address).header("content-type", "application/json").send(event.to_string());
    sent.map(drop).map_err(|error| format!("{address}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    fn event(text: &str) -> Event {
        Event { text: text.into(), start_s: 1.0, end_s: 2.0, peak_s: 1.5, score: 0.5 }
    }

    fn picture() -> Rgb8Image {
        Rgb8Image::new(4, 4, vec![90; 48]).unwrap()
    }

    #[test]
    fn a_folder_gets_a_line_and_a_picture_of_each_and_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("events");
        for _ in 0..2 {
            let mut delivery = Delivery::new(Targets { folder: Some(folder.clone()), ..Targets::default() }).unwrap();
            delivery.send(&event("a dog"), Some(&picture())).unwrap();
            delivery.send(&event("no picture"), None).unwrap();
            assert_eq!(delivery.finish(), Undelivered::default());
        }
        let lines: Vec<Value> = std::fs::read_to_string(folder.join(EVENTS))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!((lines.len(), &lines[0]["text"], &lines[1]["picture"]), (4, &json!("a dog"), &Value::Null));
        let names: Vec<&str> = lines.iter().filter_map(|line| line["picture"].as_str()).collect();
        assert_eq!(names, ["event-000001.jpg", "event-000002.jpg"]);
        assert!(names.iter().all(|name| vljepa_data::decode_file(folder.join(name), &Default::default()).is_ok()));
    }

    #[cfg(unix)]
    #[test]
    fn a_command_gets_the_event_and_its_failure_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("said");
        let command = format!("cat >> {}", out.display());
        let mut delivery = Delivery::new(Targets { command: Some(command), ..Targets::default() }).unwrap();
        delivery.send(&event("one"), Some(&picture())).unwrap();
        delivery.send(&event("two"), None).unwrap();
        assert_eq!(delivery.finish(), Undelivered::default());
        let said = std::fs::read_to_string(out).unwrap();
        assert!(
            said.contains("\"one\"") && said.contains("data:image/jpeg;base64,") && said.contains("\"two\""),
            "{said}"
        );
        let mut delivery = Delivery::new(Targets { command: Some("exit 3".into()), ..Targets::default() }).unwrap();
        delivery.send(&event("one"), None).unwrap();
        let undelivered = delivery.finish();
        assert!(
            undelivered.failed == 1 && undelivered.why.as_ref().is_some_and(|why| why.contains('3')),
            "{undelivered:?}"
        );
    }

    #[test]
    fn an_address_gets_the_event_and_an_answer_that_is_none_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/hook", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in ["200 OK", "500 Internal Server Error"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !String::from_utf8_lossy(&request).contains("\"text\"") {
                    let read = stream.read(&mut buffer).unwrap();
                    request.extend_from_slice(&buffer[..read]);
                }
                write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
                requests.push(String::from_utf8_lossy(&request).into_owned());
            }
            requests
        });
        let mut delivery = Delivery::new(Targets { address: Some(address), ..Targets::default() }).unwrap();
        delivery.send(&event("one"), None).unwrap();
        delivery.send(&event("two"), None).unwrap();
        let undelivered = delivery.finish();
        assert!(
            undelivered.failed == 1 && undelivered.why.as_ref().is_some_and(|why| why.contains("500")),
            "{undelivered:?}"
        );
        let requests = server.join().unwrap();
        assert!(requests[0].starts_with("POST /hook HTTP/1.1") && requests[0].contains("\"one\""), "{}", requests[0]);
        let error =
            Delivery::new(Targets { address: Some("ftp://x".into()), ..Targets::default() }).unwrap_err().to_string();
        assert!(error.contains("no address of http"), "{error}");
    }
}
