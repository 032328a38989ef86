//! Duration and rate of a file, by `ffprobe` where it stands beside `ffmpeg`, else as `ffmpeg -i` prints them.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::containers::Container;
use super::process::output_of;

/// Output beyond this is not looked at.
const MAX_OUTPUT: u64 = 1 << 20;

/// What both programs are told before the input, and the input: it is opened as this container and nothing else, and may name
/// no other file.
pub(super) fn input(container: Container, path: &Path) -> Vec<OsString> {
    let demuxer = container.demuxer;
    // `file:` keeps a name from being taken for an option or a network address.
    let mut input = OsString::from("file:");
    input.push(path);
    let told = ["-f", demuxer, "-format_whitelist", demuxer, "-protocol_whitelist", "file", "-i"];
    told.into_iter().map(OsString::from).chain([input]).collect()
}

/// A program that neither writes colours nor a report of its own.
pub(super) fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env("AV_LOG_FORCE_NOCOLOR", "1").env_remove("AV_LOG_FORCE_COLOR").env_remove("FFREPORT");
    command
}

/// Duration in seconds and frames a second.
pub(super) fn probe(
    ffmpeg: &Path,
    container: Container,
    path: &Path,
    track: usize,
    patience: Duration,
) -> (Option<f64>, Option<f64>) {
    let input = input(container, path);
    let mut ffprobe = program(&ffmpeg.with_file_name(format!("ffprobe{}", std::env::consts::EXE_SUFFIX)));
    let stream = format!("v:{track}");
    let facts = ["-v", "error", "-select_streams", &stream, "-show_streams", "-show_format", "-of", "json"];
    ffprobe.args(facts).args(&input);
    let answer = output_of(&mut ffprobe, MAX_OUTPUT, patience);
    if let Some(facts) = answer.and_then(|(json, _)| parse_probe(&json)) {
        return facts;
    }
    let mut facts = program(ffmpeg);
    facts.args(["-nostdin", "-hide_banner"]).args(&input);
    let answer = output_of(&mut facts, MAX_OUTPUT, patience);
    answer.map_or((None, None), |(_, log)| parse_log(&String::from_utf8_lossy(&log)))
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
