//! Whether a WebP file holds the data of its picture (RFC 9649, section 2). The decoder of lossy data makes up what is missing.

use std::io::{Read, Seek, SeekFrom};

/// Chunks that are looked at. Files have some before their picture.
const MAX_CHUNKS: usize = 256;

/// Walks to the data of the picture, or of the first frame, and asks whether they end within the file. What it cannot follow it
/// leaves to the decoder to refuse. The source's place moves.
///
/// # Errors
/// The operating system's; in the result, what is missing.
pub(crate) fn check(source: &mut (impl Read + Seek)) -> std::io::Result<Result<(), String>> {
    let (mut at, mut end) = (12, source.seek(SeekFrom::End(0))?);
    for _ in 0..MAX_CHUNKS {
        let mut header = Vec::with_capacity(8);
        source.seek(SeekFrom::Start(at))?;
        source.take(8).read_to_end(&mut header)?;
        let [kind @ .., s0, s1, s2, s3] = header.as_slice() else {
            break;
        };
        let size = u64::from(u32::from_le_bytes([*s0, *s1, *s2, *s3]));
        let (body, after) = (at + 8, at + 8 + size);
        match kind {
            b"VP8 " | b"VP8L" | b"ALPH" | b"ANMF" if after > end => {
                let there = end.saturating_sub(body);
                return Ok(Err(format!("it is cut off: its picture has {size} bytes, and {there} are there")));
            }
            b"VP8 " | b"VP8L" => break,
            // Behind its place and size, the chunks of a frame.
            b"ANMF" => (at, end) = (body + 16, after),
            _ => at = after + (size & 1),
        }
    }
    Ok(Ok(()))
}
