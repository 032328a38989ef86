//! All other formats, through the program `ffmpeg` (5.1 or later), in a process of its own.
//!
//! It is asked for two streams of one decoding: the frames as `rgb24` on its standard output, and FFmpeg's `framecrc` listing
//! on its standard error, so that no log has to be understood for a frame and its time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::containers::Container;
use super::ffprobe::{input, probe, program};
use super::listing::Listed;
use super::options::{Damaged, VideoOptions};
use super::process::{Piped, Stopped};
use super::samples::MAX_SAMPLES;
use super::source::{Facts, Pixels, Raw, Source, check_size};
use crate::decode::one_line;
use crate::{DataError, Limits, Rgb8Image};

const NAME: &str = "video";

/// How the program is run on one file.
struct Job {
    path: PathBuf,
    program: PathBuf,
    container: Container,
    track: usize,
    limits: Limits,
    patience: Duration,
    damaged: Damaged,
    /// The file's length, and what it should be by its own account, in bytes, where it is cut off.
    cut: Option<(u64, u64)>,
}

pub(super) struct Ffmpeg {
    job: Job,
    facts: Facts,
    run: Piped<Listed>,
    /// Number of the next frame.
    at: u64,
    notes: Vec<String>,
}

/// A file that is left to the program.
pub(super) struct Input<'a> {
    pub path: &'a Path,
    pub container: Container,
    /// Number of the video track, from 0.
    pub track: usize,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its first bytes.
    pub head: &'a [u8],
    /// Why it needs the program.
    pub why: &'a str,
}

impl Job {
    /// Starts the program; `frames` are on its standard output, or not asked for at all. Frames before `first` are decoded and
    /// left out, though listed: so the program is not silent for long.
    fn start(&self, first: u64, frames: bool) -> Result<Piped<Listed>, std::io::Error> {
        let mut command = program(&self.program);
        command.args(["-nostdin", "-hide_banner", "-v", "level+warning"]);
        command.args(["-max_pixels", &(self.limits.max_bytes / 4).min(i32::MAX as u64).to_string()]);
        command.args(input(self.container, &self.path));
        let map = format!("0:v:{}", self.track);
        let passed = ["-map", &map, "-fps_mode", "passthrough"];
        if frames {
            command.args(passed);
            if first > 0 {
                command.args(["-vf", &format!("select=gte(n\\,{first})")]);
            }
            command.args(["-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]);
        }
        command.args(passed).args(["-c:v", "rawvideo", "-flush_packets", "1", "-f", "framecrc", "pipe:2"]);
        Piped::start(&mut command, frames, Listed::default(), self.patience)
    }

    /// As [`Self::start`], where it was started before.
    fn restart(&self, first: u64, frames: bool) -> Result<Piped<Listed>, DataError> {
        self.start(first, frames).map_err(|e| DataError::Tool { program: "ffmpeg", reason: e.to_string() })
    }

    fn failed(&self, reason: &str) -> DataError {
        if reason.contains("exceeds specified max pixel count") {
            let (origin, max_bytes) = (self.path.display().to_string(), self.limits.max_bytes);
            return DataError::OverLimit { origin, format: NAME, max_bytes };
        }
        let reason = format!("ffmpeg: {}", one_line(reason));
        DataError::Corrupt { origin: self.path.display().to_string(), format: NAME, reason }
    }

    fn stopped(&self, stopped: Stopped) -> DataError {
        let reason = format!("{} on {}: {stopped}", self.program.display(), self.path.display());
        DataError::Tool { program: "ffmpeg", reason: one_line(&reason) }
    }

    /// What went wrong, once the output has ended; `None` where all went well.
    fn failure(&self, run: &mut Piped<Listed>) -> Result<Option<String>, DataError> {
        let status = run.finish().map_err(|stopped| self.stopped(stopped))?;
        Ok(match status {
            Ok(status) if status.success() => None,
            Ok(status) => {
                let said = run.listing(|listed| listed.cut.clone().or_else(|| listed.error.clone()));
                Some(said.unwrap_or_else(|| format!("it ended with {status}")))
            }
            Err(e) => Some(e.to_string()),
        })
    }

    /// What is not as the file says, once all frames were listed.
    fn notes(&self, run: &Piped<Listed>, facts: &Facts) -> Result<Vec<String>, DataError> {
        let (frames, last, cut, damage, inside) = run.listing(|listed| {
            let Listed { frames, cut, damage, damage_inside, .. } = listed;
            (*frames, listed.last(), cut.clone(), damage.clone(), damage_inside.clone())
        });
        let why = match (self.cut, cut) {
            (Some((len, whole)), _) => Some(format!("the file has {len} of {whole} bytes")),
            (None, Some(said)) => Some(format!("ffmpeg: {}", one_line(&said))),
            (None, None) => facts.duration.zip(last).and_then(|(announced, last)| {
                let end = last + facts.fps.map_or(0.0, f64::recip);
                // The sound may be longer than the pictures by a little.
                let short = announced - end > f64::max(0.5, announced / 10.0);
                short.then(|| format!("the pictures end at {end:.2} s, the file announces {announced:.2} s"))
            }),
        };
        if let Some(why) = why {
            let announced = facts.duration.zip(facts.fps).map(|(seconds, fps)| (seconds * fps).round() as u64);
            let of = announced.filter(|all| *all > frames).map_or_else(String::new, |all| format!(" of about {all}"));
            return Ok(vec![format!("cut off: {frames}{of} frames are there ({why})")]);
        }
        match (self.damaged, inside, damage) {
            (Damaged::Stop, Some(said), _) => Err(self.failed(&said)),
            (_, inside, Some(first)) => {
                let said = one_line(&inside.unwrap_or(first));
                Ok(vec![format!(
                    "damaged: the program ffmpeg put other pictures for what it could not decode ({said})"
                )])
            }
            (_, _, None) => Ok(Vec::new()),
        }
    }
}

impl Ffmpeg {
    pub fn open(input: &Input<'_>, options: &VideoOptions) -> Result<Self, DataError> {
        let Input { path, container, track, bytes, head, why } = *input;
        let missing = || DataError::NeedsFfmpeg { path: path.to_owned(), why: why.to_owned() };
        let program = options.ffmpeg.as_deref().ok_or_else(missing)?;
        let job = Job {
            path: path.to_owned(),
            program: program.to_owned(),
            container,
            track,
            limits: options.limits,
            patience: options.patience,
            damaged: options.damaged,
            cut: container.length(head).filter(|whole| bytes < *whole).map(|whole| (bytes, whole)),
        };
        let mut run = job.start(0, true).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => missing(),
            _ => DataError::Tool { program: "ffmpeg", reason: e.to_string() },
        })?;
        let size = run.await_listed(|listed| listed.size).map_err(|stopped| job.stopped(stopped))?;
        let Some(size) = size else {
            let reason = job.failure(&mut run)?.unwrap_or_else(|| "it finds no video in the file".to_owned());
            return Err(job.failed(&reason));
        };
        check_size(&path.display().to_string(), size, &job.limits)?;
        let (duration, fps) = probe(program, container, path, track, job.patience);
        let facts =
            Facts { format: "video by ffmpeg", size: Some(size), duration, frames: None, fps, missing_frames: 0 };
        Ok(Self { job, facts, run, at: 0, notes: Vec::new() })
    }

    /// The end of the pictures.
    fn end(&mut self) -> Result<Option<(Rgb8Image, f64)>, DataError> {
        match self.job.failure(&mut self.run)? {
            None => {
                self.notes = self.job.notes(&self.run, &self.facts)?;
                Ok(None)
            }
            Some(reason) => Err(self.job.failed(&reason)),
        }
    }

    fn frame(&mut self) -> Result<Option<(Rgb8Image, f64)>, DataError> {
        let stopped = |stopped| self.job.stopped(stopped);
        let Some((width, height)) = self.run.await_listed(|listed| listed.size).map_err(stopped)? else {
            return self.end();
        };
        check_size(&self.job.path.display().to_string(), (width, height), &self.job.limits)?;
        let mut data = vec![0; width as usize * height as usize * 3];
        match self.run.fill(&mut data).map_err(stopped)? {
            0 => return self.end(),
            read if read < data.len() => {
                let reason = self.job.failure(&mut self.run)?;
                return Err(self.job.failed(&reason.unwrap_or_else(|| "its last frame is cut off".into())));
            }
            _ => {}
        }
        let time = self.run.next_time().map_err(stopped)?;
        let time = time.ok_or_else(|| self.job.failed("it gave a frame without a time"))?;
        self.at += 1;
        let pts = self.run.listing(|listed| listed.seconds(time));
        Ok(Some((Rgb8Image::new(width, height, data)?, pts)))
    }
}

impl Source for Ffmpeg {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn next(&mut self) -> Result<Option<Raw>, DataError> {
        Ok(self.frame()?.map(|(rgb, pts)| Raw { pixels: Pixels::Rgb(rgb), pts }))
    }

    fn seek(&mut self, index: u64) -> Result<(), DataError> {
        // The program begins anew at the first frame. Forward that is done only where it at least doubles the place, for the frames before
        // it are then not handed over: so one pass over a file, wherever it stops, decodes no frame more than three times on average.
        if index < self.at || (index - self.at > 16 && index / 2 > self.at) {
            self.run = self.job.restart(index, true)?;
            for _ in 0..index {
                if self.run.next_time().map_err(|stopped| self.job.stopped(stopped))?.is_none() {
                    break;
                }
            }
            self.at = index;
        }
        while self.at < index && self.frame()?.is_some() {}
        Ok(())
    }

    fn scan(&mut self) -> Result<Vec<f64>, DataError> {
        let mut run = self.job.restart(0, false)?;
        let mut times = Vec::new();
        while let Some(time) = run.next_time().map_err(|stopped| self.job.stopped(stopped))? {
            if times.len() == MAX_SAMPLES {
                return Err(self.job.failed(&format!("the video has more than {MAX_SAMPLES} frames")));
            }
            times.push(run.listing(|listed| listed.seconds(time)));
        }
        match self.job.failure(&mut run)? {
            None => {
                self.notes = self.job.notes(&run, &self.facts)?;
                Ok(times)
            }
            Some(reason) => Err(self.job.failed(&reason)),
        }
    }
}
