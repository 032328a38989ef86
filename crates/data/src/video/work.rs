//! How much an animation may ask for: a frame costs as much as its canvas, and may have a few bytes.

use std::io::{BufReader, ErrorKind, Read};

use crate::DataError;
use crate::file::{OpenFile, SharedFile, from_start};
use crate::kind::Animation as Format;

/// Pixels of all frames that any animation may have: 500 frames of 1920 x 1080.
const PIXELS: u64 = 1 << 30;
/// Pixels more for each byte of the file.
const PIXELS_A_BYTE: u64 = 4096;

/// Refuses an animation whose frames have too many pixels for its size in bytes, before any of them is decoded.
pub(super) fn check(open: &OpenFile, format: Format, (width, height): (u32, u32)) -> Result<(), DataError> {
    let max_pixels = PIXELS.saturating_add(open.bytes.saturating_mul(PIXELS_A_BYTE));
    let canvas = u64::from(width) * u64::from(height);
    let most = max_pixels / canvas.max(1);
    let file = BufReader::new(from_start(&open.file, &open.path)?);
    let frames = count(file, format, most).map_err(DataError::io(&open.path, "reading"))?;
    if frames > most {
        let format = format.name();
        return Err(DataError::TooManyFrames { origin: open.origin(), format, width, height, most });
    }
    Ok(())
}

/// Frames by the structure of a file, up to one more than `most`. A file that breaks off has those before the break.
fn count(file: BufReader<SharedFile>, format: Format, most: u64) -> std::io::Result<u64> {
    let mut blocks = Blocks { file, frames: 0, most };
    let counted = match format {
        Format::Gif => blocks.gif(),
        Format::WebP => blocks.webp(),
        Format::Apng => blocks.png(),
    };
    match counted {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(blocks.frames),
    }
}

struct Blocks {
    file: BufReader<SharedFile>,
    frames: u64,
    most: u64,
}

impl Blocks {
    fn bytes<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, count: u64) -> std::io::Result<()> {
        self.file.seek_relative(i64::try_from(count).unwrap_or(i64::MAX))
    }

    fn is_over(&self) -> bool {
        self.frames > self.most
    }

    fn webp(&mut self) -> std::io::Result<()> {
        self.skip(12)?;
        while !self.is_over() {
            let header = self.bytes::<8>()?;
            self.frames += u64::from(header.starts_with(b"ANMF"));
            let size = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
            self.skip(u64::from(size) + u64::from(size & 1))?;
        }
        Ok(())
    }

    fn png(&mut self) -> std::io::Result<()> {
        self.skip(8)?;
        while !self.is_over() {
            let header = self.bytes::<8>()?;
            self.frames += u64::from(header.ends_with(b"fcTL"));
            self.skip(u64::from(u32::from_be_bytes([header[0], header[1], header[2], header[3]])) + 4)?;
        }
        Ok(())
    }

    fn gif(&mut self) -> std::io::Result<()> {
        let screen = self.bytes::<13>()?;
        self.skip(colours(screen[10]))?;
        while !self.is_over() {
            match self.bytes()? {
                [0x21] => self.skip(1)?,
                [0x2c] => {
                    self.frames += 1;
                    let place = self.bytes::<9>()?;
                    self.skip(colours(place[8]) + 1)?;
                }
                // The end, or no block; the decoder says which.
                _ => return Ok(()),
            }
            loop {
                let [length] = self.bytes()?;
                if length == 0 {
                    break;
                }
                self.skip(u64::from(length))?;
            }
        }
        Ok(())
    }
}

/// Bytes of the table of colours that these flags announce.
fn colours(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}
