//! The run's log and its pace.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use vljepa_data::atomic::write_atomically;

use crate::checkpoint::read_if_there;
use crate::error::{Result, TrainError};

/// `metrics.jsonl`: one object a line, flushed line by line.
pub(super) struct Log {
    path: PathBuf,
    file: fs::File,
}

impl Log {
    /// Opens the file for appending, without the lines of steps that are taken again, and without the evaluation after the
    /// last of all `steps`, which is made again.
    pub fn open(path: PathBuf, step: u64, steps: u64) -> Result<Self> {
        if let Some(old) = read_if_there(&path)? {
            let taken = |line: &&str| {
                let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { return false };
                let last = |s: u64| s + 1 == steps && value.get("validation").is_some();
                value["step"].as_u64().is_some_and(|s| s < step && !last(s))
            };
            let earlier: String = old.lines().filter(taken).flat_map(|line| [line, "\n"]).collect();
            write_atomically(&path, earlier.as_bytes())?;
        }
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self { file: file.map_err(TrainError::io(&path, "opening"))?, path })
    }

    pub fn write(&mut self, value: &serde_json::Value) -> Result<()> {
        self.file
            .write_all(format!("{value}\n").as_bytes())
            .and_then(|()| self.file.flush())
            .map_err(TrainError::io(&self.path, "writing"))
    }
}

/// Seconds per step, averaged over about the last twenty.
pub(super) struct Pace {
    last: Instant,
    average: Option<f64>,
}

impl Pace {
    pub fn new() -> Self {
        Self { last: Instant::now(), average: None }
    }

    /// Seconds since the last call, counted as one step.
    pub fn lap(&mut self) -> f64 {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        self.average = Some(self.average.map_or(seconds, |a| a + 0.05 * (seconds - a)));
        seconds
    }

    /// Leaves out what was done since the last call.
    pub fn skip(&mut self) {
        self.last = Instant::now();
    }

    pub fn seconds_per_step(&self) -> f64 {
        self.average.unwrap_or(f64::INFINITY).max(1e-9)
    }
}

/// Two places behind the point, for figures that are read by people.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
