//! Small pictures of files and of moments in videos.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use vljepa_data::video::{VideoOptions, VideoReader};
use vljepa_data::{Filter, Limits, Media, Rgb8Image, encode_jpeg};

use crate::error::{Error, Result};

/// Quality of the JPEG.
const QUALITY: u8 = 82;

/// What a thumbnail shows: a picture, or a video at a time in seconds (its middle without one).
pub type Shown = (PathBuf, Option<f64>);

/// A JPEG of at most `side` pixels in each direction for each of `shown`; each file is opened once. `folder_fps` is the rate of folders of
/// frames.
pub fn thumbnails(shown: &[Shown], side: u32, folder_fps: f64) -> Vec<Result<Vec<u8>>> {
    let mut by_file: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    shown.iter().enumerate().for_each(|(i, (path, _))| by_file.entry(path).or_default().push(i));
    let options = VideoOptions { folder_fps, ..VideoOptions::default() };
    let groups: Vec<_> = by_file.into_iter().collect();
    let made = groups.par_iter().flat_map_iter(|(path, places)| {
        let times: Vec<Option<f64>> = places.iter().map(|i| shown[*i].1).collect();
        let pictures = of_file(path, &times, &options);
        places.iter().copied().zip(pictures)
    });
    let mut made: Vec<_> = made.map(|(i, picture)| (i, picture.and_then(|rgb| jpeg(&rgb, side)))).collect();
    made.sort_by_key(|(i, _)| *i);
    made.into_iter().map(|(_, jpeg)| jpeg).collect()
}

fn jpeg(picture: &Rgb8Image, side: u32) -> Result<Vec<u8>> {
    let longer = picture.width.max(picture.height);
    if longer <= side {
        return Ok(encode_jpeg(picture, QUALITY)?);
    }
    let fit = |length: u32| ((u64::from(length) * u64::from(side) / u64::from(longer)) as u32).max(1);
    Ok(encode_jpeg(&picture.resize(fit(picture.width), fit(picture.height), Filter::Bilinear)?, QUALITY)?)
}

/// A file to be shown.
enum Opened {
    Picture(Rgb8Image),
    Video(VideoReader),
}

fn open(path: &Path, options: &VideoOptions) -> Result<Opened> {
    if path.is_dir() {
        return Ok(Opened::Video(VideoReader::open_with(path, options)?));
    }
    let media = Media::open(path)?;
    Ok(match media.is_video() {
        true => Opened::Video(media.video(options)?),
        false => Opened::Picture(media.picture(&Limits::default())?.over([255; 3])),
    })
}

/// The pictures of one file at some times.
fn of_file(path: &Path, times: &[Option<f64>], options: &VideoOptions) -> Vec<Result<Rgb8Image>> {
    let mut reader = match open(path, options) {
        Ok(Opened::Video(reader)) => reader,
        Ok(Opened::Picture(picture)) => return times.iter().map(|_| Ok(picture.clone())).collect(),
        Err(e) => return times.iter().map(|_| Err(Error::content(path, e.to_string()))).collect(),
    };
    let mut at = |time: Option<f64>| -> Result<Rgb8Image> {
        let stamps = reader.times()?;
        let last = stamps.len().checked_sub(1).ok_or_else(|| Error::content(path, "the video has no frames"))?;
        let frame = match time {
            Some(time) => stamps.partition_point(|stamp| *stamp <= time).saturating_sub(1).min(last),
            None => last / 2,
        };
        let mut frames = reader.frames(&[frame])?;
        frames.pop().map(|frame| frame.rgb).ok_or_else(|| Error::content(path, "the video has no frames"))
    };
    // In the order of time, so that a video is gone through once.
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by(|a, b| times[*a].unwrap_or(0.0).total_cmp(&times[*b].unwrap_or(0.0)));
    let mut pictures: Vec<_> = order.into_iter().map(|i| (i, at(times[i]))).collect();
    pictures.sort_by_key(|(i, _)| *i);
    pictures.into_iter().map(|(_, picture)| picture).collect()
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
        let shown = [(film.clone(), Some(1.6)), (red, None), (film.clone(), Some(0.0)), (gone, None), (film, None)];
        let made = thumbnails(&shown, 100, 25.0);
        let decode = |i: usize| {
            let bytes: &Vec<u8> = made[i].as_ref().unwrap();
            vljepa_data::decode_bytes("thumbnail", bytes, &Limits::default()).unwrap()
        };
        let grey = |i: usize| i32::from(decode(i).data[0]);
        assert_eq!((decode(1).width, decode(1).height, decode(0).width), (100, 1, 32));
        // Frames 6, 0 and 3.
        assert!(grey(2) < 10 && grey(0) > grey(4) + 60, "{} {} {}", grey(0), grey(2), grey(4));
        assert!(made[3].as_ref().unwrap_err().to_string().contains("gone.mp4"));
    }
}
