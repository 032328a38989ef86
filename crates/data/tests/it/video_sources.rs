//! Sources of frames other than MP4: animations, folders and uncompressed streams.

use std::collections::BTreeMap;
use std::io::Cursor;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use vljepa_data::video::{RawFormat, RawPixels, Rounding, VideoOptions, VideoReader, YuvFrame, natural_cmp};
use vljepa_data::{DataError, Limits, Rgb8Image, Rgba8Image, encode_jpeg, encode_png};

use crate::video::{fixture, hex};

fn without_ffmpeg() -> VideoOptions {
    VideoOptions { ffmpeg: None, ..VideoOptions::default() }
}

#[derive(Deserialize)]
struct Animation {
    frames: usize,
    delays: Vec<f64>,
    rgb: String,
}

/// The expectations are Pillow's; `animations.py` made them.
#[test]
fn animations_equal_pillow() {
    let all: BTreeMap<String, Animation> =
        serde_json::from_str(include_str!("../fixtures/video/animations.json")).unwrap();
    assert_eq!(all.len(), 6);
    for (name, expected) in &all {
        let mut reader = VideoReader::open_with(fixture(name), &without_ffmpeg()).unwrap();
        assert_eq!(reader.facts().size, Some((31, 23)), "{name}");
        let (mut rgb, mut frames) = (Sha256::new(), Vec::new());
        while let Some(frame) = reader.next_frame().unwrap() {
            rgb.update(&frame.rgb.data);
            frames.push(frame);
        }
        assert_eq!(frames.len(), expected.frames, "{name}");
        assert_eq!(hex(rgb), expected.rgb, "{name}");
        let mut clock = 0.0;
        for (frame, delay) in frames.iter().zip(&expected.delays) {
            assert!((frame.pts - clock).abs() < 1e-9, "{name}: {} is not {clock}", frame.pts);
            clock += delay / 1000.0;
        }
        assert_eq!(reader.count().unwrap(), 4, "{name}");
        assert!(reader.frames(&[2, 0, 2]).unwrap() == [2, 0, 2].map(|i: usize| frames[i].clone()), "{name}");
    }
}

#[test]
fn broken_animations_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["opaque.gif", "clear.webp", "clear.png"] {
        let path = dir.path().join(name);
        let whole = std::fs::read(fixture(name)).unwrap();
        for cut in [40, whole.len() / 2, whole.len() - 20] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let outcome = VideoReader::open_with(&path, &without_ffmpeg()).and_then(|mut reader| {
                while reader.next_frame()?.is_some() {}
                Ok(())
            });
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains('\n'), "{error}");
        }
        // Between two frames: what is left is no shorter film.
        let (start, before): (&[u8], usize) = match name {
            "opaque.gif" => (b"\x21\xf9\x04", 0),
            "clear.webp" => (b"ANMF", 0),
            _ => (b"fcTL", 4),
        };
        let starts: Vec<usize> = (0..whole.len()).filter(|at| whole[*at..].starts_with(start)).collect();
        assert_eq!(starts.len(), 4);
        for at in &starts[1..] {
            std::fs::write(&path, &whole[..at - before]).unwrap();
            let outcome = VideoReader::open_with(&path, &without_ffmpeg()).and_then(|mut reader| reader.count());
            assert!(outcome.is_err(), "{name} of {} bytes: {outcome:?}", at - before);
        }
    }
}

#[test]
fn names_are_ordered_as_people_count() {
    let mut names =
        ["f10.png", "f9.png", "F1.png", "f09.png", "f100a.png", "f2b10.png", "f2b9.png", "f.png", "é2", "é10"];
    names.sort_by(|a, b| natural_cmp(a, b));
    assert_eq!(
        names,
        ["F1.png", "f.png", "f2b9.png", "f2b10.png", "f09.png", "f9.png", "f10.png", "f100a.png", "é2", "é10"]
    );
}

#[test]
fn folders_and_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let grey = |level: u8| encode_png(&Rgba8Image::new(3, 2, [level, level, level, 255].repeat(6)).unwrap()).unwrap();
    for index in [1, 2, 10] {
        std::fs::write(dir.path().join(format!("frame{index}.png")), grey(index)).unwrap();
    }
    std::fs::write(dir.path().join("notes.txt"), "no picture").unwrap();
    std::fs::create_dir(dir.path().join("sub.png")).unwrap();
    let options = VideoOptions { folder_fps: 4.0, ..without_ffmpeg() };
    let mut reader = VideoReader::open_with(dir.path(), &options).unwrap();
    assert_eq!((reader.facts().frames, reader.facts().duration), (Some(3), Some(0.75)));
    let seen = reader.frames(&[0, 1, 2]).unwrap();
    assert_eq!(seen.iter().map(|frame| frame.rgb.data[0]).collect::<Vec<_>>(), [1, 2, 10]);
    assert_eq!(seen.iter().map(|frame| frame.pts).collect::<Vec<_>>(), [0.0, 0.25, 0.5]);
    let mut still = VideoReader::open_with(dir.path().join("frame10.png"), &without_ffmpeg()).unwrap();
    assert_eq!(still.uniform(3, Rounding::Down).unwrap().len(), 3);
    let empty = tempfile::tempdir().unwrap();
    let error = VideoReader::open(empty.path()).unwrap_err();
    assert!(error.to_string().contains("no pictures directly in this folder"), "{error}");
    let nonsense = VideoOptions { folder_fps: 0.0, ..without_ffmpeg() };
    assert!(VideoReader::open_with(dir.path(), &nonsense).is_err());
}

fn y4m(header: &str, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 {header}\n").into_bytes();
    for (index, frame) in frames.iter().enumerate() {
        bytes.extend(if index == 1 { &b"FRAME Ip\n"[..] } else { b"FRAME\n" });
        bytes.extend(frame);
    }
    bytes
}

#[test]
fn y4m_from_files_and_pipes() {
    // 5x3 pixels: chroma of 3x2.
    let frames: Vec<Vec<u8>> = (0..4_u8).map(|i| (0..27).map(|v| v * 5 + i * 17 + 16).collect()).collect();
    let bytes = y4m("W5 H3 F30000:1001 Ip A1:1 C420jpeg", &frames);
    let mut pipe = VideoReader::from_y4m("pipe", Box::new(Cursor::new(bytes.clone())), &Limits::default()).unwrap();
    assert_eq!(pipe.facts().size, Some((5, 3)));
    for (index, want) in frames.iter().enumerate() {
        let (frame, pts) = pipe.next_yuv().unwrap().unwrap();
        assert_eq!(&frame.data, want);
        assert!((pts - index as f64 * 1001.0 / 30000.0).abs() < 1e-12);
    }
    assert!(pipe.next_yuv().unwrap().is_none());
    assert!(pipe.count().unwrap_err().to_string().contains("pipe cannot be read again"));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.y4m");
    std::fs::write(&path, &bytes).unwrap();
    let mut file = VideoReader::open_with(&path, &without_ffmpeg()).unwrap();
    assert_eq!(file.count().unwrap(), 4);
    let planes = |data: &Vec<u8>| YuvFrame {
        width: 5,
        height: 3,
        chroma_step_x: 2,
        chroma_step_y: 2,
        depth: 8,
        colour: Default::default(),
        data: data.clone(),
    };
    for index in [3, 0, 2, 1] {
        file.seek(index).unwrap();
        assert_eq!(file.next_frame().unwrap().unwrap().rgb, planes(&frames[index as usize]).to_rgb().unwrap());
    }
    // Ten bits, 4:4:4 and grey.
    for (space, len) in [("444p10", 5 * 3 * 3 * 2), ("422", 5 * 3 + 2 * 9), ("mono", 15)] {
        let bytes = y4m(&format!("W5 H3 F25:1 C{space}"), &[vec![2; len], vec![1; len]]);
        let mut pipe = VideoReader::from_y4m("pipe", Box::new(Cursor::new(bytes)), &Limits::default()).unwrap();
        assert!(pipe.next_frame().unwrap().is_some() && pipe.next_frame().unwrap().is_some(), "{space}");
        assert!(pipe.next_frame().unwrap().is_none(), "{space}");
    }
}

#[test]
fn broken_streams_say_where() {
    let message = |bytes: &[u8]| {
        let opened = VideoReader::from_y4m("pipe", Box::new(Cursor::new(bytes.to_vec())), &Limits::default());
        let outcome = opened.and_then(|mut reader| {
            while reader.next_frame()?.is_some() {}
            Ok(())
        });
        outcome.unwrap_err().to_string()
    };
    let whole = y4m("W4 H4 F25:1", &[vec![0; 24], vec![0; 24]]);
    assert!(message(&whole[..whole.len() - 5]).contains("frame 2 ends after 19 of 24 bytes"));
    assert!(message(&[&whole[..], &b"FRAME\n"[..]].concat()).contains("frame 3 is missing after its line"));
    assert!(message(&[&whole[..], &b"JUNK\n"[..]].concat()).contains("FRAME is missing before frame 3"));
    assert!(message(b"YUV4MPEG2 W4 H4").contains("header line does not end"));
    assert!(message(b"YUV4MPEG2 H4\n").contains("0x4"));
    assert!(message(b"").contains("empty"));
    assert!(message(b"YUV4MPEG2 W4000000000 H4000000000\n").contains("limit"));
}

#[test]
fn raw_frames() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("frames.rgb");
    let bytes: Vec<u8> = (0..3 * 2 * 3 * 4).map(|v| v as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let format = RawFormat { width: 3, height: 2, pixels: RawPixels::Rgb24, fps: 10.0 };
    let mut reader = VideoReader::open_raw(&path, format, &Limits::default()).unwrap();
    assert_eq!((reader.facts().frames, reader.facts().duration), (Some(4), Some(0.4)));
    let picked = reader.frames(&[3, 1]).unwrap();
    assert_eq!((&picked[0].rgb.data[..], picked[0].pts), (&bytes[54..], 0.3));
    assert_eq!(picked[1].rgb.data, bytes[18..36]);
    assert!(reader.seek(0).is_ok() && reader.next_yuv().is_err());

    let yuv = RawFormat { pixels: RawPixels::Yuv420p, ..format };
    // 6 luma and 2 x 2 chroma samples a frame; the second is cut off.
    let pipe = Cursor::new(vec![100_u8; 17]);
    let mut reader = VideoReader::from_raw("pipe", Box::new(pipe), yuv, &Limits::default()).unwrap();
    assert_eq!(reader.next_yuv().unwrap().unwrap().0.data, [100; 10]);
    assert!(reader.next_frame().unwrap_err().to_string().contains("frame 2 ends after 7 of 10 bytes"));
    let no_rate = RawFormat { fps: f64::NAN, ..format };
    assert!(VideoReader::open_raw(&path, no_rate, &Limits::default()).is_err());
    assert!(matches!(VideoReader::open_raw(dir.path(), format, &Limits::default()), Err(DataError::Content { .. })));
}

#[test]
fn other_formats_ask_for_ffmpeg() {
    let absent = VideoOptions { ffmpeg: Some("no-such-program-of-ours".into()), ..VideoOptions::default() };
    for options in [without_ffmpeg(), absent] {
        for (name, why) in [("hevc.mp4", "codec is hvc1"), ("chroma444.mp4", "4:4:4"), ("odd.mkv", "format")] {
            let error = VideoReader::open_with(fixture(name), &options).unwrap_err();
            assert!(matches!(error, DataError::NeedsFfmpeg { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(name) && text.contains(why) && text.contains("install ffmpeg"), "{text}");
        }
    }
}

/// A JPEG picture with a thumbnail's end marker in its header.
fn jpeg(value: u8) -> Vec<u8> {
    let plain = encode_jpeg(&Rgb8Image::new(16, 8, vec![value; 384]).unwrap(), 90).unwrap();
    let mut picture = plain[..2].to_vec();
    picture.extend([0xff, 0xe1, 0, 8, b'E', b'x', 0xff, 0xd8, 0xff, 0xd9]);
    picture.extend(&plain[2..]);
    picture
}

#[test]
fn motion_jpeg_is_read_from_a_pipe() {
    let read = |bytes: Vec<u8>| -> Result<Vec<(f64, u8)>, DataError> {
        let mut reader = VideoReader::from_stream("pipe", Box::new(Cursor::new(bytes)), 4.0, &Limits::default())?;
        let mut frames = Vec::new();
        while let Some(frame) = reader.next_frame()? {
            frames.push((frame.pts, frame.rgb.data[0]));
        }
        Ok(frames)
    };
    let stream: Vec<u8> = [10, 100, 200].into_iter().flat_map(jpeg).collect();
    let frames = read(stream.clone()).unwrap();
    assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [0.0, 0.25, 0.5]);
    for ((_, value), wanted) in frames.iter().zip([10u8, 100, 200]) {
        assert!(value.abs_diff(wanted) < 4, "{frames:?}");
    }
    // With the lines of a multipart stream between the pictures.
    let mut parts = Vec::new();
    for value in [10, 100, 200] {
        parts.extend(jpeg(value));
        parts.extend(b"\r\n--boundary\r\nContent-Type: image/jpeg\r\n\r\n");
    }
    assert_eq!(read(parts).unwrap().len(), 3);
    let cut = read(stream[..stream.len() - 5].to_vec()).unwrap_err().to_string();
    assert!(cut.contains("frame 3 is cut off"), "{cut}");
    let mut noise = jpeg(1);
    noise.extend(vec![7; 100_000]);
    let said = read(noise).unwrap_err().to_string();
    assert!(said.contains("where frame 2 should"), "{said}");
    assert!(read(Vec::new()).unwrap_err().to_string().contains("empty"));
    assert!(read(b"RIFFxxxxAVI LIST".to_vec()).unwrap_err().to_string().contains("neither Y4M"));
}
