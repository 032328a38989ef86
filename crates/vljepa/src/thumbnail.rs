//! Small pictures of files and of moments in videos.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use vljepa_data::video::{VideoOptions, VideoReader};
use vljepa_data::{Filter, Limits, Media, Rgb8Image, encode_jpeg};

use crate::error::{Error, Result};

/// Quality of the JPEG.
const QUALITY: u8 = 82;

/// What a thumbnail shows.
#[derive(Clone, Debug)]
pub struct Shown {
    /// A picture, a video, or a folder of frames.
    pub path: PathBuf,
    /// The time in a video, in seconds; its middle without one.
    pub time: Option<f64>,
    /// Frames a second of a folder of frames.
    pub folder_fps: f64,
}

/// The bytes of a JPEG; what several thumbnails show is there once.
pub type Jpeg = Arc<Vec<u8>>;

/// A JPEG of at most `side` pixels in each direction for each of `shown`, or one line that says why there is none; each file is opened
/// once, and of each thread one frame is in memory at a time.
pub fn thumbnails(shown: &[Shown], side: u32) -> Vec<Result<Jpeg, String>> {
    let mut by_file: BTreeMap<(&Path, u64), Vec<usize>> = BTreeMap::new();
    for (i, Shown { path, folder_fps, .. }) in shown.iter().enumerate() {
        by_file.entry((path, folder_fps.to_bits())).or_default().push(i);
    }
    let groups: Vec<_> = by_file.into_iter().collect();
    let made = groups.par_iter().flat_map_iter(|((path, fps), places)| {
        let options = VideoOptions { folder_fps: f64::from_bits(*fps), ..VideoOptions::default() };
        let times: Vec<Option<f64>> = places.iter().map(|i| shown[*i].time).collect();
        let pictures = of_file(path, &times, side, &options);
        let failed = |error: Error| vec![Err(error.to_string()); times.len()];
        places.iter().copied().zip(pictures.unwrap_or_else(failed))
    });
    let mut made: Vec<_> = made.collect();
    made.sort_by_key(|(i, _)| *i);
    made.into_iter().map(|(_, jpeg)| jpeg).collect()
}

/// A JPEG of at most `side` pixels in each direction.
pub(crate) fn jpeg(picture: &Rgb8Image, side: u32) -> Result<Jpeg> {
    let longer = picture.width.max(picture.height);
    if longer <= side {
        return Ok(Arc::new(encode_jpeg(picture, QUALITY)?));
    }
    let fit = |length: u32| ((u64::from(length) * u64::from(side) / u64::from(longer)) as u32).max(1);
    let small = picture.resize(fit(picture.width), fit(picture.height), Filter::Bilinear)?;
    Ok(Arc::new(encode_jpeg(&small, QUALITY)?))
}

/// The pictures of one file at some times.
fn of_file(path: &Path, times: &[Option<f64>], side: u32, options: &VideoOptions) -> Result<Vec<Result<Jpeg, String>>> {
    let mut reader = if path.is_dir() {
        VideoReader::open_with(path, options)?
    } else {
        let media = Media::open(path)?;
        if !media.is_video() {
            let still = jpeg(&media.picture(&Limits::default())?.over([255; 3]), side)?;
            return Ok(times.iter().map(|_| Ok(Arc::clone(&still))).collect());
        }
        media.video(options)?
    };
    let _part = reader.hold_memory();
    let stamps = reader.times()?;
    let last = stamps.len().checked_sub(1).ok_or_else(|| Error::content(path, "the video has no frames"))?;
    let frame_at = |time: &Option<f64>| match time {
        Some(time) => stamps.partition_point(|stamp| stamp <= time).saturating_sub(1).min(last),
        None => last / 2,
    };
    let frames: Vec<usize> = times.iter().map(frame_at).collect();
    // In order, so that the video is gone through once.
    let mut made: BTreeMap<usize, Result<Jpeg, String>> = BTreeMap::new();
    for frame in BTreeSet::from_iter(frames.iter().copied()) {
        made.insert(frame, at(&mut reader, frame, side).map_err(|error| error.to_string()));
    }
    Ok(frames.iter().filter_map(|frame| made.get(frame).cloned()).collect())
}

fn at(reader: &mut VideoReader, frame: usize, side: u32) -> Result<Jpeg> {
    reader.seek(frame as u64)?;
    match reader.next_frame()? {
        Some(frame) => jpeg(&frame.rgb, side),
        None => Err(Error::content(reader.origin(), format!("frame {frame} is missing; is the file whole?"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vljepa_data::{Rgba8Image, encode_png};

    #[test]
    fn pictures_and_moments_become_small_pictures() {
        let dir = tempfile::tempdir().unwrap();
        let red = dir.path().join("red.png");
        let wide = Rgba8Image::new(600, 3, [255, 0, 0, 255].repeat(1800)).unwrap();
        std::fs::write(&red, encode_png(&wide).unwrap()).unwrap();
        // Four grey frames a second, each brighter than the one before.
        let film = dir.path().join("film.y4m");
        let mut y4m = b"YUV4MPEG2 W32 H32 F4:1 Cmono\n".to_vec();
        for i in 0..8u8 {
            y4m.extend(b"FRAME\n");
            y4m.extend([30 * i + 16; 1024]);
        }
        std::fs::write(&film, y4m).unwrap();
        let gone = dir.path().join("gone.mp4");
        let frames = dir.path().join("frames");
        std::fs::create_dir(&frames).unwrap();
        for i in 0..4u8 {
            let grey = Rgba8Image::new(4, 4, [60 * i, 60 * i, 60 * i, 255].repeat(16)).unwrap();
            std::fs::write(frames.join(format!("{i}.png")), encode_png(&grey).unwrap()).unwrap();
        }
        let shown = [
            (&film, Some(1.6), 25.0),
            (&red, None, 25.0),
            (&film, Some(0.0), 25.0),
            (&gone, None, 25.0),
            (&film, None, 25.0),
            (&red, None, 25.0),
            (&film, Some(1.7), 25.0),
            (&frames, Some(1.0), 1.0),
            (&frames, Some(1.0), 3.0),
        ];
        let shown = shown.map(|(path, time, folder_fps)| Shown { path: path.clone(), time, folder_fps });
        let made = thumbnails(&shown, 100);
        let decode = |i: usize| {
            let bytes: &Vec<u8> = made[i].as_ref().unwrap();
            vljepa_data::decode_bytes("thumbnail", bytes, &Limits::default()).unwrap()
        };
        let grey = |i: usize| i32::from(decode(i).data[0]);
        assert_eq!((decode(1).width, decode(1).height, decode(0).width), (100, 1, 32));
        // Frames 6, 0 and 3.
        assert!(grey(2) < 10 && grey(0) > grey(4) + 60, "{} {} {}", grey(0), grey(2), grey(4));
        let gone = made[3].as_ref().unwrap_err();
        assert_eq!(gone.matches("gone.mp4").count(), 1, "{gone}");
        // What is shown twice is made once: a still, and a frame.
        for (a, b) in [(1, 5), (0, 6)] {
            assert!(Arc::ptr_eq(made[a].as_ref().unwrap(), made[b].as_ref().unwrap()), "{a} {b}");
        }
        // Each index has its own rate: one second is frame 1, and frame 3.
        assert!((grey(7) - 60).abs() < 8 && (grey(8) - 180).abs() < 8, "{} {}", grey(7), grey(8));
    }
}
