//! Whether a JPEG file holds the data of its whole picture (ITU-T T.81, annexes B, F and G). Decoders show what they have of a
//! file that was cut off and make up the rest; here the codes of all blocks are read, and none of them is decoded.

mod bits;
mod scan;

use bits::Tables;
use scan::{Frame, Part, Scan};

pub(crate) use scan::Whole;

/// More scans than that are left to the decoder, which refuses them.
const MAX_SCANS: usize = 100;

/// A way of coding that decoders of baseline and progressive files do not know, by the header of the frame.
pub(crate) fn other_coding(bytes: &[u8]) -> Option<&'static str> {
    let mut file = File { bytes, at: 2, tables: Tables::default(), restart: 0, frame: None };
    loop {
        match file.marker()? {
            0x01 | 0xd0..=0xd8 => continue,
            0xd9 | 0xda => return None,
            0xc0..=0xc2 => {
                return file
                    .segment()?
                    .first()
                    .is_some_and(|bits| *bits != 8)
                    .then_some("samples of other than 8 bits");
            }
            0xc3 => return Some("lossless coding"),
            0xc5..=0xc7 => return Some("hierarchical coding"),
            0xc9..=0xcb | 0xcd..=0xcf => return Some("arithmetic coding"),
            0xf7 => return Some("JPEG-LS"),
            _ => file.segment()?,
        };
    }
}

/// Reads through a file. What it cannot follow, such as arithmetic coding, it leaves to the decoder to refuse.
///
/// # Errors
/// Data that end, or turn into no codes at all, before the whole picture was there: where.
pub(crate) fn check(bytes: &[u8]) -> Result<Whole, String> {
    let mut file = File { bytes, at: 2, tables: Tables::default(), restart: 0, frame: None };
    let mut scans = 0;
    loop {
        let Some(marker) = file.marker() else {
            return file.whole(scans, false);
        };
        match marker {
            // Fill, restart markers and starts of pictures have no length.
            0x01 | 0xd0..=0xd8 => continue,
            0xd9 => return file.whole(scans, true),
            _ => {}
        }
        let Some(body) = file.segment() else {
            return file.whole(scans, false);
        };
        let understood = match marker {
            0xc0..=0xc2 if file.frame.is_none() => {
                file.frame = Frame::parse(body, marker == 0xc2);
                file.frame.is_some()
            }
            0xc4 => file.tables.define(body),
            0xdd => match body {
                [high, low, ..] => {
                    file.restart = u32::from(u16::from_be_bytes([*high, *low]));
                    true
                }
                _ => false,
            },
            0xda => {
                scans += 1;
                let restart = file.restart;
                let (File { bytes, at, tables, frame: Some(frame), .. }, true) = (&mut file, scans <= MAX_SCANS) else {
                    return Ok(Whole::default());
                };
                let Some(scan) = Scan::parse(body, frame) else {
                    return Ok(frame.known());
                };
                match scan.read(bytes, *at, frame, tables, restart) {
                    Part::Whole(end) => *at = end,
                    Part::Unknown => return Ok(frame.known()),
                    Part::Short { row } => {
                        return Err(frame.stopped("its data end", row, scans));
                    }
                    Part::Damaged { row } => {
                        return Err(frame.stopped("its data make no sense", row, scans));
                    }
                }
                true
            }
            // Other kinds of coding.
            0xc0..=0xcf if !matches!(marker, 0xc8 | 0xcc) => false,
            _ => true,
        };
        if !understood {
            return Ok(Whole::default());
        }
    }
}

struct File<'a> {
    bytes: &'a [u8],
    at: usize,
    tables: Tables,
    /// Units between restart markers; 0 without them.
    restart: u32,
    frame: Option<Frame>,
}

impl<'a> File<'a> {
    /// The next marker's second byte, with what stands before it left out as other readers do.
    fn marker(&mut self) -> Option<u8> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            self.at += rest.iter().position(|byte| *byte == 0xff)?;
            while *self.bytes.get(self.at)? == 0xff {
                self.at += 1;
            }
            let marker = self.bytes[self.at];
            self.at += 1;
            if marker != 0 {
                return Some(marker);
            }
        }
    }

    /// The body of the segment that begins here.
    fn segment(&mut self) -> Option<&'a [u8]> {
        let length = self.bytes.get(self.at..self.at + 2)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
        let body = self.bytes.get(self.at + 2..self.at + length)?;
        self.at += length;
        Some(body)
    }

    /// The verdict at the end, which the file says itself where `ended`.
    fn whole(&self, scans: usize, ended: bool) -> Result<Whole, String> {
        match &self.frame {
            // The decoder says what is missing.
            None => Ok(Whole::default()),
            Some(_) if scans == 0 => Ok(Whole::default()),
            Some(frame) if frame.complete(ended) => Ok(frame.known()),
            Some(_) => Err(format!("it ends after scan {scans}, before all of its picture was there")),
        }
    }
}
