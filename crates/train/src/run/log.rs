//! The run's log, for people, programs and TensorBoard, and its pace.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;
use vljepa_data::atomic::write_atomically;

use super::events::Events;
use crate::checkpoint::read_if_there;
use crate::error::{Result, TrainError};
use crate::places::{EVENTS, METRICS};

/// `metrics.jsonl`: one object a line, flushed line by line; and beside it the same for TensorBoard.
pub(super) struct Log {
    path: PathBuf,
    file: fs::File,
    events: Events,
    events_path: PathBuf,
    events_file: fs::File,
}

impl Log {
    /// Opens the files of a run's folder for appending, without the lines of steps that are taken again, and without the evaluation
    /// of the finished model, which is made again. Gives what was written before, too.
    pub fn open(folder: &Path, step: u64, steps: u64) -> Result<(Self, Vec<Value>)> {
        let (path, events_path) = (folder.join(METRICS), folder.join(EVENTS));
        let mut lines = Vec::new();
        if let Some(old) = read_if_there(&path)? {
            let taken = |line: &&str| {
                let Ok(value) = serde_json::from_str::<Value>(line) else { return false };
                let last = |s: u64| value["final"] == true || (s + 1 == steps && value.get("validation").is_some());
                value["step"].as_u64().is_some_and(|s| s < step && !last(s))
            };
            let earlier: String = old.lines().filter(taken).flat_map(|line| [line, "\n"]).collect();
            write_atomically(&path, earlier.as_bytes())?;
            lines.extend(earlier.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()));
        }
        let seconds = lines.iter().rev().find_map(|line| line["seconds"].as_f64());
        let (mut events, mut records) = Events::begin(seconds.unwrap_or(0.0));
        lines.iter().for_each(|line| records.extend(events.of(line)));
        write_atomically(&events_path, &records)?;
        let open = |path: &Path| {
            let file = fs::OpenOptions::new().create(true).append(true).open(path);
            file.map_err(TrainError::io(path, "opening"))
        };
        Ok((Self { file: open(&path)?, events_file: open(&events_path)?, path, events, events_path }, lines))
    }

    pub fn write(&mut self, value: &Value) -> Result<()> {
        let add = |file: &mut fs::File, path: &Path, bytes: &[u8]| {
            file.write_all(bytes).and_then(|()| file.flush()).map_err(TrainError::io(path, "writing"))
        };
        add(&mut self.file, &self.path, format!("{value}\n").as_bytes())?;
        add(&mut self.events_file, &self.events_path, &self.events.of(value))
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
