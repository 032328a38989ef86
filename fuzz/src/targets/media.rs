//! Pictures, animations and videos.

use std::io::Cursor;
use std::path::Path;

use vljepa_data::video::{RawFormat, RawPixels, VideoOptions, VideoReader, is_video};
use vljepa_data::{DataError, Limits, Media, Rgb8Image, decode_bytes, encode_jpeg};

use crate::error::{Result, other};
use crate::mutate::Shape;
use crate::target::{Case, Target, clips, files};

/// 4 MPixel, so that a case within the limits is quick.
const LIMITS: Limits = Limits { max_side: 4096, max_bytes: 16 << 20 };
/// Frames that are read of a clip.
const FRAMES: usize = 200;

pub const PICTURE: Target = Target {
    name: "picture",
    about: "PNG, JPEG, GIF and WebP as pictures",
    shape: Shape::Bytes,
    megabytes: 128,
    seeds: || {
        let mut seeds = clips(&["clear.png", "clear.gif", "opaque.gif", "clear.webp", "lossy.webp", "shades.webp"])?;
        seeds.extend(files(&[
            "crates/model/tests/fixtures/hub/picture.png",
            "crates/model/tests/fixtures/vision/open_vljepa.png",
        ])?);
        let data = (0..3 * 40 * 30).map(|i| (i * 7 % 251) as u8).collect();
        let picture = Rgb8Image { width: 40, height: 30, data };
        seeds.push(encode_jpeg(&picture, 80).map_err(other)?);
        Ok(seeds)
    },
    make: |_| {
        Ok(Box::new(|input| {
            let _ = decode_bytes("case", input, &LIMITS);
        }))
    },
};

fn options() -> VideoOptions {
    VideoOptions { limits: LIMITS, ffmpeg: None, ..VideoOptions::default() }
}

fn read(mut reader: VideoReader) -> std::result::Result<(), DataError> {
    let _ = reader.facts().clone();
    for _ in 0..FRAMES {
        if reader.next_frame()?.is_none() {
            break;
        }
    }
    // Any place, and back.
    reader.seek(3)?;
    reader.next_frame()?;
    reader.seek(0)?;
    reader.next_frame()?;
    Ok(())
}

/// Writes each input to one file, and reads that.
fn by_file(folder: &Path, mut feed: impl FnMut(&Path) + 'static) -> Result<Case> {
    let path = folder.join("case");
    Ok(Box::new(move |input| {
        if std::fs::write(&path, input).is_ok() {
            feed(&path);
        }
    }))
}

fn videos(folder: &Path) -> Result<Case> {
    by_file(folder, |path| {
        let _ = VideoReader::open_with(path, &options()).and_then(read);
    })
}

pub const KIND: Target = Target {
    name: "kind",
    about: "what a file is, and reading it as that",
    shape: Shape::Bytes,
    megabytes: 192,
    seeds: || clips(&["clear.png", "clear.gif", "clear.webp", "one.mp4", "odd.mkv", "hevc.mp4", "chroma444.mp4"]),
    make: |folder| {
        by_file(folder, |path| {
            let _ = is_video(path);
            let Ok(media) = Media::open(path) else { return };
            let _ = media.picture(&LIMITS);
            if media.is_video() {
                let _ = media.video(&options()).and_then(read);
            }
        })
    },
};

pub const ANIMATION: Target = Target {
    name: "animation",
    about: "GIF, WebP and APNG as videos",
    shape: Shape::Bytes,
    megabytes: 192,
    seeds: || clips(&["clear.gif", "opaque.gif", "clear.png", "clear.webp", "lossy.webp", "shades.webp"]),
    make: videos,
};

pub const MP4: Target = Target {
    name: "mp4",
    about: "boxes and tables of MP4 and MOV",
    shape: Shape::Boxes,
    megabytes: 192,
    seeds: || {
        clips(&[
            "bframes.mp4",
            "fragments.mp4",
            "open_gop.mov",
            "cut.mp4",
            "late.mp4",
            "variable.mp4",
            "rotated.mp4",
            "one.mp4",
        ])
    },
    make: videos,
};

pub const H264: Target = Target {
    name: "h264",
    about: "parameter sets, slice headers and slices of H.264",
    shape: Shape::Frames,
    megabytes: 192,
    seeds: || {
        clips(&[
            "bframes.mp4",
            "interlaced.mp4",
            "ten_bits.mp4",
            "chroma422.mp4",
            "full_709.mp4",
            "open_gop.mov",
            "fragments.mp4",
            "one.mp4",
        ])
    },
    make: videos,
};

pub const Y4M: Target = Target {
    name: "y4m",
    about: "Y4M from a pipe",
    shape: Shape::Bytes,
    megabytes: 192,
    seeds: || {
        let clip = |header: &str, bytes: usize| {
            let mut clip = format!("YUV4MPEG2 {header}\n").into_bytes();
            for i in 0..3_u8 {
                clip.extend(b"FRAME Ip\n");
                clip.extend((0..bytes).map(|j| (j as u8).wrapping_mul(i)));
            }
            clip
        };
        Ok(vec![
            clip("W8 H6 F30000:1001 Ip A1:1 C420jpeg XCOLORRANGE=FULL", 72),
            clip("W8 H6 F25:1 C444", 144),
            clip("W8 H6 F25:1 C420p10", 144),
            clip("W7 H5 F25:1 Cmono", 35),
        ])
    },
    make: |_| {
        Ok(Box::new(|input| {
            let _ = VideoReader::from_y4m("case", Box::new(Cursor::new(input.to_vec())), &LIMITS).and_then(read_on);
        }))
    },
};

/// Frames of a pipe, which come once.
fn read_on(mut reader: VideoReader) -> std::result::Result<(), DataError> {
    for _ in 0..FRAMES {
        if reader.next_frame()?.is_none() {
            break;
        }
    }
    Ok(())
}

pub const RAW: Target = Target {
    name: "raw",
    about: "raw frames of any format from a pipe",
    shape: Shape::Bytes,
    megabytes: 192,
    seeds: || {
        Ok(vec![
            [vec![8, 0, 0, 0, 6, 0, 0, 0, 0], vec![9; 400]].concat(),
            [vec![7, 0, 0, 0, 5, 0, 0, 0, 1], vec![3; 300]].concat(),
        ])
    },
    make: |_| {
        Ok(Box::new(|input| {
            let Some((head, rest)) = input.split_first_chunk::<9>() else { return };
            let [a, b, c, d, e, f, g, h, kind] = *head;
            let pixels = if kind % 2 == 0 { RawPixels::Rgb24 } else { RawPixels::Yuv420p };
            let (width, height) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            let format = RawFormat { width, height, pixels, fps: f64::from(kind) };
            let _ =
                VideoReader::from_raw("case", Box::new(Cursor::new(rest.to_vec())), format, &LIMITS).and_then(read_on);
        }))
    },
};
