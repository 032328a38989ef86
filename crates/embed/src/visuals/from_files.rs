//! Pictures and clips in files, in folders of frames, and on standard input.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use vljepa_data::video::{Clip, Clips, HELD_FRAMES, VideoReader, folder_stamp};
use vljepa_data::{DataError, Limits, Media, Preprocess, Rgb8Image};

use super::encoder::VisualEncoder;
use super::options::Moment;
use super::reading::{Reading, Settled};
use super::source::{Opened, Seen, Visuals, What};
use crate::error::{Error, Result};
use crate::files::{Stamp, is_stdin, stamp};

/// What standard input is called in messages.
const STDIN_NAME: &str = "standard input";

/// Files; each is opened once, and its content tells whether it is a picture or a video. A folder is a clip of the pictures in it, and
/// `-` is standard input.
pub(crate) struct Files<'a> {
    files: &'a [PathBuf],
    settled: Settled,
    notes: Mutex<Vec<(usize, String)>>,
}

impl<'a> Files<'a> {
    /// # Errors
    /// As [`Reading::check`].
    pub fn new(encoder: &dyn VisualEncoder, files: &'a [PathBuf], reading: &Reading) -> Result<Self> {
        Ok(Self { files, settled: reading.settle(encoder)?, notes: Mutex::default() })
    }

    fn note(&self, i: usize, reader: &VideoReader) {
        let noted = reader.notes().into_iter().map(|note| (i, note));
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).extend(noted);
    }
}

/// A file, folder or stream that is opened.
pub(crate) struct OpenedFile {
    stamp: Option<Stamp>,
    what: Option<What>,
    media: Result<Input>,
}

enum Input {
    Media(Media),
    Frames(PathBuf),
    /// Standard input, of which the first bytes are read.
    Stdin(Vec<u8>),
}

impl Input {
    /// Whether it states the times of its frames.
    fn is_timed(&self) -> bool {
        match self {
            Self::Media(_) => true,
            Self::Frames(_) => false,
            Self::Stdin(head) => head.starts_with(b"YU"),
        }
    }

    fn reader(self, settled: &Settled) -> Result<VideoReader> {
        let (options, limits) = (settled.video(), Limits::default());
        Ok(match self {
            Self::Media(media) => media.video(&options)?,
            Self::Frames(dir) => VideoReader::open_with(dir, &options)?,
            Self::Stdin(head) => {
                let stream: Box<dyn Read> = Box::new(Cursor::new(head).chain(std::io::stdin()));
                match settled.raw() {
                    Some(format) => VideoReader::from_raw(STDIN_NAME, stream, format, &limits)?,
                    None => VideoReader::from_stream(STDIN_NAME, stream, settled.rate(), &limits)?,
                }
            }
        })
    }
}

impl Opened for OpenedFile {
    fn what(&self) -> Option<What> {
        self.what
    }

    fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }
}

impl Files<'_> {
    fn input(&self, path: &Path) -> (Option<Stamp>, Result<Input>) {
        if is_stdin(path) {
            let mut head = Vec::new();
            let read = std::io::stdin().take(2).read_to_end(&mut head);
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            // What was read from it once is not there again.
            let stamp = Some((u64::MAX, now.as_nanos() as u64));
            return (stamp, read.map(|_| Input::Stdin(head)).map_err(Error::io(Path::new(STDIN_NAME), "reading")));
        }
        if path.is_dir() {
            return (folder_stamp(path).ok(), Ok(Input::Frames(path.to_path_buf())));
        }
        match Media::open(path) {
            Ok(media) => (Some(media.stamp()), Ok(Input::Media(media))),
            Err(error) => (stamp(path).ok(), Err(error.into())),
        }
    }

    fn clips_of(&self, i: usize, path: &Path, hold: usize, each: &mut EachClip<'_>) -> Result<()> {
        let EachClip { input, preprocess, first, clip } = each;
        let Some(input) = input.take() else { return Ok(()) };
        let clipping = self.settled.clipping(input.is_timed());
        let mut reader = input.reader(&self.settled)?;
        let _part = reader.hold_memory();
        let crops = self.settled.crops();
        let mut clips = Clips::new(&mut reader, clipping, *first, hold)?;
        let mut prepare = |rgb: Rgb8Image| -> Result<Vec<f32>> {
            preprocess.views(&rgb, crops, true).map_err(|e| Error::content(path, e.to_string()))
        };
        while let Some(next) = clips.next_clip(&mut prepare)? {
            let passed = clips.passed().unwrap_or_default();
            if !clip(seen(&next, crops.count(), clipping.is_part(), passed))? {
                break;
            }
        }
        drop(clips);
        self.note(i, &reader);
        Ok(())
    }
}

/// What the clips of a video are made from, and where they go.
struct EachClip<'a> {
    input: Option<Input>,
    preprocess: &'a Preprocess,
    /// The number of the first clip.
    first: usize,
    clip: &'a mut dyn FnMut(Seen) -> Result<bool>,
}

/// Puts the frames of a clip one after the other, crop by crop.
fn seen(clip: &Clip<Vec<f32>>, crops: usize, is_part: bool, passed: f64) -> Seen {
    let mut pixels = Vec::with_capacity(clip.frames.iter().map(|frame| frame.len()).sum());
    for crop in 0..crops {
        for frame in &clip.frames {
            let length = frame.len() / crops;
            pixels.extend_from_slice(&frame[crop * length..(crop + 1) * length]);
        }
    }
    let moment = is_part.then_some(Moment { start: clip.start, end: clip.end });
    Seen { pixels, moment, passed }
}

impl Visuals for Files<'_> {
    type Opened = OpenedFile;

    fn count(&self) -> usize {
        self.files.len()
    }

    fn open(&self, i: usize) -> OpenedFile {
        let (stamp, media) = self.input(&self.files[i]);
        let video = |input: &Input| {
            let windows = self.settled.clipping(input.is_timed()).has_windows();
            if windows { What::Windows } else { What::Clip }
        };
        let what = media.as_ref().ok().map(|input| match input {
            Input::Media(media) if !media.is_video() => What::Picture,
            other => video(other),
        });
        OpenedFile { stamp, what, media }
    }

    fn frames(&self, _encoder: &dyn VisualEncoder) -> usize {
        self.settled.frames()
    }

    fn crops(&self) -> usize {
        self.settled.crops().count()
    }

    fn pixels(&self, i: usize, opened: OpenedFile, preprocess: &Preprocess, what: What) -> Result<Seen> {
        let input = opened.media?;
        if let (What::Picture, Input::Media(media)) = (what, &input) {
            let pixels = media.numbers(preprocess, self.settled.crops(), &Limits::default())?;
            return Ok(Seen { pixels, moment: None, passed: 1.0 });
        }
        let mut only = None;
        let frame = 4 * preprocess.values() * self.crops();
        let clip = &mut |seen| {
            only = Some(seen);
            Ok(false)
        };
        let mut each = EachClip { input: Some(input), preprocess, first: 0, clip };
        self.clips_of(i, &self.files[i], (HELD_FRAMES / frame.max(1)).max(1), &mut each)?;
        only.ok_or_else(|| Error::content(&self.files[i], "the video has no frames; leave it out"))
    }

    fn windows(
        &self,
        i: usize,
        opened: OpenedFile,
        preprocess: &Preprocess,
        first: usize,
        each: &mut dyn FnMut(Seen) -> Result<bool>,
    ) -> Result<()> {
        let input = Some(opened.media?);
        self.clips_of(i, &self.files[i], 0, &mut EachClip { input, preprocess, first, clip: each })
    }

    fn name(&self, i: usize) -> String {
        self.files[i].display().to_string()
    }

    fn take_notes(&self) -> Vec<(usize, String)> {
        let mut notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        // They come from threads.
        notes.sort();
        notes
    }

    fn stops_at_damage(&self) -> bool {
        !self.settled.conceals()
    }
}

/// Checks that a file can be read now, from its start to its end.
///
/// # Errors
/// The error of reading it.
pub(crate) fn check_readable(encoder: &dyn VisualEncoder, path: &Path, reading: &Reading) -> Result<()> {
    let files = [path.to_path_buf()];
    let files = Files::new(encoder, &files, reading)?;
    let opened = files.open(0);
    match opened.what() {
        Some(What::Windows) => files.windows(0, opened, encoder.preprocess(), 0, &mut |_| Ok(true)),
        what => files.pixels(0, opened, encoder.preprocess(), what.unwrap_or(What::Picture)).map(|_| ()),
    }
}

/// Whether a file was opened and is damaged inside.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Data(DataError::Corrupt { .. }))
}
