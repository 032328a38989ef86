//! A picture or video file that is opened once: what it is, its size and time, and its pixels from the same open file.

use std::fs::File;
use std::path::Path;

use crate::decode::{To, decode_open};
use crate::file::{OpenFile, SharedFile, from_start};
use crate::video::{VideoOptions, VideoReader};
use crate::{Crops, DataError, Limits, Preprocess, Rgb8Image, Rgba8Image};

/// An open picture or video file.
///
/// What replaces the file at its path after it was opened is not seen, except by the program `ffmpeg`, which reads by path
/// the formats that this crate leaves to it.
///
/// ```no_run
/// use vljepa_data::{Limits, Media, video::VideoOptions};
///
/// let media = Media::open("holiday.gif")?;
/// let (bytes, milliseconds) = media.stamp();
/// if media.is_video() {
///     let frames = media.video(&VideoOptions::default())?.count()?;
///     println!("{frames} frames in {bytes} bytes of {milliseconds}");
/// } else {
///     println!("{} columns", media.picture(&Limits::default())?.width);
/// }
/// # Ok::<(), vljepa_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct Media(OpenFile);

impl Media {
    /// Opens a regular file and looks at its first bytes. An empty file opens; reading it reports [`DataError::Empty`].
    ///
    /// # Errors
    /// A file that is missing or cannot be read; [`DataError::NotAPicture`] for a folder, a pipe and a device.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        OpenFile::regular(path.as_ref(), "reading").map(Self)
    }

    /// Opens a part of a file that is open, such as a file in an archive: `bytes` from `start`. `name` is what errors call it, and
    /// its extension counts as that of a file; `changed` is the time of the whole file.
    pub(crate) fn part(name: &Path, file: File, start: u64, bytes: u64, changed: u64) -> Result<Self, DataError> {
        OpenFile::part(name, file, start, bytes, changed).map(Self)
    }

    /// Its bytes from the start, and how many they are.
    pub(crate) fn bytes(&self) -> Result<(SharedFile, u64), DataError> {
        Ok((from_start(&self.0.file, &self.0.path)?, self.0.bytes))
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Size in bytes, and time of the last change in milliseconds since 1970 (0 where the system does not say), both as they
    /// were just before the file was opened.
    pub fn stamp(&self) -> (u64, u64) {
        (self.0.bytes, self.0.changed)
    }

    /// Whether it holds moving pictures, as [`crate::video::is_video`] decides.
    pub fn is_video(&self) -> bool {
        self.0.is_video()
    }

    /// The picture, or the first frame of an animation, as [`crate::decode_file`] decodes it.
    ///
    /// # Errors
    /// A file that is empty, broken, beyond the limits or no picture.
    pub fn picture(&self, limits: &Limits) -> Result<Rgba8Image, DataError> {
        decode_open(&self.0, limits, To::Rgba)?.rgba()
    }

    /// The numbers that an encoder takes of the picture, as [`Self::picture`] and [`Preprocess::views`] give them. Its memory is
    /// shared out among threads until they are made: fit to be called for many files at once.
    ///
    /// # Errors
    /// As [`Self::picture`] and [`Preprocess::views`]; each names the file.
    pub fn numbers(&self, preprocess: &Preprocess, crops: Crops, limits: &Limits) -> Result<Vec<f32>, DataError> {
        let named = |error: DataError| error.of_file(&self.0.origin());
        let (rgb, held) = decode_open(&self.0, limits, To::Rgb)?.rgb_over(preprocess.background).map_err(named)?;
        let numbers = preprocess.views(&rgb, crops, false).map_err(named);
        drop((rgb, held));
        numbers
    }

    /// The square crop of the picture that an encoder takes, still in bytes, as [`Preprocess::square_crop`] gives it. Its memory is
    /// shared out as that of [`Self::numbers`].
    ///
    /// # Errors
    /// As [`Self::numbers`].
    pub fn square_crop(&self, preprocess: &Preprocess, limits: &Limits) -> Result<Rgb8Image, DataError> {
        let named = |error: DataError| error.of_file(&self.0.origin());
        let (rgb, held) = decode_open(&self.0, limits, To::Rgb)?.rgb_over(preprocess.background).map_err(named)?;
        let crop = preprocess.square_crop_rgb(&rgb).map_err(named);
        drop((rgb, held));
        crop
    }

    /// Its frames, as [`VideoReader::open_with`] gives them; a picture is a video of one frame.
    ///
    /// # Errors
    /// As [`VideoReader::open_with`].
    pub fn video(self, options: &VideoOptions) -> Result<VideoReader, DataError> {
        VideoReader::of(self.0, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode_png;
    use crate::file::OPENED;

    fn opened_by(work: impl FnOnce()) -> usize {
        let before = OPENED.get();
        work();
        OPENED.get() - before
    }

    #[test]
    fn one_file_is_opened_once() {
        let dir = tempfile::tempdir().unwrap();
        let picture = dir.path().join("a.png");
        std::fs::write(&picture, encode_png(&Rgba8Image::new(2, 1, vec![9; 8]).unwrap()).unwrap()).unwrap();
        let film = dir.path().join("a.y4m");
        std::fs::write(&film, b"YUV4MPEG2 W1 H1 F1:1 Cmono\nFRAME\nxFRAME\ny").unwrap();
        let clips = ["bframes.mp4", "opaque.gif", "clear.webp", "clear.png"]
            .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/video").join(name));
        for path in clips.iter().chain([&film, &picture]) {
            let work = || {
                let media = Media::open(path).unwrap();
                let frames = |mut reader: VideoReader| {
                    while reader.next_frame().unwrap().is_some() {}
                    reader.seek(0).unwrap();
                    assert!(reader.next_frame().unwrap().is_some());
                };
                if path == &picture {
                    media.picture(&Limits::default()).unwrap();
                }
                frames(media.video(&VideoOptions::default()).unwrap());
            };
            assert_eq!(opened_by(work), 1, "{}", path.display());
        }
    }

    #[test]
    fn it_moves_between_threads() {
        fn send<T: Send>() {}
        send::<Media>();
    }
}
