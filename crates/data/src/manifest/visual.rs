//! The media of a row: opened where it lies, decoded, and made into the numbers that an encoder takes.

use std::fs::Metadata;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::row::{Place, Row};
use super::shards::Member;
use crate::file::{open_regular, stamp};
use crate::video::{Clips, HELD_FRAMES, Sampling, VideoOptions, VideoReader, frames_in};
use crate::{Crops, DataError, Limits, Media, Preprocess, Rgb8Image};

/// The media of a row, open and not decoded.
#[derive(Debug)]
pub enum Opened {
    /// A picture.
    Still(Media),
    /// A video or a folder of frames.
    Clip(Box<VideoReader>),
}

impl Place {
    /// Opens the media, told by its content; a folder is a video of its pictures.
    ///
    /// # Errors
    /// Media that are missing, broken at their start, or of a format that is not read.
    pub fn open(&self, options: &VideoOptions) -> Result<Opened, DataError> {
        let media = match self {
            Self::Path(path) if path.is_dir() => {
                return Ok(Opened::Clip(Box::new(VideoReader::open_with(path, options)?)));
            }
            _ => self.media()?,
        };
        Ok(match media.is_video() {
            true => Opened::Clip(Box::new(media.video(options)?)),
            false => Opened::Still(media),
        })
    }

    /// Whether it is a video or a folder of frames, told by the content; else it is a picture.
    ///
    /// # Errors
    /// Media that are missing, or empty, or cannot be opened.
    pub fn is_clip(&self) -> Result<bool, DataError> {
        match self {
            Self::Path(path) if path.is_dir() => Ok(true),
            _ => Ok(self.media()?.is_video()),
        }
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Member(Member { archive, name, .. }) => format!("{}/{name}", archive.display()),
        }
    }

    /// The files that it is read from: itself, the pictures of a folder of frames, or the archive. A folder that cannot be listed has none.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Path(path) if path.is_dir() => frames_in(path).unwrap_or_default(),
            Self::Path(path) => vec![path.clone()],
            Self::Member(member) => vec![member.archive.to_path_buf()],
        }
    }

    /// Opens a file, not a folder.
    ///
    /// # Errors
    /// A file that is missing, empty, or something else.
    pub fn media(&self) -> Result<Media, DataError> {
        match self {
            Self::Path(path) => Media::open(path),
            Self::Member(member) => {
                let file = open_regular(&member.archive)?;
                let meta = file.metadata().map_err(DataError::io(&*member.archive, "reading"))?;
                if member.start.checked_add(member.bytes).is_none_or(|end| end > meta.len()) {
                    return Err(DataError::content(&*member.archive, "the archive became shorter while it was read"));
                }
                Media::part(Path::new(&self.name()), file, member.start, member.bytes, stamp(&meta).1)
            }
        }
    }

    /// Bytes and time of the last change, of the archive for a file in one: another stamp means that the content may be
    /// another. Of a folder, the sum over its pictures and the latest time.
    ///
    /// # Errors
    /// Media that are missing.
    pub fn stamp(&self) -> Result<(u64, u64), DataError> {
        let meta = |path: &Path| -> Result<Metadata, DataError> {
            std::fs::metadata(path).map_err(DataError::io(path, "reading"))
        };
        match self {
            Self::Path(path) if path.is_dir() => {
                let mut total = (0_u64, 0);
                for file in frames_in(path)? {
                    let (bytes, changed) = stamp(&meta(&file)?);
                    total = (total.0.saturating_add(bytes), changed.max(total.1));
                }
                Ok(total)
            }
            Self::Path(path) => Ok(stamp(&meta(path)?)),
            Self::Member(member) => Ok((member.bytes, stamp(&meta(&member.archive)?).1)),
        }
    }

    /// SHA-256 of the content, hexadecimal: of a folder, of its pictures in the order of their names.
    ///
    /// # Errors
    /// Media that cannot be read.
    pub fn content_hash(&self) -> Result<String, DataError> {
        let mut hash = Sha256::new();
        match self {
            Self::Path(path) if path.is_dir() => {
                for file in frames_in(path)? {
                    let (bytes, _) = stamp(&std::fs::metadata(&file).map_err(DataError::io(&file, "reading"))?);
                    hash.update(bytes.to_le_bytes());
                    feed(&mut hash, open_regular(&file)?, &file)?;
                }
            }
            _ => {
                let media = self.media()?;
                let (source, bytes) = media.bytes()?;
                feed(&mut hash, source.take(bytes), media.path())?;
            }
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn feed(hash: &mut Sha256, mut source: impl Read, path: &Path) -> Result<(), DataError> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(DataError::io(path, "reading")(error)),
        }
    }
}

impl Row {
    /// The numbers that an encoder takes of `frames` frames, `[frames, 3, size, size]`: of a video the clip between the row's
    /// times, as [`Clips`] gives it, each frame prepared as it is decoded; a picture stands for all of them. Threads that decode at
    /// once share 1 GiB.
    ///
    /// # Errors
    /// Media that cannot be read, times of a picture, and times between which no frame lies; each names the row's place and
    /// the file.
    pub fn numbers(&self, frames: usize, to: &Preprocess, options: &VideoOptions) -> Result<Vec<f32>, DataError> {
        let still = |media: Media| media.numbers(to, Crops::Center, &Limits::default());
        let frame = |rgb: Rgb8Image| to.views(&rgb, Crops::Center, true);
        let clip = self.decoded(frames, size_of::<f32>() * to.values(), options, &still, &frame);
        let clip = clip.map_err(|error| self.fault(&error))?;
        Ok(clip.iter().flat_map(|frame| frame.iter().copied()).collect())
    }

    /// The square crops that [`Self::numbers`] are made of, still in bytes, for pictures that are changed before that.
    ///
    /// # Errors
    /// As [`Self::numbers`].
    pub fn square_crops(
        &self,
        frames: usize,
        to: &Preprocess,
        options: &VideoOptions,
    ) -> Result<Vec<Arc<Rgb8Image>>, DataError> {
        let still = |media: Media| media.square_crop(to, &Limits::default());
        let frame = |rgb: Rgb8Image| to.square_crop_rgb(&rgb);
        self.decoded(frames, to.values(), options, &still, &frame).map_err(|error| self.fault(&error))
    }

    /// Whether the row is a clip, told by the content of its file; else it is a picture.
    ///
    /// # Errors
    /// Media that cannot be opened, and times of a picture; each names the row's place and the file.
    pub fn is_clip(&self) -> Result<bool, DataError> {
        let is_clip = self.place.is_clip().map_err(|error| self.fault(&error))?;
        if !is_clip && self.is_timed() {
            return Err(self.fault(&self.untimed()));
        }
        Ok(is_clip)
    }

    /// An error of the row's media, behind the row's place.
    fn fault(&self, error: &DataError) -> DataError {
        DataError::content(self.origin(), error.to_string())
    }

    fn untimed(&self) -> DataError {
        DataError::content(self.place.name(), "a picture has no `start` and `end`; leave them out")
    }

    /// What `still` makes of a picture, for all frames, or `frame` of each frame of the clip, which takes `bytes`.
    fn decoded<T>(
        &self,
        frames: usize,
        bytes: usize,
        options: &VideoOptions,
        still: &dyn Fn(Media) -> Result<T, DataError>,
        frame: &dyn Fn(Rgb8Image) -> Result<T, DataError>,
    ) -> Result<Vec<Arc<T>>, DataError> {
        match self.opened(options)? {
            Opened::Clip(reader) => self.frames_of(reader, frames, bytes, frame),
            Opened::Still(media) => {
                let still = Arc::new(still(media)?);
                Ok(std::iter::repeat_n(still, frames).collect())
            }
        }
    }

    /// The media, open. A picture with times is refused.
    pub(super) fn opened(&self, options: &VideoOptions) -> Result<Opened, DataError> {
        match self.place.open(options)? {
            Opened::Still(_) if self.is_timed() => Err(self.untimed()),
            opened => Ok(opened),
        }
    }

    /// What `frame` makes of each of `frames` frames of the row's clip, which takes `bytes`.
    pub(super) fn frames_of<T>(
        &self,
        mut reader: Box<VideoReader>,
        frames: usize,
        bytes: usize,
        frame: &dyn Fn(Rgb8Image) -> Result<T, DataError>,
    ) -> Result<Vec<Arc<T>>, DataError> {
        let sampling = Sampling { frames: Some(frames), start: self.start, end: self.end, ..Sampling::default() };
        let _part = reader.hold_memory();
        let hold = (HELD_FRAMES / bytes.max(1)).max(1);
        let mut clips = Clips::new(&mut reader, &sampling.settle(frames)?, 0, hold)?;
        let mut prepare = |rgb: Rgb8Image| frame(rgb).map_err(|error| error.of_file(&self.place.name()));
        let clip = clips.next_clip(&mut prepare)?;
        let clip =
            clip.ok_or_else(|| DataError::content(self.place.name(), "the video has no frames; leave it out"))?;
        Ok(clip.frames)
    }
}
