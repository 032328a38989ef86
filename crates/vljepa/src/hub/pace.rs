//! A body that comes too slowly is given up, instead of being waited for without end.

use std::fmt;
use std::io::Read;
use std::time::{Duration, Instant};

/// Fewest bytes a second, over a whole window of time.
const RATE: u64 = 1 << 10;

/// The error of a body that comes too slowly.
#[derive(Debug)]
pub(super) struct Slow {
    window: Duration,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fewer than {RATE} bytes a second for {} s", self.window.as_secs())
    }
}

impl std::error::Error for Slow {}

/// A reader that fails when fewer than [`RATE`] bytes a second came during a window of time.
pub(super) struct Paced<R> {
    inner: R,
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl<R> Paced<R> {
    pub(super) fn new(inner: R, window: Duration) -> Self {
        Self { inner, window, since: Instant::now(), bytes: 0 }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(out)?;
        self.bytes += n as u64;
        if n > 0 && self.since.elapsed() >= self.window {
            if self.bytes < RATE * self.window.as_secs() {
                return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, Slow { window: self.window }));
            }
            (self.since, self.bytes) = (Instant::now(), 0);
        }
        Ok(n)
    }
}
