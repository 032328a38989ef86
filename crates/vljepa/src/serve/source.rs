//! Where the frames of a stream come from: a file that waits, a pipe or an address that does not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vljepa_data::video::{Damaged, Facts, Frame, VideoOptions, VideoReader};
use vljepa_data::{DataError, Limits};

use super::fault::{Fault, Result};
use super::media::Input;
use crate::error::Error;
use crate::stream::{Feed, Next};

/// Frames of a live source that wait for their turn.
const WAITING: usize = 64;
/// How often it is looked whether somebody wants a stream to stop.
const TICK: Duration = Duration::from_millis(100);
/// Widest frame that is asked of an address; the model sees far less.
const WIDTH: u32 = 640;

/// Addresses from which streams may be read: those that begin as one that the person who runs the server has named.
#[derive(Clone, Debug, Default)]
pub struct AllowedAddresses(Vec<Address>);

/// The parts of an address that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    scheme: String,
    /// With port, and without anything before an `@`.
    host: String,
    path: String,
}

/// Protocols of live streams that the program `ffmpeg` reads.
const SCHEMES: [&str; 6] = ["http", "https", "rtmp", "rtsp", "rtsps", "srt"];

impl Address {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let scheme = scheme.to_ascii_lowercase();
        // What stands before an @ would be sent to whoever the path leads to.
        let fits = plain && SCHEMES.contains(&scheme.as_str()) && !host.is_empty() && !host.contains('@');
        fits.then(|| Self { scheme, host: host.to_ascii_lowercase(), path: path.to_owned() })
    }

    /// Whether an address is this one or lies below it.
    fn holds(&self, other: &Self) -> bool {
        let climbs = |path: &str| {
            let path = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
            path.split(['?', '#']).next().unwrap_or_default().split('/').any(|part| part == "..")
        };
        let below = other.path.strip_prefix(&self.path).is_some_and(|rest| {
            rest.is_empty() || self.path.is_empty() || self.path.ends_with('/') || rest.starts_with(['/', '?', '#'])
        });
        self.scheme == other.scheme && self.host == other.host && below && !climbs(&other.path)
    }
}

impl AllowedAddresses {
    /// Whether a text is an address of a kind that may be allowed, rather than a path.
    pub fn is_address(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| {
            scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        })
    }

    /// Allows each of `addresses`, and what lies below it.
    ///
    /// # Errors
    /// A text that is no address of such a stream.
    pub fn new<S: AsRef<str>>(addresses: &[S]) -> crate::Result<Self> {
        let parse = |text: &S| {
            let text = text.as_ref();
            Address::parse(text).ok_or_else(|| {
                let reason = format!("{text} is no address of a stream: {}:// and a host", SCHEMES.join("://, "));
                Error::argument("allow", reason)
            })
        };
        Ok(Self(addresses.iter().map(parse).collect::<crate::Result<_>>()?))
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks an address that a client has given.
    pub(super) fn check(&self, text: &str) -> Result<()> {
        let known = Address::parse(text).is_some_and(|given| self.0.iter().any(|own| own.holds(&given)));
        let forbidden = axum::http::StatusCode::FORBIDDEN;
        let message = "this server may not read from there; the one who runs it allows addresses";
        if known { Ok(()) } else { Err(Fault::new(forbidden, message)) }
    }
}

/// Where a source is.
#[derive(Debug)]
pub(super) enum Place {
    /// A file, a folder of frames, or a pipe.
    Input(Input),
    /// An address that was checked.
    Address(String),
}

impl Place {
    /// What people call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Input(input) => &input.name,
            Self::Address(address) => address,
        }
    }

    /// Its path, and what messages call that.
    pub fn shown(&self) -> (PathBuf, String) {
        match self {
            Self::Input(input) => (input.path().to_path_buf(), input.name.clone()),
            Self::Address(address) => (address.into(), address.clone()),
        }
    }

    /// Opens it. Blocks, but for what is live.
    ///
    /// # Errors
    /// What is no video, and a program that is not there.
    pub fn open(self, fps: f64) -> Result<Source> {
        match self {
            Self::Input(input) => Source::open(input, fps),
            Self::Address(address) => Source::address(&address),
        }
    }
}

/// A source that is open, or opens on a thread of its own.
pub(super) enum Source {
    /// What waits until it is read. The file stays as long as its frames are read.
    File { reader: VideoReader, _input: Input },
    /// What does not wait.
    Live { feed: Feed, _stopper: Stopper },
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_live() { "Source::Live" } else { "Source::File" })
    }
}

/// Ends what a live source waits for.
#[derive(Debug)]
pub(super) enum Stopper {
    /// Somebody may have to open the other end of a pipe.
    Pipe(PathBuf),
    /// The program that reads an address.
    Program(Arc<Mutex<Option<Child>>>),
}

impl Drop for Stopper {
    fn drop(&mut self) {
        match self {
            #[cfg(unix)]
            Self::Pipe(path) => {
                use std::os::unix::fs::OpenOptionsExt;
                // Who waits to open a pipe for reading goes on when somebody opens it for writing. Where nobody waits, nothing happens.
                let _ = File::options().write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path);
            }
            #[cfg(not(unix))]
            Self::Pipe(_) => {}
            Self::Program(child) => {
                if let Some(mut child) = child.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        }
    }
}

impl Source {
    /// Opens a file, a folder of frames at `fps`, or a pipe.
    fn open(input: Input, fps: f64) -> Result<Self> {
        let path = input.path().to_path_buf();
        if is_pipe(&path) {
            let at = path.clone();
            let open = move || {
                let file =
                    File::open(&at).map_err(|source| DataError::Io { path: at.clone(), action: "opening", source })?;
                VideoReader::from_stream(&at.display().to_string(), Box::new(file), fps, &Limits::default())
            };
            return Ok(Self::Live { feed: Feed::new(WAITING, open), _stopper: Stopper::Pipe(path) });
        }
        let options = VideoOptions { folder_fps: fps, damaged: Damaged::Conceal, ..VideoOptions::default() };
        let reader = VideoReader::open_with(&path, &options)
            .map_err(|error| Fault::from(error).of_media().named(&path, &input.name))?;
        Ok(Self::File { reader, _input: input })
    }

    /// Reads an address through the program `ffmpeg`.
    fn address(address: &str) -> Result<Self> {
        let mut child = program(address).spawn().map_err(|error| {
            Fault::unavailable(format!("addresses are read by the program ffmpeg, which cannot be started: {error}"))
        })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let said = Arc::new(Mutex::new(String::new()));
        if let Some(stderr) = stderr {
            let said = Arc::clone(&said);
            std::thread::spawn(move || keep_first_line(stderr, &said));
        }
        let child = Arc::new(Mutex::new(Some(child)));
        let name = address.to_owned();
        let open = move || {
            let broken = |reason: String| DataError::Content { path: PathBuf::from(&name), reason };
            let Some(stdout) = stdout else { return Err(broken("the program ffmpeg gives nothing".into())) };
            let opened = VideoReader::from_y4m(&name, Box::new(stdout), &Limits::default());
            opened.map_err(|error| {
                let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if said.is_empty() { error } else { broken(format!("cannot be read: {said}")) }
            })
        };
        Ok(Self::Live { feed: Feed::new(WAITING, open), _stopper: Stopper::Program(child) })
    }

    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live { .. })
    }

    /// What is known of it before it is read.
    pub fn facts(&self) -> Option<&Facts> {
        match self {
            Self::File { reader, .. } => Some(reader.facts()),
            Self::Live { .. } => None,
        }
    }

    /// The time of the last frame after the first, in seconds, where that is less than `most`; `None` of a longer source, and of one that does not
    /// wait.
    ///
    /// # Errors
    /// A file that cannot be read from its start again.
    pub fn last(&mut self, most: f64) -> Result<Option<f64>> {
        let Self::File { reader, .. } = self else { return Ok(None) };
        if reader.facts().duration.is_some_and(|duration| duration > 2.0 * most) {
            return Ok(None);
        }
        let (mut first, mut last) = (None, None);
        // A fault is told when the source is watched.
        while let Ok(Some(frame)) = reader.next_frame() {
            let passed = frame.pts - *first.get_or_insert(frame.pts);
            last = Some(passed);
            if passed.is_nan() || passed >= most {
                last = None;
                break;
            }
        }
        reader.seek(0)?;
        Ok(last)
    }

    /// The next frame; `None` after the last, and when `stop` says so.
    ///
    /// # Errors
    /// What reading reports.
    pub fn next(&mut self, stop: impl Fn() -> bool) -> Result<Option<Frame>, DataError> {
        loop {
            if stop() {
                return Ok(None);
            }
            match self {
                Self::File { reader, .. } => return reader.next_frame(),
                Self::Live { feed, .. } => match feed.next_within(TICK)? {
                    Next::Frame(frame) => return Ok(Some(frame)),
                    Next::Ended => return Ok(None),
                    Next::Nothing => {}
                },
            }
        }
    }

    /// What is to be known of it, as far as it was read.
    pub fn notes(&self) -> Vec<String> {
        match self {
            Self::File { reader, .. } => reader.notes(),
            Self::Live { .. } => Vec::new(),
        }
    }

    /// Frames that came faster than they were seen.
    pub fn dropped(&self) -> u64 {
        match self {
            Self::File { .. } => 0,
            Self::Live { feed, .. } => feed.dropped(),
        }
    }
}

fn is_pipe(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// The program, told to open `address` and nothing of this machine's own files.
fn program(address: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error"]);
    command.args(["-protocol_whitelist", "http,https,httpproxy,tcp,tls,udp,rtp,rtmp,rtsp,srt,crypto,hls"]);
    let lower = address.to_ascii_lowercase();
    if lower.starts_with("rtsp") {
        command.args(["-rtsp_transport", "tcp"]);
    }
    if lower.starts_with("http") {
        // A film comes faster than it is seen; as a stream it comes as it would be shown.
        command.arg("-re");
    }
    let scale = format!("scale='min({WIDTH},iw)':-2");
    command.args(["-i", address, "-an", "-sn", "-dn", "-vf", &scale, "-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "-"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Reads until the end what a program says, so that it never waits for a reader, and keeps the first line: it says what is wrong, and
/// others follow from that.
fn keep_first_line(stderr: impl Read, said: &Mutex<String>) {
    let (mut reader, mut line) = (BufReader::new(stderr), Vec::new());
    loop {
        line.clear();
        let Ok(1..) = reader.by_ref().take(4096).read_until(b'\n', &mut line) else { return };
        let text: String = String::from_utf8_lossy(&line).trim().chars().take(300).collect();
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_empty() {
            *said = text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_were_named_and_what_lies_below() {
        let allowed = AllowedAddresses::new(&["rtsp://cam.local:554/door", "http://films.example/live/"]).unwrap();
        for good in [
            "rtsp://cam.local:554/door",
            "RTSP://CAM.local:554/door/low",
            "rtsp://cam.local:554/door?q=1",
            "http://films.example/live/a.m3u8",
            "http://films.example/live/",
        ] {
            assert!(allowed.check(good).is_ok(), "{good}");
        }
        for bad in [
            "rtsp://cam.local:554/door2",
            "rtsp://cam.local/door",
            "rtsp://cam.local:554@evil.example/door",
            "rtsp://user:secret@cam.local:554/door",
            "http://cam.local:554/door",
            "http://films.example/live/../secret",
            "http://films.example/live/%2e%2E/secret",
            "http://films.example/live/..%2Fsecret",
            "http://films.example.evil.example/live/",
            "http://films.example/live",
            "http://films.example\\@evil.example/live/",
            "file:///etc/passwd",
            "concat:a|b",
            "http:///live/",
            "",
        ] {
            assert_eq!(allowed.check(bad).unwrap_err().status(), 403, "{bad}");
        }
        assert!(AllowedAddresses::default().check("http://films.example/live/a").is_err());
        let any = AllowedAddresses::new(&["http://films.example"]).unwrap();
        assert!(any.check("http://films.example/a").is_ok() && any.check("http://films.example:81/a").is_err());
        for none in ["file:///tmp", "films", "http://", "rtsp://a b/"] {
            assert!(AllowedAddresses::new(&[none]).is_err(), "{none}");
        }
        assert!(AllowedAddresses::is_address("rtsp://a") && !AllowedAddresses::is_address("C://films"));
        assert!(!AllowedAddresses::is_address("/films/a://b"));
    }
}
