//! Motion JPEG: whole JPEG pictures one after the other, as cameras and `ffmpeg -f mjpeg` write them.

use std::io::BufRead;

use super::raw::Stream;
use super::source::{Access, Facts, Pixels, Raw, Source};
use crate::decode::decode_bytes;
use crate::{DataError, Limits};

const NAME: &str = "Motion JPEG";
/// Most bytes of one picture.
const MAX_PICTURE: usize = 64 << 20;
/// Most bytes between two pictures, such as the headers of a multipart stream.
const MAX_BETWEEN: usize = 64 << 10;

pub(super) struct Mjpeg {
    stream: Stream,
    limits: Limits,
    fps: f64,
    facts: Facts,
    /// Number of the next frame.
    at: u64,
}

impl Mjpeg {
    /// `fps` is the rate, which the stream does not state.
    pub fn new(stream: Stream, fps: f64, limits: &Limits) -> Self {
        let facts = Facts { format: NAME, fps: Some(fps), ..Facts::default() };
        Self { stream, limits: *limits, fps, facts, at: 0 }
    }

    /// The bytes of the next picture.
    fn picture(&mut self) -> Result<Option<Vec<u8>>, DataError> {
        let (origin, number) = (self.stream.origin.clone(), self.at + 1);
        let io = DataError::io(&origin, "reading");
        let mut scan = Scan::default();
        loop {
            let bytes = match self.stream.buffered().fill_buf() {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(io(e)),
            };
            let corrupt = |reason: String| Err(DataError::Corrupt { origin: origin.clone(), format: NAME, reason });
            if bytes.is_empty() {
                return match scan.picture.is_empty() {
                    true => Ok(None),
                    false => corrupt(format!("frame {number} is cut off after {} bytes", scan.picture.len())),
                };
            }
            let length = bytes.len();
            let read = scan.take(bytes);
            self.stream.buffered().consume(read.unwrap_or(length));
            if read.is_some() {
                self.at += 1;
                return Ok(Some(scan.picture));
            }
            if scan.between > MAX_BETWEEN {
                return corrupt(format!("no JPEG picture begins where frame {number} should"));
            }
            if scan.picture.len() > MAX_PICTURE {
                return corrupt(format!("frame {number} has more than {MAX_PICTURE} bytes"));
            }
        }
    }
}

/// Where in a picture the next byte is.
#[derive(Clone, Copy, Default)]
enum Place {
    /// Before the picture, after a byte 0xff or not.
    #[default]
    Before,
    BeforeMark,
    /// Where a marker begins, and after its 0xff.
    Marker,
    Mark,
    /// The two bytes of a segment's length; of the second the first is known, and whether a scan follows.
    Length(bool),
    LengthLow(u8, bool),
    /// Bytes of a segment that are left.
    Segment(usize, bool),
    /// Coded data, after a byte 0xff or not.
    Data,
    DataMark,
}

/// Finds a picture by the structure of JPEG: 0xffd9 in the thumbnail of a header does not end it.
#[derive(Default)]
struct Scan {
    place: Place,
    picture: Vec<u8>,
    /// Bytes before it.
    between: usize,
}

impl Scan {
    /// Reads on in `bytes`; where the picture ends, the number of them that belong to it.
    fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if let Place::Segment(left @ 1.., scan) = self.place {
                let some = left.min(bytes.len() - at);
                self.picture.extend_from_slice(&bytes[at..at + some]);
                self.place = Place::Segment(left - some, scan);
                at += some;
                continue;
            }
            let byte = bytes[at];
            at += 1;
            match self.place {
                Place::Before | Place::BeforeMark => {
                    self.between += 1;
                    if matches!(self.place, Place::BeforeMark) && byte == 0xd8 {
                        self.picture.extend([0xff, 0xd8]);
                        self.place = Place::Marker;
                        continue;
                    }
                    self.place = if byte == 0xff { Place::BeforeMark } else { Place::Before };
                    continue;
                }
                _ => self.picture.push(byte),
            }
            if let Some(place) = self.after(byte) {
                self.place = place;
            } else {
                return Some(at);
            }
        }
        None
    }

    /// The place after a byte of the picture; `None` at its end.
    fn after(&self, byte: u8) -> Option<Place> {
        let marker = |byte: u8| match byte {
            0xd9 => None,
            0xff => Some(Place::Mark),
            // Markers that stand alone.
            0x01 | 0xd0..=0xd8 => Some(Place::Marker),
            _ => Some(Place::Length(byte == 0xda)),
        };
        match self.place {
            Place::Mark => marker(byte),
            Place::Length(scan) => Some(Place::LengthLow(byte, scan)),
            Place::LengthLow(high, scan) => {
                let length = usize::from(u16::from_be_bytes([high, byte]));
                Some(Place::Segment(length.saturating_sub(2), scan).settled())
            }
            Place::DataMark if byte == 0 || (0xd0..=0xd7).contains(&byte) => Some(Place::Data),
            Place::DataMark if byte == 0xff => Some(Place::DataMark),
            Place::DataMark => marker(byte),
            Place::Data => Some(if byte == 0xff { Place::DataMark } else { Place::Data }),
            Place::Segment(_, true) => Some(if byte == 0xff { Place::DataMark } else { Place::Data }),
            // Whatever stands between two segments is left to the decoder.
            _ => Some(if byte == 0xff { Place::Mark } else { Place::Marker }),
        }
    }
}

impl Place {
    /// What follows a segment of which nothing is left.
    fn settled(self) -> Self {
        match self {
            Self::Segment(0, true) => Self::Data,
            Self::Segment(0, false) => Self::Marker,
            other => other,
        }
    }
}

impl Source for Mjpeg {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn access(&self) -> Access {
        self.stream.access()
    }

    fn next(&mut self) -> Result<Option<Raw>, DataError> {
        let pts = self.at as f64 / self.fps;
        let Some(picture) = self.picture()? else { return Ok(None) };
        let origin = format!("{}: frame {}", self.stream.origin, self.at);
        let rgb = decode_bytes(&origin, &picture, &self.limits)?.over([255; 3]);
        Ok(Some(Raw { pixels: Pixels::Rgb(rgb), pts }))
    }

    fn seek(&mut self, index: u64) -> Result<(), DataError> {
        if index < self.at {
            self.stream.rewind()?;
            self.at = 0;
        }
        while self.at < index && self.picture()?.is_some() {}
        Ok(())
    }
}
