//! The reader of every kind of video: frames in order, from any place, or chosen from the whole.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::anim::Animation;
use super::boxes::Orientation;
use super::choose::{Rounding, uniform};
use super::containers::{Container, MP4};
use super::ffmpeg::{Ffmpeg, Input};
use super::folder::{Folder, Still};
use super::h264::{H264, Opened};
use super::mjpeg::Mjpeg;
use super::options::VideoOptions;
use super::raw::{RawFormat, RawSource, Stream};
use super::source::{Access, Facts, Pixels, Source};
use super::y4m::Y4m;
use super::yuv::YuvFrame;
use crate::file::{self, OpenFile, SharedFile};
use crate::kind::{HEAD, Kind, Y4M_MAGIC};
use crate::memory::{Held, hold};
use crate::{DataError, Limits, Rgb8Image};

/// A frame and when it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The picture, upright.
    pub rgb: Rgb8Image,
    /// Presentation time in seconds.
    pub pts: f64,
}

/// Reads a video frame by frame, or at any place.
///
/// Sample aspect ratios other than 1:1 are not applied: frames have the pixels that the stream has.
pub struct VideoReader {
    origin: String,
    source: Box<dyn Source>,
    /// Number of the next frame.
    at: u64,
    /// The times of all frames, once they were asked for.
    times: Option<Arc<Vec<f64>>>,
}

/// A part of the memory that decoders share, given back when it is dropped. See [`VideoReader::hold_memory`].
#[must_use]
pub struct MemoryPart {
    _held: Held,
}

impl std::fmt::Debug for VideoReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VideoReader").field("origin", &self.origin).field("facts", self.facts()).finish_non_exhaustive()
    }
}

impl VideoReader {
    /// Opens a file, whose format is recognised by its content, or a folder of pictures, with [`VideoOptions::default`].
    ///
    /// # Errors
    /// A missing, empty or broken file, a folder without pictures, frames beyond the limits, and a format that needs
    /// `ffmpeg` where that is not installed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        Self::open_with(path, &VideoOptions::default())
    }

    /// As [`Self::open`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: impl AsRef<Path>, options: &VideoOptions) -> Result<Self, DataError> {
        let path = path.as_ref();
        options.check()?;
        let meta = std::fs::metadata(path).map_err(DataError::io(path, "reading"))?;
        let origin = path.display().to_string();
        if meta.is_dir() {
            return Ok(Self::new(origin, Folder::open(path, options.folder_fps, &options.limits)?));
        }
        if !meta.is_file() {
            // A named pipe: its bytes come once.
            return Self::from_y4m(&origin, Box::new(file::open(path)?), &options.limits);
        }
        Self::of(OpenFile::known(path, &meta)?, options)
    }

    /// Reads a file that is open already; only the program `ffmpeg` opens it again, by its path.
    pub(crate) fn of(open: OpenFile, options: &VideoOptions) -> Result<Self, DataError> {
        options.check()?;
        let (origin, limits) = (open.origin(), &options.limits);
        let (why, track) = match open.kind {
            Kind::Empty => return Err(DataError::Empty(origin)),
            Kind::Foreign(format) => return Err(DataError::ForeignPicture { origin, format }),
            Kind::Instead(what) => return Err(DataError::content(origin, what)),
            Kind::Y4m => {
                let stream = file_stream(&origin, &open.path, open.file)?;
                return Ok(Self::new(origin, Y4m::new(stream, limits)?));
            }
            Kind::Animation(format) => return Ok(Self::new(origin, Animation::open(open, format, limits)?)),
            Kind::Picture => return Ok(Self::new(origin, Still::new(open, options.folder_fps, limits))),
            Kind::Mp4 => match H264::open(&origin, open.file.clone(), limits, options.damaged)? {
                Opened::Ready(source) => return Ok(Self { source, origin, at: 0, times: None }),
                Opened::Foreign { why, track } => (why, track),
            },
            Kind::Other => ("its format is not one that is read without help".to_owned(), 0),
        };
        if open.file.is_part() {
            let reason = format!(
                "{why}, and `ffmpeg` reads whole files alone; inside an archive, videos are MP4 or MOV with H.264, GIF, WebP, APNG or Y4M"
            );
            return Err(DataError::content(origin, reason));
        }
        Ok(Self::new(origin, foreign(&open, &why, track, options)?))
    }

    /// Reads Y4M from a pipe; `origin` is what errors call it.
    ///
    /// # Errors
    /// A stream that is not Y4M, or frames beyond the limits.
    pub fn from_y4m(origin: &str, reader: Box<dyn Read>, limits: &Limits) -> Result<Self, DataError> {
        let source = Y4m::new(Stream::new(origin, reader, None), limits)?;
        Ok(Self::new(origin.to_owned(), source))
    }

    /// Reads raw frames from a pipe; `origin` is what errors call it.
    ///
    /// # Errors
    /// A format without pixels or with a rate that is none, or frames beyond the limits.
    pub fn from_raw(
        origin: &str,
        reader: Box<dyn Read>,
        format: RawFormat,
        limits: &Limits,
    ) -> Result<Self, DataError> {
        let source = RawSource::new(Stream::new(origin, reader, None), format, None, limits)?;
        Ok(Self::new(origin.to_owned(), source))
    }

    /// Reads a pipe whose first bytes tell what it is: Y4M, or JPEG pictures one after the other at `fps` a second.
    ///
    /// # Errors
    /// A stream that is empty or neither, a rate that is none, or frames beyond the limits.
    pub fn from_stream(origin: &str, mut reader: Box<dyn Read>, fps: f64, limits: &Limits) -> Result<Self, DataError> {
        let mut head = [0; Y4M_MAGIC.len()];
        let read = file::fill(&mut reader, &mut head).map_err(DataError::io(origin, "reading"))?;
        let head = head[..read].to_vec();
        let (is_y4m, is_jpeg) = (head == Y4M_MAGIC, head.starts_with(&[0xff, 0xd8, 0xff]));
        let reader: Box<dyn Read> = Box::new(std::io::Cursor::new(head).chain(reader));
        if is_y4m {
            return Self::from_y4m(origin, reader, limits);
        }
        if is_jpeg {
            VideoOptions { folder_fps: fps, ..VideoOptions::default() }.check()?;
            return Ok(Self::new(origin.to_owned(), Mjpeg::new(Stream::new(origin, reader, None), fps, limits)));
        }
        if read == 0 {
            return Err(DataError::Empty(origin.to_owned()));
        }
        let reason = "is neither Y4M nor a row of JPEG pictures; raw frames are read where their size is given";
        Err(DataError::content(origin, reason))
    }

    /// Opens a file of raw frames.
    ///
    /// # Errors
    /// As [`Self::from_raw`], and a file that cannot be read.
    pub fn open_raw(path: impl AsRef<Path>, format: RawFormat, limits: &Limits) -> Result<Self, DataError> {
        let path = path.as_ref();
        let origin = path.display().to_string();
        let file = file::open(path)?;
        let meta = file.metadata().map_err(DataError::io(path, "reading"))?;
        if meta.is_dir() {
            return Err(DataError::content(path, "is a folder, a file of raw frames is expected"));
        }
        let bytes = meta.is_file().then_some(meta.len());
        let stream = match bytes {
            Some(_) => file_stream(&origin, path, SharedFile::whole(file))?,
            None => Stream::new(&origin, Box::new(file), None),
        };
        Ok(Self::new(origin, RawSource::new(stream, format, bytes, limits)?))
    }

    /// Waits until the memory that decoding takes is free, by the size of its frames: threads that decode at once share 1 GiB. To
    /// be kept while frames are read.
    pub fn hold_memory(&self) -> MemoryPart {
        let facts = self.facts();
        let (width, height) = facts.size.unwrap_or_default();
        let bytes_a_pixel = match facts.format {
            // Canvas, frame, and the frame over white.
            "GIF" | "WebP" => 16,
            // What a frame covers is kept too, and channels may have two bytes.
            "PNG" => 20,
            // Frames that others refer to.
            _ => 32,
        };
        MemoryPart { _held: hold(u64::from(width) * u64::from(height) * bytes_a_pixel) }
    }

    fn new(origin: String, source: impl Source + 'static) -> Self {
        Self { origin, source: Box::new(source), at: 0, times: None }
    }

    /// What errors call the video: its path, or the name of its stream.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn access(&self) -> Access {
        self.source.access()
    }

    /// What is known of the video.
    pub fn facts(&self) -> &Facts {
        self.source.facts()
    }

    /// What of the video is not as its file says, as far as it was read: that it is cut off, or that frames are damaged and
    /// others stand in their place. A line each, without the name of the file. Of a video that the program `ffmpeg` reads, it
    /// is known after its last frame, and after [`Self::times`] and [`Self::count`].
    pub fn notes(&self) -> Vec<String> {
        self.source.notes()
    }

    /// The next frame; `None` after the last.
    ///
    /// # Errors
    /// A broken stream: the frames before the break were given. Of a file that is cut off the whole frames are given, and
    /// [`Self::notes`] says so.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DataError> {
        let Some(raw) = self.source.next()? else {
            return Ok(None);
        };
        self.at += 1;
        let rgb = match raw.pixels {
            Pixels::Rgb(rgb) => rgb,
            Pixels::Yuv(yuv) => self.upright(yuv.to_rgb()?)?,
        };
        Ok(Some(Frame { rgb, pts: raw.pts }))
    }

    /// The next frame's planes and time, before any conversion and not turned; for sources that have planes (H.264 and YUV).
    ///
    /// # Errors
    /// As [`Self::next_frame`]; a source of RGB.
    pub fn next_yuv(&mut self) -> Result<Option<(YuvFrame, f64)>, DataError> {
        let Some(raw) = self.source.next()? else {
            return Ok(None);
        };
        self.at += 1;
        match raw.pixels {
            Pixels::Yuv(frame) => Ok(Some((frame, raw.pts))),
            Pixels::Rgb(_) => {
                let reason = format!("{}: a {} gives RGB, not YUV", self.origin, self.facts().format);
                Err(DataError::Shape { what: "video", reason })
            }
        }
    }

    fn upright(&self, rgb: Rgb8Image) -> Result<Rgb8Image, DataError> {
        let orientation = self.source.orientation();
        if orientation == Orientation::default() {
            return Ok(rgb);
        }
        let (width, height) = orientation.size((rgb.width, rgb.height));
        Rgb8Image::new(width, height, orientation.apply::<3>(&rgb.data, (rgb.width, rgb.height)))
    }

    /// Makes frame `index` (from 0) the next one. Decoding begins at the nearest sync sample before it.
    ///
    /// # Errors
    /// A place before the present one in a pipe, and what reading reports.
    pub fn seek(&mut self, index: u64) -> Result<(), DataError> {
        if index != self.at {
            self.source.seek(index)?;
            self.at = index;
        }
        Ok(())
    }

    /// Leaves out the next `count` frames.
    ///
    /// # Errors
    /// What reading reports.
    pub fn skip(&mut self, count: usize) -> Result<(), DataError> {
        self.seek(self.at.saturating_add(count as u64))
    }

    /// The times of all frames in seconds: from the index of a file, else by reading it once through.
    ///
    /// # Errors
    /// A pipe, and what reading reports.
    pub fn times(&mut self) -> Result<&[f64], DataError> {
        self.scan()?;
        Ok(self.times.as_ref().map_or(&[], |times| times))
    }

    /// As [`Self::times`], to be kept while frames are read.
    pub(super) fn shared_times(&mut self) -> Result<Arc<Vec<f64>>, DataError> {
        self.scan()?;
        Ok(self.times.clone().unwrap_or_default())
    }

    fn scan(&mut self) -> Result<(), DataError> {
        if self.times.is_none() {
            self.times = Some(Arc::new(self.source.scan()?));
            self.source.seek(self.at)?;
        }
        Ok(())
    }

    /// How many frames there are, by [`Facts::frames`] or else as [`Self::times`].
    ///
    /// # Errors
    /// As [`Self::times`].
    pub fn count(&mut self) -> Result<usize, DataError> {
        match self.facts().frames {
            Some(frames) => Ok(usize::try_from(frames).unwrap_or(usize::MAX)),
            None => Ok(self.times()?.len()),
        }
    }

    /// The frames of these numbers (from 0), in any order and also repeatedly, each decoded once.
    ///
    /// # Errors
    /// A number beyond the last frame, and as [`Self::next_frame`].
    pub fn frames(&mut self, indices: &[usize]) -> Result<Vec<Frame>, DataError> {
        let mut places: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        indices.iter().enumerate().for_each(|(place, index)| places.entry(*index).or_default().push(place));
        let mut found: Vec<Option<Frame>> = vec![None; indices.len()];
        for (index, places) in places {
            self.seek(index as u64)?;
            let frame = self.next_frame()?.ok_or_else(|| DataError::Shape {
                what: "video",
                reason: format!("{}: there is no frame {index} (from 0)", self.origin),
            })?;
            let (last, others) = places.split_last().map_or((0, &[][..]), |(last, others)| (*last, others));
            others.iter().for_each(|place| found[*place] = Some(frame.clone()));
            found[last] = Some(frame);
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// `count` frames, evenly from the first to the last ([`uniform`]).
    ///
    /// # Errors
    /// A video without frames, and as [`Self::frames`] and [`Self::count`].
    pub fn uniform(&mut self, count: usize, rounding: Rounding) -> Result<Vec<Frame>, DataError> {
        let total = self.count()?;
        if total == 0 {
            return Err(DataError::content(&self.origin, "the video has no frames"));
        }
        self.frames(&uniform(total, count, rounding))
    }
}

/// A file that is left to the program `ffmpeg`.
fn foreign(open: &OpenFile, why: &str, track: usize, options: &VideoOptions) -> Result<Ffmpeg, DataError> {
    let mut head = [0; HEAD];
    let mut file = file::from_start(&open.file, &open.path)?;
    let read = file::fill(&mut file, &mut head).map_err(DataError::io(&open.path, "reading"))?;
    let head = &head[..read];
    let container = match open.kind {
        Kind::Mp4 => Some(MP4),
        _ => Container::of(head),
    };
    let Some(container) = container else {
        let reason = "its content is that of no video format; give a video in MP4, MOV, Matroska, WebM, AVI, MPEG, FLV, Ogg or \
                      ASF, a GIF, WebP, APNG or Y4M file, or a folder of pictures";
        return Err(DataError::content(&open.path, reason));
    };
    Ffmpeg::open(&Input { path: &open.path, container, track, bytes: open.bytes, head, why }, options)
}

/// A file that can be read again from its start.
fn file_stream(origin: &str, path: &Path, file: SharedFile) -> Result<Stream, DataError> {
    let path = path.to_owned();
    let again = move || -> Result<Box<dyn Read>, DataError> { Ok(Box::new(file::from_start(&file, &path)?)) };
    Ok(Stream::new(origin, again()?, Some(Box::new(again))))
}

/// Whether a file holds moving pictures: an MP4, MOV or Y4M file or an animation by its content, or else no picture and with one of [`VIDEO_EXTENSIONS`](super::VIDEO_EXTENSIONS).
///
/// # Errors
/// A file that cannot be read.
pub fn is_video(path: impl AsRef<Path>) -> Result<bool, DataError> {
    let path = path.as_ref();
    let meta = std::fs::metadata(path).map_err(DataError::io(path, "reading"))?;
    Ok(meta.is_file() && OpenFile::known(path, &meta)?.is_video())
}
