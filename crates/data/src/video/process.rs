//! A program that is read through two pipes at once: pictures on its standard output, a listing of them on its standard error.
//!
//! Whatever the order in which it writes, neither pipe keeps it waiting for the other:
//!
//! * A thread for each pipe reads it into a queue; nobody else reads a pipe.
//! * The listing's queue never makes its thread wait: a line is eight bytes, and more than [`MAX_SAMPLES`] of them are an error.
//! * The pictures' queue holds [`AHEAD`] bytes. Where it is full, its thread waits, and so in the end does the program: it is
//!   read no faster than frames are asked for. Only while a line of the listing is waited for, what comes goes into a temporary
//!   file instead, of [`SPILL`] bytes at most.
//!
//! So the caller waits either for a line, and then both threads read on, or for pictures, and then their queue is empty and
//! both threads read on as well. While it waits for nothing, the program may wait for it. No cycle is left. In every wait a
//! program that writes no byte for as long as `patience` says is ended.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::samples::MAX_SAMPLES;

/// Bytes of pictures that are held in memory.
const AHEAD: usize = 32 << 20;
/// Bytes of pictures that are held on disk, where they come long before the listing.
const SPILL: u64 = 1 << 30;
/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// A line of the listing is far shorter; what is longer is taken in parts.
const MAX_LINE: u64 = 1 << 16;

/// Why a program is not read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It wrote nothing for that long, and was ended.
    Silent(Duration),
    /// It wrote that many bytes of pictures before it listed the first of them, and was ended.
    FarAhead(u64),
    /// It listed that many frames before it wrote the first of them, and was ended.
    ManyLines(usize),
    /// Reading failed.
    Failed(String),
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent(patience) => {
                write!(f, "it wrote nothing for {:.3} seconds and was ended", patience.as_secs_f64())
            }
            Self::FarAhead(bytes) => {
                write!(f, "it wrote {bytes} bytes of pictures and did not say when they are shown")
            }
            Self::ManyLines(count) => write!(f, "it listed {count} frames and did not write them"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// What a line says: the time of a frame, or something for `Listing`.
pub(super) trait Listing: Send + 'static {
    /// Takes in a line; the time of a frame in the listing's units, where it is one.
    fn line(&mut self, line: &str) -> Option<i64>;
}

struct State<L> {
    listing: L,
    times: VecDeque<i64>,
    pictures: VecDeque<Vec<u8>>,
    /// How much of the first of them was taken.
    taken: usize,
    /// Bytes in `pictures`.
    held: usize,
    /// What did not fit into `pictures`, and where of it is read and written; newer than all of `pictures`.
    spill: Option<File>,
    spill_read: u64,
    spill_written: u64,
    /// The caller waits for a line.
    wants_line: bool,
    pictures_end: bool,
    lines_end: bool,
    last_byte: Instant,
    stopped: Option<Stopped>,
    /// Nobody reads any more.
    closed: bool,
}

struct Shared<L> {
    state: Mutex<State<L>>,
    changed: Condvar,
}

impl<L> Shared<L> {
    fn lock(&self) -> MutexGuard<'_, State<L>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<L>>, time: Duration) -> MutexGuard<'a, State<L>> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Changes the state and wakes whoever waits.
    fn change(&self, change: impl FnOnce(&mut State<L>)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// The program at work. It is ended when this is dropped.
pub(super) struct Piped<L: Listing> {
    child: Child,
    shared: Arc<Shared<L>>,
    patience: Duration,
}

impl<L: Listing> Drop for Piped<L> {
    fn drop(&mut self) {
        self.shared.change(|state| state.closed = true);
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<L: Listing> Piped<L> {
    /// Starts a program; its standard output is read where `pictures` are asked for.
    pub fn start(command: &mut Command, pictures: bool, listing: L, patience: Duration) -> std::io::Result<Self> {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command.stdout(if pictures { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn()?;
        let state = State {
            listing,
            times: VecDeque::new(),
            pictures: VecDeque::new(),
            taken: 0,
            held: 0,
            spill: None,
            spill_read: 0,
            spill_written: 0,
            wants_line: false,
            pictures_end: !pictures,
            lines_end: false,
            last_byte: Instant::now(),
            stopped: None,
            closed: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // From here on the program is ended by dropping this, also where a thread cannot be started.
        let piped = Self { child, shared, patience };
        if let Some(stderr) = stderr {
            let shared = Arc::clone(&piped.shared);
            thread::Builder::new().name("listing".into()).spawn(move || read_lines(stderr, &shared))?;
        }
        if let Some(stdout) = stdout {
            let shared = Arc::clone(&piped.shared);
            thread::Builder::new().name("pictures".into()).spawn(move || read_pictures(stdout, &shared))?;
        }
        Ok(piped)
    }

    /// Waits until `ready` gives something, or the program says nothing for too long.
    fn until<T>(
        &mut self,
        line: bool,
        mut ready: impl FnMut(&mut State<L>) -> Option<Result<T, Stopped>>,
    ) -> Result<T, Stopped> {
        let began = Instant::now();
        let mut state = self.shared.lock();
        state.wants_line = line;
        self.shared.changed.notify_all();
        let outcome = loop {
            if let Some(outcome) = ready(&mut state) {
                break outcome;
            }
            if let Some(stopped) = &state.stopped {
                break Err(stopped.clone());
            }
            let silent = state.last_byte.max(began).elapsed();
            match self.patience.checked_sub(silent).filter(|left| !left.is_zero()) {
                Some(left) => state = self.shared.wait(state, left),
                None => break Err(Stopped::Silent(self.patience)),
            }
        };
        state.wants_line = false;
        drop(state);
        self.shared.changed.notify_all();
        if outcome.is_err() {
            let _ = self.child.kill();
        }
        outcome
    }

    /// Waits until the listing says what `find` looks for; `None` when the listing ends without it.
    pub fn await_listed<T>(&mut self, find: impl Fn(&L) -> Option<T>) -> Result<Option<T>, Stopped> {
        self.until(true, |state| match find(&state.listing) {
            Some(found) => Some(Ok(Some(found))),
            None => state.lines_end.then_some(Ok(None)),
        })
    }

    /// The time of the next frame in the listing's units; `None` when the listing ends.
    pub fn next_time(&mut self) -> Result<Option<i64>, Stopped> {
        self.until(true, |state| match state.times.pop_front() {
            Some(time) => Some(Ok(Some(time))),
            None => state.lines_end.then_some(Ok(None)),
        })
    }

    /// Reads until the buffer is full or the pictures end; how many bytes were read.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Stopped> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            let count = self.until(false, |state| match state.take(rest) {
                Ok(0) => state.pictures_end.then_some(Ok(0)),
                Ok(count) => Some(Ok(count)),
                Err(e) => Some(Err(Stopped::Failed(format!("reading its pictures failed: {e}")))),
            })?;
            if count == 0 {
                break;
            }
            filled += count;
        }
        Ok(filled)
    }

    /// Waits for the end of the listing, whose frames are no longer asked for, and of the program.
    pub fn finish(&mut self) -> Result<std::io::Result<ExitStatus>, Stopped> {
        self.until(true, |state| {
            state.times.clear();
            state.lines_end.then_some(Ok(()))
        })?;
        let deadline = Instant::now() + self.patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(Ok(status)),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
                Ok(None) => {
                    let _ = self.child.kill();
                    return Err(Stopped::Silent(self.patience));
                }
                Err(e) => return Ok(Err(e)),
            }
        }
    }

    /// Looks at what was listed so far.
    pub fn listing<T>(&self, look: impl FnOnce(&L) -> T) -> T {
        look(&self.shared.lock().listing)
    }
}

impl<L> State<L> {
    /// Takes pictures out, oldest first; 0 where none are there.
    fn take(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(chunk) = self.pictures.front() {
            let rest = &chunk[self.taken..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            self.taken += count;
            if count == rest.len() {
                self.pictures.pop_front();
                self.taken = 0;
            }
            self.held -= count;
            return Ok(count);
        }
        let left = self.spill_written - self.spill_read;
        let Some(file) = self.spill.as_mut().filter(|_| left > 0) else {
            return Ok(0);
        };
        file.seek(SeekFrom::Start(self.spill_read))?;
        let most = buffer.len().min(CHUNK).min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut buffer[..most])?;
        self.spill_read += most as u64;
        if self.spill_read == self.spill_written {
            (self.spill_read, self.spill_written) = (0, 0);
            file.set_len(0)?;
        }
        Ok(most)
    }

    fn spill(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let file = match &mut self.spill {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.seek(SeekFrom::Start(self.spill_written))?;
        file.write_all(bytes)?;
        self.spill_written += bytes.len() as u64;
        Ok(())
    }
}

fn read_pictures<L>(mut stdout: ChildStdout, shared: &Shared<L>) {
    let mut bytes = vec![0; CHUNK];
    loop {
        let count = match stdout.read(&mut bytes) {
            Ok(0) => return shared.change(|state| state.pictures_end = true),
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return shared.change(|state| state.stopped = Some(Stopped::Failed(e.to_string()))),
        };
        let mut state = shared.lock();
        state.last_byte = Instant::now();
        loop {
            if state.closed {
                return;
            }
            if state.spill_written == 0 && state.held < AHEAD {
                state.pictures.push_back(bytes[..count].to_vec());
                state.held += count;
                break;
            }
            if state.wants_line {
                if state.spill_written >= SPILL {
                    let ahead = state.spill_written + state.held as u64;
                    state.stopped = Some(Stopped::FarAhead(ahead));
                    state.closed = true;
                } else if let Err(e) = state.spill(&bytes[..count]) {
                    state.stopped = Some(Stopped::Failed(format!("holding its pictures on disk failed: {e}")));
                    state.closed = true;
                }
                break;
            }
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        shared.changed.notify_all();
    }
}

fn read_lines<L: Listing>(stderr: ChildStderr, shared: &Shared<L>) {
    let mut reader = BufReader::new(stderr);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut bytes) {
            Ok(1..) => {}
            _ => return shared.change(|state| state.lines_end = true),
        }
        let line = String::from_utf8_lossy(&bytes);
        let mut state = shared.lock();
        if state.closed {
            return;
        }
        state.last_byte = Instant::now();
        if let Some(time) = state.listing.line(&line) {
            if state.times.len() == MAX_SAMPLES {
                state.stopped = Some(Stopped::ManyLines(MAX_SAMPLES));
                state.closed = true;
            } else {
                state.times.push_back(time);
            }
        }
        drop(state);
        shared.changed.notify_all();
    }
}

/// Standard output and standard error of a short program, of each at most `most` bytes; `None` where it cannot be started or
/// does not end in time.
pub(super) fn output_of(command: &mut Command, most: u64, patience: Duration) -> Option<(Vec<u8>, Vec<u8>)> {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.ok()?;
    let collect = |pipe: Option<Box<dyn Read + Send>>| {
        let (sender, receiver) = mpsc::channel();
        let mut pipe = pipe?;
        let read = move || {
            let mut bytes = Vec::new();
            // The rest is read too, so that the program is not kept waiting.
            let _ = pipe.by_ref().take(most).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
            let _ = sender.send(bytes);
        };
        thread::Builder::new().name("probe".into()).spawn(read).ok()?;
        Some(receiver)
    };
    let out = collect(child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let err = collect(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let deadline = Instant::now() + patience;
    let wait = |receiver: mpsc::Receiver<Vec<u8>>| {
        receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    };
    let outputs = out.and_then(wait).zip(err.and_then(wait));
    let _ = child.kill();
    let _ = child.wait();
    outputs
}
