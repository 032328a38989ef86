//! What is left to the program `ffmpeg`: by programs in its place, and by itself where it is installed.

#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use vljepa_data::video::{Damaged, VideoOptions, VideoReader};
use vljepa_data::{DataError, Limits};

use crate::video::{fixture, with_empty_tracks};

/// A program in ffmpeg's place, which answers as FFmpeg 9.0.2 does.
fn stand_in(dir: &Path, body: &str) -> VideoOptions {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join("ffmpeg");
    std::fs::write(&path, format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{}/calls'\n{body}", dir.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    VideoOptions { ffmpeg: Some(path), ..VideoOptions::default() }
}

const TALK: &str = r##"
case "$*" in
  *pipe:2*) ;;
  *) echo "  Duration: 00:00:02.50, start: 0.0" >&2; echo "  Stream #0:0: Video: vp8, 2x1, 25 fps, 25 tbr" >&2; exit 1;;
esac
printf '#software: Lavf62\n#tb 0: 1/1000\n#media_type 0: video\n#codec_id 0: rawvideo\n#dimensions 0: 2x1\n' >&2
first=0
case "$*" in *"select=gte(n"*) first=$(printf '%s' "$*" | sed 's/.*gte(n\\,\([0-9]*\)).*/\1/');; esac
n=0
while [ $n -lt 30 ]; do
  case "$*" in *pipe:1*) [ $n -lt $first ] || printf 'abcde%b' "\\0$(printf %o $((n + 65)))";; esac
  printf '0, %d, %d, 40, 6, 0x12345678\n' $((n * 40)) $((n * 40 + 7)) >&2
  n=$((n + 1))
done
"##;

#[test]
fn a_program_reads_what_we_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let options = stand_in(dir.path(), TALK);
    let mut reader = VideoReader::open_with(fixture("odd.mkv"), &options).unwrap();
    let facts = reader.facts().clone();
    assert_eq!((facts.size, facts.duration, facts.fps, facts.frames), (Some((2, 1)), Some(2.5), Some(25.0), None));
    let first = reader.next_frame().unwrap().unwrap();
    assert_eq!((first.rgb.data.as_slice(), first.pts), (&b"abcdeA"[..], 0.007));
    let picked = reader.frames(&[29, 3, 29, 20]).unwrap();
    let last: Vec<u8> = picked.iter().map(|frame| frame.rgb.data[5] - 65).collect();
    assert_eq!(last, [29, 3, 29, 20]);
    assert!((picked[0].pts - 1.167).abs() < 1e-9);
    assert_eq!(reader.count().unwrap(), 30);
    assert!(reader.frames(&[30]).is_err());
    let calls = std::fs::read_to_string(dir.path().join("calls")).unwrap();
    let line = calls.lines().next().unwrap();
    assert!(line.contains("-nostdin") && line.contains("-i file:") && line.contains("-pix_fmt rgb24"), "{line}");
}

#[test]
fn a_pass_over_many_places_starts_the_program_few_times() {
    let dir = tempfile::tempdir().unwrap();
    let options = stand_in(dir.path(), &TALK.replace("-lt 30", "-lt 60"));
    let mut reader = VideoReader::open_with(fixture("odd.mkv"), &options).unwrap();
    // More than 16 frames lie between these.
    let picked = reader.frames(&[0, 19, 38, 57]).unwrap();
    assert_eq!(picked.iter().map(|frame| frame.rgb.data[5] - 65).collect::<Vec<_>>(), [0, 19, 38, 57]);
    let starts = |calls: &str| calls.lines().filter(|line| line.contains("pipe:1")).count();
    // When it was opened, for frame 19, and for none after that.
    assert_eq!(starts(&calls(dir.path())), 2);
    reader.seek(2).unwrap();
    assert_eq!(starts(&calls(dir.path())), 3, "it goes backwards from its start alone");
}

#[test]
fn a_program_that_fails_is_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let options = stand_in(dir.path(), "echo 'odd.mkv: Invalid data found when processing input' >&2; exit 187\n");
    let error = VideoReader::open_with(fixture("odd.mkv"), &options).unwrap_err().to_string();
    assert!(error.contains("odd.mkv") && error.contains("ffmpeg: odd.mkv: Invalid data found"), "{error}");
    // It dies within the second frame.
    let body = "printf '#tb 0: 1/25\\n#dimensions 0: 2x1\\n0, 0, 0, 1, 6, 0x1\\n' >&2; printf abcdefghi; exit 3\n";
    let options = stand_in(dir.path(), body);
    let mut reader = VideoReader::open_with(fixture("odd.mkv"), &options).unwrap();
    assert!(reader.next_frame().unwrap().is_some());
    assert!(reader.next_frame().unwrap_err().to_string().contains("ended with"));
    let limits = Limits { max_side: 1, ..Limits::default() };
    let small = VideoOptions { limits, ..options };
    assert!(matches!(VideoReader::open_with(fixture("odd.mkv"), &small), Err(DataError::TooLarge { .. })));
}

fn read_all(path: &Path, options: &VideoOptions) -> Result<(usize, Vec<String>), DataError> {
    let mut reader = VideoReader::open_with(path, options)?;
    let mut frames = 0;
    while reader.next_frame()?.is_some() {
        frames += 1;
    }
    Ok((frames, reader.notes()))
}

/// 30 frames of 1024 x 1024: more than is held in memory.
const LARGE: &str = r##"
pictures() { case "$*" in *pipe:1*) head -c 94371840 /dev/zero;; esac; }
listing() {
  printf '#tb 0: 1/10\n#dimensions 0: 1024x1024\n' >&2
  n=0; while [ $n -lt 30 ]; do printf '0, %d, %d, 1, 3145728, 0x12345678\n' $n $n >&2; n=$((n + 1)); done
}
case "$*" in *pipe:2*) ;; *) exit 1;; esac
"##;

#[test]
fn neither_pipe_waits_for_the_other() {
    let dir = tempfile::tempdir().unwrap();
    for order in ["pictures \"$*\"; listing", "listing; pictures \"$*\"", "pictures \"$*\" & listing; wait"] {
        let options = stand_in(dir.path(), &format!("{LARGE}{order}\n"));
        let mut reader = VideoReader::open_with(fixture("odd.mkv"), &options).unwrap();
        for index in 0..30 {
            let frame = reader.next_frame().unwrap().unwrap();
            assert_eq!((frame.rgb.data.len(), frame.pts), (3 << 20, f64::from(index) / 10.0), "{order}");
        }
        assert!(reader.next_frame().unwrap().is_none(), "{order}");
        assert_eq!(reader.count().unwrap(), 30, "{order}");
    }
}

#[test]
fn a_silent_program_is_ended_and_named() {
    assert_eq!(VideoOptions::default().patience, Duration::from_secs(60));
    let dir = tempfile::tempdir().unwrap();
    let listed = "printf '#tb 0: 1/25\\n#dimensions 0: 2x1\\n0, 0, 0, 1, 6, 0x1\\n' >&2";
    // At once; after a frame; after its pictures, but not its listing; with its pipes closed.
    for body in [
        "exec sleep 600\n",
        &format!("{listed}; printf abcdef; exec sleep 600\n"),
        "printf '#tb 0: 1/25\\n#dimensions 0: 2x1\\n' >&2; printf abcdef; exec sleep 600\n",
        &format!("{listed}; printf abcdef; exec sleep 600 >&- 2>&-\n"),
    ] {
        let options = VideoOptions { patience: Duration::from_millis(400), ..stand_in(dir.path(), body) };
        let began = Instant::now();
        let error = read_all(&fixture("odd.mkv"), &options).unwrap_err().to_string();
        assert!(began.elapsed() < Duration::from_secs(20), "{body}: {:?}", began.elapsed());
        let program = options.ffmpeg.unwrap().display().to_string();
        let words = [&program, "odd.mkv", "wrote nothing for 0.400 seconds"];
        assert!(words.iter().all(|word| error.contains(word)) && !error.contains('\n'), "{body}: {error}");
    }
    // What is read slowly by us is not silent: it waits for us.
    let body = format!("{LARGE}listing; pictures \"$*\"\n");
    let options = VideoOptions { patience: Duration::from_millis(600), ..stand_in(dir.path(), &body) };
    let mut reader = VideoReader::open_with(fixture("odd.mkv"), &options).unwrap();
    std::thread::sleep(Duration::from_millis(900));
    for _ in 0..30 {
        assert!(reader.next_frame().unwrap().is_some());
    }
}

fn calls(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("calls")).unwrap_or_default()
}

#[test]
fn only_containers_are_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let options = stand_in(dir.path(), TALK);
    let secret = dir.path().join("secret.ts");
    std::fs::write(&secret, "0123456789").unwrap();
    let secret = secret.display();
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{secret}\n#EXT-X-ENDLIST\n");
    let concat = format!("ffconcat version 1.0\nfile '{secret}'\n");
    let dash = format!("<?xml version=\"1.0\"?><MPD><BaseURL>{secret}</BaseURL></MPD>");
    for (name, content) in [("hls.mkv", &hls), ("concat.avi", &concat), ("dash.mp4", &dash), ("text.mov", &"x".into())]
    {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = VideoReader::open_with(&path, &options).unwrap_err();
        assert!(matches!(error, DataError::Content { .. }) && error.to_string().contains(name), "{error}");
    }
    assert_eq!(calls(dir.path()), "");
    let input = "-f matroska -format_whitelist matroska -protocol_whitelist file -i file:";
    read_all(&fixture("odd.mkv"), &options).unwrap();
    assert!(calls(dir.path()).lines().count() >= 2 && calls(dir.path()).lines().all(|line| line.contains(input)));
    std::fs::remove_file(dir.path().join("calls")).unwrap();
    read_all(&fixture("hevc.mp4"), &options).unwrap();
    assert!(calls(dir.path()).lines().all(|line| line.contains("-f mov -format_whitelist mov ")));
}

#[test]
fn what_is_cut_off_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.mkv");
    let whole = std::fs::read(fixture("odd.mkv")).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let options = stand_in(dir.path(), TALK);
    let (frames, notes) = read_all(&path, &options).unwrap();
    let bytes = format!("the file has {} of {} bytes", whole.len() / 2, whole.len());
    assert_eq!((frames, notes), (30, vec![format!("cut off: 30 of about 63 frames are there ({bytes})")]));
    let mut reader = VideoReader::open_with(&path, &options).unwrap();
    assert_eq!((reader.notes(), reader.count().unwrap()), (vec![], 30));
    assert_eq!(reader.notes().len(), 1);
    // By FFmpeg's words, and by the time that the file announces (2.5 s, of which 1.2 are there).
    let path = fixture("odd.mkv");
    let said = "echo '[matroska,webm @ 0x55] [error] File ended prematurely' >&2\n";
    let (_, notes) = read_all(&path, &stand_in(dir.path(), &format!("{TALK}{said}"))).unwrap();
    assert_eq!(notes, ["cut off: 30 of about 63 frames are there (ffmpeg: matroska,webm: File ended prematurely)"]);
    let (_, notes) = read_all(&path, &stand_in(dir.path(), TALK)).unwrap();
    assert_eq!(
        notes[0],
        "cut off: 30 of about 63 frames are there (the pictures end at 1.21 s, the file announces 2.50 s)"
    );
    let (_, notes) = read_all(&path, &stand_in(dir.path(), &TALK.replace("02.50", "01.30"))).unwrap();
    assert_eq!(notes, [""; 0]);
}

#[test]
fn damage_is_refused_or_said() {
    let dir = tempfile::tempdir().unwrap();
    let said = "echo '[vist#0:0/h264 @ 0x55] [dec:h264 @ 0x56] [warning] corrupt decoded frame' >&2\n";
    let body = format!("{TALK}{said}").replace("02.50", "01.30");
    let stop = stand_in(dir.path(), &body);
    let error = read_all(&fixture("odd.mkv"), &stop).unwrap_err().to_string();
    assert!(error.contains("odd.mkv") && error.contains("ffmpeg: dec:h264: corrupt decoded frame"), "{error}");
    assert!(VideoReader::open_with(fixture("odd.mkv"), &stop).unwrap().count().is_err());
    let conceal = VideoOptions { damaged: Damaged::Conceal, ..stop };
    let (frames, notes) = read_all(&fixture("odd.mkv"), &conceal).unwrap();
    assert_eq!((frames, notes.len()), (30, 1));
    assert!(notes[0].starts_with("damaged: ") && notes[0].contains("corrupt decoded frame"), "{notes:?}");
}

/// The program itself, where it is installed.
fn installed() -> Option<VideoOptions> {
    let found = Command::new("ffmpeg").arg("-version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("ffmpeg is not installed: skipped");
    }
    found.then(VideoOptions::default)
}

/// Makes a video of 40 frames in four seconds.
fn make(path: PathBuf, size: &str, arguments: &str) -> PathBuf {
    let pattern = format!("-v error -y -f lavfi -i testsrc2=size={size}:rate=10:duration=4 {arguments}");
    let made = Command::new("ffmpeg").args(pattern.split_whitespace()).arg(&path).output().unwrap();
    assert!(made.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&made.stderr));
    path
}

#[test]
fn ffmpeg_reads_each_container() {
    let Some(options) = installed() else { return };
    let dir = tempfile::tempdir().unwrap();
    let kinds = [
        ("a.mkv", "-c:v mpeg4"),
        ("a.avi", "-c:v mpeg4"),
        ("a.mpg", "-c:v mpeg2video -vf fps=25"),
        ("a.vob", "-c:v mpeg2video -vf fps=25"),
        ("a.ts", "-c:v mpeg4"),
        ("a.m2ts", "-c:v mpeg2video -vf fps=25"),
        ("a.flv", "-c:v flv1"),
        ("a.wmv", "-c:v wmv2"),
        ("a.mxf", "-c:v mpeg2video -vf fps=25"),
        ("a.nut", "-c:v ffv1"),
        ("a.m2v", "-c:v mpeg2video -vf fps=25"),
        ("a.mov", "-c:v mpeg4"),
        ("a.3gp", "-c:v mpeg4"),
    ];
    for (name, arguments) in kinds {
        let path = make(dir.path().join(name), "64x48", arguments);
        let (frames, notes) = read_all(&path, &options).unwrap();
        let want = if arguments.contains("fps=25") { 99..=100 } else { 40..=40 };
        assert!(want.contains(&frames) && notes.is_empty(), "{name}: {frames}, {notes:?}");
    }
}

#[test]
fn ffmpeg_reads_what_the_rust_decoder_does_not() {
    let Some(options) = installed() else { return };
    for (name, frames) in [("lossless420.mp4", 20), ("hevc.mp4", 4), ("chroma444.mp4", 2), ("odd.mkv", 5)] {
        assert_eq!(read_all(&fixture(name), &options).unwrap(), (frames, vec![]), "{name}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = with_empty_tracks("hevc.mp4", dir.path(), 1);
    assert_eq!(read_all(&path, &options).unwrap(), (4, vec![]));
}

#[test]
fn ffmpeg_is_held_to_the_limits() {
    let Some(options) = installed() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = make(dir.path().join("a.mkv"), "320x240", "-c:v mpeg4");
    let limits = Limits { max_bytes: 4 * 319 * 240, ..Limits::default() };
    let error = read_all(&path, &VideoOptions { limits, ..options }).unwrap_err();
    assert!(matches!(error, DataError::OverLimit { .. } | DataError::TooLarge { .. }), "{error}");
}

#[test]
fn ffmpeg_may_write_pictures_first() {
    let Some(options) = installed() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = make(dir.path().join("a.mkv"), "640x360", "-c:v mpeg4");
    let pictures = |options: &VideoOptions| {
        let mut reader = VideoReader::open_with(&path, options).unwrap();
        let mut frames = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            frames.push((frame.rgb.data[..999].to_vec(), frame.pts));
        }
        let picked: Vec<f64> = reader.frames(&[39, 0, 30]).unwrap().into_iter().map(|frame| frame.pts).collect();
        assert_eq!((reader.count().unwrap(), picked), (40, vec![3.9, 0.0, 3.0]));
        frames
    };
    let body = r#"d=$(mktemp -d); ffmpeg "$@" >$d/o 2>$d/e; cat $d/o; cat $d/e >&2; rm -r $d"#;
    let first = stand_in(dir.path(), &format!("{body}\n"));
    let want = pictures(&options);
    assert_eq!(want.len(), 40);
    assert!(pictures(&first) == want);
    for _ in 0..5 {
        assert!(pictures(&options) == want);
    }
}

#[test]
fn what_ffmpeg_reads_is_cut_off() {
    let Some(options) = installed() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (name, arguments) in [("a.mkv", "-c:v mpeg4"), ("a.avi", "-c:v mpeg4"), ("a.flv", "-c:v flv1")] {
        let path = make(dir.path().join(name), "64x48", arguments);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() * 6 / 10]).unwrap();
        let (frames, notes) = read_all(&path, &options).unwrap();
        let said = notes.len() == 1 && notes[0].starts_with(&format!("cut off: {frames}"));
        assert!(frames > 5 && frames < 40 && said, "{name}: {frames}, {notes:?}");
    }
}
