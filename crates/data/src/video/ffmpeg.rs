//! All other formats, through the program `ffmpeg` (5.1 or later), in a process of its own.
//!
//! It is asked for two streams of one decoding: the frames as `rgb24` on its standard output, and FFmpeg's `framecrc` listing
//! (size, time base, a line a frame) on its standard error, so that no log has to be understood.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use super::source::{Facts, Pixels, Raw, Source, check_size};
use crate::decode::one_line;
use crate::file::fill;
use crate::{DataError, Limits, Rgb8Image};

const NAME: &str = "video";

pub(super) struct Ffmpeg {
    path: PathBuf,
    program: PathBuf,
    limits: Limits,
    facts: Facts,
    run: Run,
    /// Number of the next frame.
    at: u64,
}

/// A line of the listing, or an error message between its lines.
#[derive(Debug, PartialEq)]
enum Line {
    Size(u32, u32),
    /// Numerator and denominator of a unit of time in seconds.
    TimeBase(f64, f64),
    /// When a frame is shown, in those units.
    Frame(i64),
    Complaint(String),
}

fn parse_line(line: &str) -> Option<Line> {
    let pair = |text: &str, mark: char| {
        let (a, b) = text.split_once(mark)?;
        Some((a.trim().parse::<u32>().ok()?, b.trim().parse::<u32>().ok()?))
    };
    if let Some(rest) = line.strip_prefix('#') {
        let (key, value) = rest.split_once(':')?;
        return match key {
            "dimensions 0" => pair(value, 'x').map(|(width, height)| Line::Size(width, height)),
            "tb 0" => pair(value, '/').map(|(n, d)| Line::TimeBase(f64::from(n), f64::from(d.max(1)))),
            _ => None,
        };
    }
    // Stream, decoding time, display time, duration, bytes, checksum.
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    if let ["0", _, pts, _, _, sum, ..] = fields.as_slice()
        && let (Ok(pts), true) = (pts.parse(), sum.starts_with("0x"))
    {
        return Some(Line::Frame(pts));
    }
    let text = line.trim();
    (!text.is_empty()).then(|| Line::Complaint(text.to_owned()))
}

/// The program at work. It is ended when this is dropped.
struct Run {
    child: Child,
    frames: Option<BufReader<ChildStdout>>,
    lines: Receiver<Line>,
    size: Option<(u32, u32)>,
    time_base: (f64, f64),
    complaint: Option<String>,
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Run {
    /// Starts the program; `frames` are on its standard output, or not asked for at all. Frames before `first` are decoded and
    /// left out.
    fn start(program: &Path, path: &Path, first: u64, frames: bool) -> std::io::Result<Self> {
        let mut command = Command::new(program);
        // `file:` keeps a name from being taken for an option or a network address.
        let mut input = OsString::from("file:");
        input.push(path);
        command.args(["-nostdin", "-hide_banner", "-v", "error", "-i"]).arg(input);
        let mut output = |arguments: &[&str]| {
            command.args(["-map", "0:v:0", "-fps_mode", "passthrough"]);
            if first > 0 {
                command.args(["-vf", &format!("select=gte(n\\,{first})")]);
            }
            command.args(arguments);
        };
        if frames {
            output(&["-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]);
        }
        output(&["-c:v", "rawvideo", "-flush_packets", "1", "-f", "framecrc", "pipe:2"]);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command.stdout(if frames { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn()?;
        let (sender, lines) = channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || read_lines(stderr, |line| sender.send(line).is_ok()));
        }
        let frames = child.stdout.take().map(|stdout| BufReader::with_capacity(1 << 20, stdout));
        Ok(Self { child, frames, lines, size: None, time_base: (1.0, 1.0), complaint: None })
    }

    /// The time of the next frame in seconds; `None` when the listing ends.
    fn next_time(&mut self) -> Option<f64> {
        while let Ok(line) = self.lines.recv() {
            match line {
                Line::Frame(pts) => return Some(pts as f64 * self.time_base.0 / self.time_base.1),
                other => self.note(other),
            }
        }
        None
    }

    fn note(&mut self, line: Line) {
        match line {
            Line::Size(width, height) => self.size = Some((width, height)),
            Line::TimeBase(n, d) => self.time_base = (n, d),
            Line::Complaint(text) => self.complaint = Some(text),
            Line::Frame(_) => {}
        }
    }

    /// Waits for the size of the frames.
    fn await_size(&mut self) -> Option<(u32, u32)> {
        while self.size.is_none() {
            let line = self.lines.recv().ok()?;
            self.note(line);
        }
        self.size
    }

    /// What went wrong, once the output has ended; `None` where all went well.
    fn failure(&mut self) -> Option<String> {
        let status = self.child.wait();
        while let Ok(line) = self.lines.recv() {
            self.note(line);
        }
        match status {
            Ok(status) if status.success() => None,
            Ok(status) => Some(self.complaint.take().unwrap_or_else(|| format!("it ended with {status}"))),
            Err(e) => Some(e.to_string()),
        }
    }
}

fn read_lines(stderr: ChildStderr, mut send: impl FnMut(Line) -> bool) {
    let mut reader = BufReader::new(stderr);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match (&mut reader).take(1 << 16).read_until(b'\n', &mut bytes) {
            Ok(1..) => {}
            _ => return,
        }
        let line = parse_line(&String::from_utf8_lossy(&bytes));
        if line.is_some_and(|line| !send(line)) {
            return;
        }
    }
}

impl Ffmpeg {
    /// `why` says why the file needs the program, for the error where it is not installed.
    pub fn open(path: &Path, program: Option<&Path>, why: &str, limits: &Limits) -> Result<Self, DataError> {
        let missing = || DataError::NeedsFfmpeg { path: path.to_owned(), why: why.to_owned() };
        let program = program.ok_or_else(missing)?;
        let mut run = Run::start(program, path, 0, true).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => missing(),
            _ => DataError::Tool { program: "ffmpeg", reason: e.to_string() },
        })?;
        let Some(size) = run.await_size() else {
            let reason = run.failure().unwrap_or_else(|| "it finds no video in the file".to_owned());
            return Err(failed(path, &reason));
        };
        check_size(&path.display().to_string(), size, limits)?;
        let probed = probe(program, path);
        let facts = Facts {
            format: "video by ffmpeg",
            size: Some(size),
            duration: probed.0,
            frames: None,
            fps: probed.1,
            missing_frames: 0,
        };
        Ok(Self { path: path.to_owned(), program: program.to_owned(), limits: *limits, facts, run, at: 0 })
    }

    fn restart(&mut self, first: u64, frames: bool) -> Result<Run, DataError> {
        let run = Run::start(&self.program, &self.path, first, frames);
        run.map_err(|e| DataError::Tool { program: "ffmpeg", reason: e.to_string() })
    }

    fn frame(&mut self) -> Result<Option<(Rgb8Image, f64)>, DataError> {
        let Some((width, height)) = self.run.await_size() else {
            return match self.run.failure() {
                None => Ok(None),
                Some(reason) => Err(failed(&self.path, &reason)),
            };
        };
        check_size(&self.path.display().to_string(), (width, height), &self.limits)?;
        let mut data = vec![0; width as usize * height as usize * 3];
        let read = match &mut self.run.frames {
            Some(frames) => fill(frames, &mut data).map_err(DataError::io(&self.path, "decoding"))?,
            None => 0,
        };
        if read < data.len() {
            return match (read, self.run.failure()) {
                (0, None) => Ok(None),
                (_, reason) => Err(failed(&self.path, &reason.unwrap_or_else(|| "its last frame is cut off".into()))),
            };
        }
        let pts = self.run.next_time().ok_or_else(|| failed(&self.path, "it gave a frame without a time"))?;
        self.at += 1;
        Ok(Some((Rgb8Image::new(width, height, data)?, pts)))
    }
}

impl Source for Ffmpeg {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn next(&mut self) -> Result<Option<Raw>, DataError> {
        Ok(self.frame()?.map(|(rgb, pts)| Raw { pixels: Pixels::Rgb(rgb), pts }))
    }

    fn seek(&mut self, index: u64) -> Result<(), DataError> {
        // Reading on over a few frames is quicker than starting the program again.
        if index < self.at || index - self.at > 16 {
            self.run = self.restart(index, true)?;
            self.at = index;
        }
        while self.at < index && self.frame()?.is_some() {}
        Ok(())
    }

    fn scan(&mut self) -> Result<Vec<f64>, DataError> {
        let mut run = self.restart(0, false)?;
        let times = std::iter::from_fn(|| run.next_time()).collect();
        match run.failure() {
            None => Ok(times),
            Some(reason) => Err(failed(&self.path, &reason)),
        }
    }
}

fn failed(path: &Path, reason: &str) -> DataError {
    let reason = format!("ffmpeg: {}", one_line(reason));
    DataError::Corrupt { origin: path.display().to_string(), format: NAME, reason }
}

/// Duration in seconds and frames a second: by `ffprobe` where it stands beside `ffmpeg`, else as `ffmpeg -i` prints them.
fn probe(ffmpeg: &Path, path: &Path) -> (Option<f64>, Option<f64>) {
    let mut input = OsString::from("file:");
    input.push(path);
    let quiet =
        |command: &mut Command| command.stdin(Stdio::null()).output().ok().map(|output| (output.stdout, output.stderr));
    let mut ffprobe = Command::new(ffmpeg.with_file_name(format!("ffprobe{}", std::env::consts::EXE_SUFFIX)));
    ffprobe.args(["-v", "error", "-select_streams", "v:0", "-show_streams", "-show_format", "-of", "json"]).arg(&input);
    if let Some(facts) = quiet(&mut ffprobe).and_then(|(json, _)| parse_probe(&json)) {
        return facts;
    }
    let mut facts = Command::new(ffmpeg);
    facts.args(["-nostdin", "-hide_banner", "-i"]).arg(&input);
    quiet(&mut facts).map_or((None, None), |(_, log)| parse_log(&String::from_utf8_lossy(&log)))
}

fn parse_probe(json: &[u8]) -> Option<(Option<f64>, Option<f64>)> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    let stream = value.get("streams")?.get(0)?;
    let number = |value: Option<&serde_json::Value>| value?.as_str()?.parse::<f64>().ok().filter(|x| x.is_finite());
    let duration = number(stream.get("duration")).or_else(|| number(value.get("format")?.get("duration")));
    let rate = stream.get("avg_frame_rate").and_then(|rate| rate.as_str()?.split_once('/'));
    let rate = rate.and_then(|(n, d)| Some(n.parse::<f64>().ok()? / d.parse::<f64>().ok()?));
    Some((duration, rate.filter(|rate| rate.is_finite() && *rate > 0.0)))
}

fn parse_log(log: &str) -> (Option<f64>, Option<f64>) {
    let clock = log.split_once("Duration: ").and_then(|(_, rest)| rest.split(',').next());
    let duration = clock.and_then(|clock| {
        clock.trim().split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
    });
    let video = log.lines().find(|line| line.contains("Stream #") && line.contains("Video:"));
    let fps = video.and_then(|line| line.split(',').find_map(|part| part.trim().strip_suffix(" fps")?.parse().ok()));
    (duration, fps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings() {
        assert_eq!(parse_line("#dimensions 0: 640x272"), Some(Line::Size(640, 272)));
        assert_eq!(parse_line("#tb 0: 1001/30000"), Some(Line::TimeBase(1001.0, 30000.0)));
        assert_eq!(parse_line("#software: Lavf62.3.100"), None);
        assert_eq!(parse_line("0,         -1,          3,        1,   152064, 0x05b789ef"), Some(Line::Frame(3)));
        let complaint = "[h264 @ 0x55] error while decoding MB 3 4, bytestream -5";
        assert_eq!(parse_line(complaint), Some(Line::Complaint(complaint.to_owned())));
        assert_eq!(parse_line("  "), None);
    }

    #[test]
    fn facts_by_either_program() {
        let json = br#"{"streams":[{"avg_frame_rate":"30000/1001","duration":"4.004"}],"format":{"duration":"5.0"}}"#;
        assert_eq!(parse_probe(json), Some((Some(4.004), Some(30000.0 / 1001.0))));
        let json = br#"{"streams":[{"avg_frame_rate":"0/0"}],"format":{"duration":"5.5"}}"#;
        assert_eq!(parse_probe(json), Some((Some(5.5), None)));
        assert_eq!(parse_probe(br#"{"streams":[]}"#), None);
        let log = "  Duration: 01:00:05.31, start: 0.000000, bitrate: 1589 kb/s\n\
                   Stream #0:0[0x1](und): Video: vp8, yuv420p(tv, bt709), 640x360, 29.97 fps, 29.97 tbr, 1k tbn\n";
        assert_eq!(parse_log(log), (Some(3605.31), Some(29.97)));
        assert_eq!(parse_log("Duration: N/A, bitrate: N/A"), (None, None));
    }
}
