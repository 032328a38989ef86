//! Inputs to rows: pictures and the clips of videos, read so that a call can be ended at any frame.

use std::path::Path;

use vljepa_data::video::{Clips, HELD_FRAMES, Length, Sampling, VideoOptions, VideoReader};
use vljepa_data::{Crops, Limits, Media, Rgb8Image};
use vljepa_embed::Embeddings;
use vljepa_embed::models::WithQuery;
use vljepa_embed::visuals::{Moment, VisualEncoder};

use super::error::{McpError, Result};
use super::task::Task;

/// Most windows that a long video is looked at in, where a call tells of all of it.
pub(super) const MOST_WINDOWS: usize = 600;

/// An input that is opened.
#[derive(Debug)]
pub(super) enum Opened {
    Picture(Media),
    Video {
        reader: VideoReader,
        /// Seconds, once they were asked for.
        length: Option<f64>,
    },
}

/// Which clips of a video are seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cut {
    /// Seconds of a window and from the start of one to that of the next; absent: the whole is one clip.
    pub windows: Option<[f64; 2]>,
    /// Where it begins, in seconds.
    pub start: Option<f64>,
    /// Where it ends.
    pub end: Option<f64>,
}

/// What a model makes of an input.
#[derive(Debug)]
pub(super) struct Rows {
    /// A row for the picture or for each clip, of unit length.
    pub rows: Embeddings,
    /// When each clip is; `None` for a picture.
    pub moments: Vec<Option<Moment>>,
    /// What is to be known of the file, a line each.
    pub notes: Vec<String>,
}

impl Opened {
    /// Opens a file or a folder of frames.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let options = VideoOptions::default();
        let video = |reader: VideoReader| Self::Video { length: reader.facts().duration, reader };
        if path.is_dir() {
            return Ok(video(VideoReader::open_with(path, &options)?));
        }
        let media = Media::open(path)?;
        Ok(if media.is_video() { video(media.video(&options)?) } else { Self::Picture(media) })
    }

    /// The reader of a video.
    ///
    /// # Errors
    /// A picture.
    pub fn video(path: &Path) -> Result<VideoReader> {
        match Self::open(path)? {
            Self::Video { reader, .. } => Ok(reader),
            Self::Picture(_) => Err(McpError::content(path, "is a picture; name a video or a folder of frames")),
        }
    }

    /// Seconds of a video; of one that does not state them, its frames are counted.
    ///
    /// # Errors
    /// What reading reports.
    pub fn length(&mut self) -> Result<Option<f64>> {
        let Self::Video { reader, length } = self else { return Ok(None) };
        if length.is_none() {
            let times = reader.times()?;
            let steps = times.len().saturating_sub(1).max(1) as f64;
            // The last frame stays as long as the others do.
            *length = times.first().zip(times.last()).map(|(first, last)| last + (last - first) / steps);
        }
        Ok(*length)
    }

    /// [`Cut::windows`] of this input.
    ///
    /// # Errors
    /// As [`Self::length`].
    pub fn windows(&mut self, window: f64, part: [Option<f64>; 2], most: usize) -> Result<Cut> {
        Ok(Cut::windows(window, part, self.length()?, most))
    }

    pub fn is_video(&self) -> bool {
        matches!(self, Self::Video { .. })
    }
}

impl Cut {
    pub const WHOLE: Self = Self { windows: None, start: None, end: None };

    /// Windows of `window` seconds that overlap by half; where the part from `start` to `end` of a video of `duration` seconds has more than `most` of them,
    /// they are further apart.
    fn windows(window: f64, part: [Option<f64>; 2], duration: Option<f64>, most: usize) -> Self {
        let [start, end] = part;
        let length = duration.map(|all| end.map_or(all, |end| end.min(all)) - start.unwrap_or(0.0));
        let stride = length.map_or(0.0, |length| (length - window) / most.max(2) as f64).max(window / 2.0);
        Self { windows: Some([window, stride]), start, end }
    }

    fn sampling(&self) -> Sampling {
        let seconds = |at: usize| self.windows.map(|windows| Length::Seconds(windows[at]));
        Sampling { window: seconds(0), stride: seconds(1), start: self.start, end: self.end, ..Sampling::default() }
    }
}

/// The rows of an input.
///
/// # Errors
/// What cannot be read, times that are not in the video, errors of the device, and a call that is not wanted any more.
pub(super) fn embed(asked: &WithQuery<'_>, path: &Path, opened: Opened, cut: &Cut, task: &Task) -> Result<Rows> {
    task.check()?;
    let mut found = Rows { rows: Embeddings::new(asked.model().dim()), moments: Vec::new(), notes: Vec::new() };
    let name = |_: usize| path.display().to_string();
    let (mut reader, length) = match opened {
        Opened::Picture(media) => {
            let pixels = media.numbers(asked.preprocess(), Crops::Center, &Limits::default())?;
            found.rows.extend(&asked.encode(&pixels, 1, 1)?, name)?;
            found.moments.push(None);
            return Ok(found);
        }
        Opened::Video { reader, length } => (reader, length),
    };
    let preprocess = asked.preprocess();
    let clipping = cut.sampling().settle(asked.frames())?;
    let _memory = reader.hold_memory();
    let hold = (HELD_FRAMES / (4 * preprocess.values()).max(1)).max(1);
    let mut clips = Clips::new(&mut reader, &clipping, 0, hold)?;
    let mut prepare = |rgb: Rgb8Image| -> Result<Vec<f32>> {
        task.check()?;
        let pixels = preprocess.views(&rgb, Crops::Center, true);
        pixels.map_err(|error| McpError::content(path, error.to_string()))
    };
    let (most, frames) = (asked.batch(clipping.frames()), clipping.frames());
    let (mut pixels, mut count, mut passed) = (Vec::new(), 0, 0.0);
    loop {
        let clip = clips.next_clip(&mut prepare)?;
        let ended = clip.is_none();
        if let Some(clip) = clip {
            passed = clip.end;
            pixels.extend(clip.frames.iter().flat_map(|frame| frame.iter().copied()));
            found.moments.push(Some(Moment { start: clip.start, end: clip.end }));
            count += 1;
        }
        if count == most || (ended && count > 0) {
            task.check()?;
            found.rows.extend(&asked.encode(&pixels, count, frames)?, name)?;
            (pixels, count) = (Vec::new(), 0);
            let start = cut.start.unwrap_or(0.0);
            let all = cut.end.unwrap_or(f64::INFINITY).min(length.unwrap_or(f64::INFINITY)) - start;
            task.report((passed - start) / all.max(1e-3), "looking");
        }
        if ended {
            break;
        }
    }
    drop(clips);
    found.notes = reader.notes();
    Ok(found)
}

/// Makes the first frame at or after `time` the next one, and gives its number.
///
/// # Errors
/// What reading reports.
pub(super) fn seek(reader: &mut VideoReader, time: f64) -> Result<u64> {
    if time <= 0.0 {
        return Ok(0);
    }
    let times = reader.times()?;
    // Times were told to the millisecond.
    let index = times.iter().position(|at| *at >= time - 6e-4).unwrap_or(times.len()) as u64;
    reader.seek(index)?;
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_long_videos_are_further_apart() {
        let stride = |cut: Cut| cut.windows.unwrap()[1];
        assert_eq!(stride(Cut::windows(2.0, [None, None], Some(60.0), 600)), 1.0);
        assert_eq!(stride(Cut::windows(2.0, [None, None], None, 600)), 1.0);
        assert_eq!(stride(Cut::windows(2.0, [None, None], Some(6002.0), 600)), 10.0);
        assert_eq!(stride(Cut::windows(2.0, [Some(100.0), Some(160.0)], Some(6002.0), 600)), 1.0);
        assert_eq!(stride(Cut::windows(2.0, [Some(9e5), None], Some(60.0), 600)), 1.0);
        // As many as may be, or a few more.
        let cut = Cut::windows(0.05, [None, None], Some(86_400.0), 600);
        assert!((86_400.0 / stride(cut)).ceil() <= 602.0);
        assert!(cut.sampling().settle(8).is_ok());
    }

    #[test]
    fn a_picture_is_no_video() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let picture = vljepa_data::Rgba8Image::new(2, 2, vec![9; 16]).unwrap();
        std::fs::write(&path, vljepa_data::encode_png(&picture).unwrap()).unwrap();
        let mut opened = Opened::open(&path).unwrap();
        assert!(!opened.is_video() && opened.length().unwrap().is_none());
        assert!(Opened::video(&path).unwrap_err().to_string().contains("is a picture"));
        assert!(Opened::open(&dir.path().join("gone.mp4")).is_err());
    }
    #[test]
    fn a_video_that_does_not_state_its_length_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.y4m");
        let film = |frames: usize| [&b"YUV4MPEG2 W1 H1 F4:1 Cmono\n"[..], &b"FRAME\nx".repeat(frames)].concat();
        for (frames, length) in [(10, 2.5), (1, 0.0)] {
            std::fs::write(&path, film(frames)).unwrap();
            let mut opened = Opened::open(&path).unwrap();
            assert_eq!((opened.is_video(), opened.length().unwrap()), (true, Some(length)));
        }
    }
}
