//! Clips of videos, held against a plain reading of their rules.

use std::io::Cursor;
use std::path::Path;

use vljepa_data::video::{
    Clip, Clips, Length, RawFormat, RawPixels, Rounding, Sampling, VideoOptions, VideoReader, uniform,
};
use vljepa_data::{DataError, Limits, Rgb8Image, Rgba8Image, encode_png};

const MODEL_FRAMES: usize = 4;

/// Number, start, end, and the numbers of the frames.
type Plain = (usize, f64, f64, Vec<usize>);

fn close(a: &[Plain], b: &[Plain]) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && near(a.1, b.1) && near(a.2, b.2) && a.3 == b.3)
}

/// The rules of `Clips`, for frames shown at `times` until `end`.
fn expected(times: &[f64], end: f64, sampling: &Sampling) -> Vec<Plain> {
    let frames = sampling.frames.unwrap_or(MODEL_FRAMES);
    let ends = |index: usize| times.get(index + 1).copied().unwrap_or(end);
    let limit = sampling.end.unwrap_or(f64::INFINITY).min(end);
    let from = times.iter().position(|t| *t >= sampling.start.unwrap_or(0.0) - 1e-6).unwrap_or(times.len());
    let to = times.iter().position(|t| *t >= limit - 1e-6).unwrap_or(times.len());
    let mut clips = Vec::new();
    let (window, stride) = match (sampling.window, sampling.stride, sampling.fps) {
        (None, None, None) => {
            let chosen = uniform(to - from, frames, Rounding::Down).into_iter().map(|i| from + i).collect();
            return vec![(0, times[from], limit.min(ends(to - 1)), chosen)];
        }
        (Some(Length::Frames(window)), stride, None) => {
            let stride = if let Some(Length::Frames(stride)) = stride { stride } else { window };
            let count = to - from;
            for index in 0.. {
                let at = index * stride;
                if at >= count || (index > 0 && at - stride + window >= count) {
                    return clips;
                }
                let chosen = uniform(window, frames, Rounding::Down);
                let chosen = chosen.into_iter().map(|i| from + (at + i).min(count - 1)).collect();
                let last = from + (at + window).min(count) - 1;
                clips.push((index, times[from + at], ends(last).min(limit), chosen));
            }
            unreachable!()
        }
        (Some(Length::Seconds(window)), Some(Length::Seconds(stride)), _) => (window, stride),
        (Some(Length::Seconds(window)), None, _) => (window, window),
        (None, None, Some(fps)) => (frames as f64 / fps, frames as f64 / fps),
        other => panic!("{other:?}"),
    };
    let frames = sampling.fps.map_or(frames, |fps| (fps * window).round() as usize);
    let base = sampling.start.unwrap_or(0.0).max(times[0]);
    for index in 0.. {
        let at = base + index as f64 * stride;
        if at >= limit - 1e-6 || (index > 0 && at - stride + window >= limit - 1e-6) {
            return clips;
        }
        let on_screen = |tick: usize| {
            let time = at + tick as f64 * window / frames as f64;
            times.iter().rposition(|t| *t <= time + 1e-6).unwrap_or(0).min(to - 1)
        };
        clips.push((index, at, (at + window).min(limit), (0..frames).map(on_screen).collect()));
    }
    unreachable!()
}

/// The clips of a reader whose frames have their number as red, and how many frames were prepared.
fn clips(reader: &mut VideoReader, sampling: &Sampling, first: usize) -> Result<(Vec<Plain>, usize), DataError> {
    let (mut found, mut prepared) = (Vec::new(), 0);
    let mut clips = Clips::new(reader, &sampling.settle(MODEL_FRAMES)?, first, 1000)?;
    let mut red = |rgb: Rgb8Image| -> Result<usize, DataError> {
        prepared += 1;
        Ok(usize::from(rgb.data[0]))
    };
    while let Some(Clip { index, start, end, frames }) = clips.next_clip(&mut red)? {
        found.push((index, start, end, frames.into_iter().map(|frame| *frame).collect()));
    }
    Ok((found, prepared))
}

fn raw(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| [i as u8, 0, 0]).collect()
}

fn format(fps: f64) -> RawFormat {
    RawFormat { width: 1, height: 1, pixels: RawPixels::Rgb24, fps }
}

fn samplings() -> Vec<Sampling> {
    let none = Sampling::default();
    let seconds = |window, stride| Sampling {
        window: Some(Length::Seconds(window)),
        stride: Some(Length::Seconds(stride)),
        ..none
    };
    let frames = |window, stride| Sampling {
        window: Some(Length::Frames(window)),
        stride: Some(Length::Frames(stride)),
        ..none
    };
    let mut all = vec![none, Sampling { frames: Some(7), ..none }, Sampling { fps: Some(5.0), ..none }];
    all.push(Sampling { window: Some(Length::Seconds(1.3)), fps: Some(10.0), ..none });
    all.extend([seconds(1.0, 1.0), seconds(1.0, 0.3), seconds(0.7, 1.1), seconds(100.0, 7.0), seconds(0.02, 0.05)]);
    all.extend([frames(8, 8), frames(8, 3), frames(3, 8), frames(1, 1), frames(1000, 1), frames(2, 1)]);
    let parts = [(Some(0.55), None), (None, Some(1.25)), (Some(0.4), Some(0.45)), (Some(0.0), Some(900.0))];
    let with_part = |s: &Sampling| parts.map(|(start, end)| Sampling { start, end, ..*s });
    let parts: Vec<_> = all.iter().flat_map(with_part).collect();
    all.extend(parts);
    all
}

#[test]
fn clips_follow_their_rules_from_files_pipes_and_folders() {
    for (count, fps) in [(25usize, 10.0), (1, 10.0), (40, 30.0), (61, 23.976)] {
        let dir = tempfile::tempdir().unwrap();
        let (path, folder) = (dir.path().join("a.raw"), dir.path().join("frames"));
        std::fs::write(&path, raw(count)).unwrap();
        std::fs::create_dir(&folder).unwrap();
        for i in 0..count {
            let png = encode_png(&Rgba8Image::new(1, 1, vec![i as u8, 0, 0, 255]).unwrap()).unwrap();
            std::fs::write(folder.join(format!("f{i}.png")), png).unwrap();
        }
        let limits = Limits::default();
        let times: Vec<f64> = (0..count).map(|i| i as f64 / fps).collect();
        let end = count as f64 / fps;
        for sampling in samplings() {
            let readers = || {
                let options = VideoOptions { folder_fps: fps, ..VideoOptions::default() };
                [
                    VideoReader::from_raw("pipe", Box::new(Cursor::new(raw(count))), format(fps), &limits).unwrap(),
                    VideoReader::open_raw(&path, format(fps), &limits).unwrap(),
                    VideoReader::open_with(&folder, &options).unwrap(),
                ]
            };
            if sampling.start.is_some_and(|start| start >= end) {
                for mut reader in readers() {
                    let said = clips(&mut reader, &sampling, 0).unwrap_err().to_string();
                    assert!(said.contains("before the start"), "{said}");
                }
                continue;
            }
            // Between two frames lies no whole one.
            let none =
                sampling.end.is_some_and(|end| !times.iter().any(|t| *t >= sampling.start.unwrap_or(0.0) && *t < end));
            let by_time = matches!(sampling.settle(MODEL_FRAMES), Ok(c) if c.has_windows())
                && !matches!((sampling.window, sampling.fps), (Some(Length::Frames(_)), None));
            if none && !by_time {
                for mut reader in readers() {
                    assert!(clips(&mut reader, &sampling, 0).is_err(), "{sampling:?}");
                }
                continue;
            }
            let expected = if none { None } else { Some(expected(&times, end, &sampling)) };
            for mut reader in readers() {
                let (found, prepared) = clips(&mut reader, &sampling, 0).unwrap();
                if let Some(expected) = &expected {
                    assert!(close(&found, expected), "{sampling:?} of {count} at {fps}: {found:?}\n{expected:?}");
                }
                assert!(prepared <= count);
            }
            // Later clips are the same when earlier ones are left out.
            for mut reader in readers() {
                let whole = clips(&mut readers()[1], &sampling, 0).unwrap().0;
                let first = whole.len() / 2;
                assert!(close(&clips(&mut reader, &sampling, first).unwrap().0, &whole[first..]), "{sampling:?}");
            }
        }
    }
}

#[test]
fn clips_of_mp4_and_animations_have_the_times_of_their_frames() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/video");
    for name in ["bframes.mp4", "opaque.gif", "clear.webp"] {
        let path = fixtures.join(name);
        let mut reader = VideoReader::open(&path).unwrap();
        let times = reader.times().unwrap().to_vec();
        let step = times.last().unwrap() - times[times.len() - 2];
        let end = reader.facts().duration.unwrap_or(times.last().unwrap() + step);
        let all: Vec<Rgb8Image> = {
            reader.seek(0).unwrap();
            std::iter::from_fn(|| reader.next_frame().unwrap().map(|frame| frame.rgb)).collect()
        };
        let window = Length::Seconds((end - times[0]) / 2.5);
        for sampling in [Sampling { window: Some(window), ..Sampling::default() }, Sampling::default()] {
            let mut reader = VideoReader::open(&path).unwrap();
            let mut clips = Clips::new(&mut reader, &sampling.settle(MODEL_FRAMES).unwrap(), 0, 10).unwrap();
            let mut same = |rgb: Rgb8Image| -> Result<Rgb8Image, DataError> { Ok(rgb) };
            for (index, start, end, frames) in expected(&times, end, &sampling) {
                let clip = clips.next_clip(&mut same).unwrap().unwrap();
                assert_eq!(clip.index, index, "{name}");
                if sampling.window.is_some() {
                    assert!((clip.start - start).abs() < 1e-6 && (clip.end - end).abs() < 1e-6, "{name} {clip:?}");
                }
                assert_eq!(clip.frames.len(), frames.len());
                for (frame, wanted) in clip.frames.iter().zip(frames) {
                    assert!(**frame == all[wanted], "{name}: clip {index} has another frame than {wanted}");
                }
            }
            assert!(clips.next_clip(&mut same).unwrap().is_none(), "{name}");
        }
    }
}

#[test]
fn one_clip_of_a_pipe_keeps_no_more_frames_than_it_may() {
    let mut reader =
        VideoReader::from_raw("pipe", Box::new(Cursor::new(raw(11))), format(10.0), &Limits::default()).unwrap();
    let clipping = Sampling::default().settle(MODEL_FRAMES).unwrap();
    let mut clips = Clips::new(&mut reader, &clipping, 0, 10).unwrap();
    let said = clips.next_clip::<DataError>(&mut |rgb| Ok(rgb.data[0])).unwrap_err().to_string();
    assert!(said.contains("more than 10 frames"), "{said}");
}

#[test]
fn frames_that_no_clip_takes_are_not_prepared() {
    let mut reader =
        VideoReader::from_raw("pipe", Box::new(Cursor::new(raw(100))), format(10.0), &Limits::default()).unwrap();
    let sampling = Sampling { window: Some(Length::Seconds(4.0)), frames: Some(4), ..Sampling::default() };
    // One a second, and the last one, which stands for what is after it.
    assert_eq!(clips(&mut reader, &sampling, 0).unwrap().1, 11);
}

/// Frames of 2 × 2 grey pixels at `rate`, such as `1:1000000`.
fn y4m(frames: usize, rate: &str) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 W2 H2 F{rate} Cmono\n").into_bytes();
    for i in 0..frames {
        bytes.extend(b"FRAME\n");
        bytes.extend([i as u8; 4]);
    }
    bytes
}

#[test]
fn windows_of_a_frame_that_is_shown_for_long_are_made_one_after_the_other() {
    // Each frame is shown for 20,000 seconds, in 40,000 windows.
    let sampling = Sampling { window: Some(Length::Seconds(0.5)), frames: Some(64), ..Sampling::default() };
    let bytes = Cursor::new(y4m(3, "1:20000"));
    let mut reader = VideoReader::from_y4m("pipe", Box::new(bytes), &Limits::default()).unwrap();
    let mut clips = Clips::new(&mut reader, &sampling.settle(4).unwrap(), 0, 10).unwrap();
    let (mut count, mut prepared) = (0, Vec::new());
    let mut kept = std::collections::VecDeque::new();
    while let Some(clip) = clips
        .next_clip::<DataError>(&mut |rgb| {
            prepared.push(rgb.data[0]);
            Ok(rgb)
        })
        .unwrap()
    {
        assert_eq!((clip.index, clip.start, clip.frames.len()), (count, count as f64 * 0.5, 64));
        count += 1;
        // The frame, and the references of the clips that are kept here: none are held by clips that are to come.
        kept.push_back(std::sync::Arc::clone(&clip.frames[0]));
        if kept.len() > 2 {
            kept.pop_front();
        }
        drop(clip);
        assert!(std::sync::Arc::strong_count(&kept[kept.len() - 1]) <= 4, "clip {count}");
    }
    assert_eq!((count, prepared.len()), (120_000, 3));
}

#[test]
fn more_windows_than_a_video_may_have_are_refused_before_any_is_made() {
    let sampling = Sampling { window: Some(Length::Seconds(0.001)), ..Sampling::default() };
    let bytes = Cursor::new(y4m(3, "1:1000000"));
    let mut reader = VideoReader::from_y4m("pipe", Box::new(bytes), &Limits::default()).unwrap();
    let said = clips(&mut reader, &sampling, 0).unwrap_err().to_string();
    assert!(
        said.starts_with("pipe: ") && said.contains("windows of 0.001 s") && said.contains("at most 4194304"),
        "{said}"
    );
    // A part of it is read.
    let part = Sampling { start: Some(5.0), end: Some(5.01), ..sampling };
    let bytes = Cursor::new(y4m(3, "1:1000000"));
    let mut reader = VideoReader::from_y4m("pipe", Box::new(bytes), &Limits::default()).unwrap();
    assert_eq!(clips(&mut reader, &part, 0).unwrap().0.len(), 10);
}

#[test]
fn a_length_that_an_mp4_states_is_not_believed_beyond_the_limit() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/video/bframes.mp4");
    let mut bytes = std::fs::read(fixture).unwrap();
    let mut set = |kind: &[u8], at: usize| {
        let body = bytes.windows(4).position(|found| found == kind).unwrap() + 4;
        bytes[body + at..body + at + 4].copy_from_slice(&0xffff_fff0_u32.to_be_bytes());
    };
    set(b"mdhd", 16);
    set(b"elst", 8);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long.mp4");
    std::fs::write(&path, bytes).unwrap();
    let mut reader = VideoReader::open(&path).unwrap();
    let length = reader.facts().duration.unwrap();
    assert!(length > 300_000.0, "{length}");
    let sampling = Sampling { window: Some(Length::Seconds(0.05)), ..Sampling::default() };
    let said = clips(&mut reader, &sampling, 0).unwrap_err().to_string();
    assert!(said.contains("long.mp4: ") && said.contains("windows of 0.05 s") && said.lines().count() == 1, "{said}");
}
