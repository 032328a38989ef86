//! Whether a WebP file holds the data of its picture, of the size that its headers say (RFC 9649, section 2). The decoder of lossy
//! data makes up what is missing, and takes memory for the size in the data before it looks at the one in the headers.

use std::io::{Read, Seek, SeekFrom};

/// Chunks that are looked at. Files have some before their picture.
const MAX_CHUNKS: usize = 256;

/// Walks to the data of the picture, or of the first frame, and asks whether they end within the file. What it cannot follow it
/// leaves to the decoder to refuse. The source's place moves.
///
/// # Errors
/// The operating system's; in the result, what is missing or does not agree.
pub(crate) fn check(source: &mut (impl Read + Seek)) -> std::io::Result<Result<(), String>> {
    let (mut at, mut end) = (12, source.seek(SeekFrom::End(0))?);
    let mut announced = None;
    for _ in 0..MAX_CHUNKS {
        // The chunk's header, and as much of its body as holds a size.
        let mut bytes = Vec::with_capacity(8 + 12);
        source.seek(SeekFrom::Start(at))?;
        source.take(8 + 12).read_to_end(&mut bytes)?;
        let Some((header, start)) = bytes.split_at_checked(8) else {
            break;
        };
        let [kind @ .., s0, s1, s2, s3] = header else {
            break;
        };
        let size = u64::from(u32::from_le_bytes([*s0, *s1, *s2, *s3]));
        let (body, after) = (at + 8, at + 8 + size);
        match kind {
            b"VP8 " | b"VP8L" | b"ALPH" | b"ANMF" if after > end => {
                let there = end.saturating_sub(body);
                return Ok(Err(format!("it is cut off: its picture has {size} bytes, and {there} are there")));
            }
            b"VP8 " | b"VP8L" => {
                let own = own_size(kind, start);
                return Ok(match (announced, own) {
                    (Some(said), Some(own)) if said != own => {
                        let ((w, h), (x, y)) = (said, own);
                        Err(format!("its headers say {w}x{h} pixels, and its data {x}x{y}"))
                    }
                    _ => Ok(()),
                });
            }
            // Behind its place and size, the chunks of a frame.
            b"ANMF" => {
                announced = start.get(6..12).map(extent);
                (at, end) = (body + 16, after);
            }
            b"VP8X" => {
                announced = start.get(4..10).map(extent);
                at = after + (size & 1);
            }
            _ => at = after + (size & 1),
        }
    }
    Ok(Ok(()))
}

/// Width and height, each less one in three bytes.
fn extent(bytes: &[u8]) -> (u32, u32) {
    let three = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], 0]) + 1;
    (three(0), three(3))
}

/// The size that the beginning of a picture's data says: of lossy data RFC 6386, section 9.1, of lossless ones RFC 9649, 3.4.
fn own_size(kind: &[u8], data: &[u8]) -> Option<(u32, u32)> {
    if kind == b"VP8L" {
        let [0x2f, a, b, c, d, ..] = *data else { return None };
        let bits = u32::from_le_bytes([a, b, c, d]);
        return Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1));
    }
    let [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = *data else { return None };
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Some((side(w0, w1), side(h0, h1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// An animated file whose first frame is announced with 1 x 1 pixels and says `own`.
    fn animated(own: u16) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend(b"ANMF\x22\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0VP8 \x0a\0\0\0\x10\0\0\x9d\x01\x2a");
        file.extend([own.to_le_bytes(), own.to_le_bytes()].concat());
        file
    }

    #[test]
    fn data_of_another_size_than_their_header_are_not_decoded() {
        let check = |bytes: &[u8]| check(&mut Cursor::new(bytes)).unwrap();
        assert_eq!(check(&animated(1)), Ok(()));
        let refused = check(&animated(16_383)).unwrap_err();
        assert!(refused.contains("1x1") && refused.contains("16383x16383"), "{refused}");
        let mut lossless = animated(1);
        let at = lossless.len() - 10;
        lossless[at - 8..at - 4].copy_from_slice(b"VP8L");
        lossless[at..at + 5].copy_from_slice(&[0x2f, 0xff, 0x3f, 0, 0]);
        assert!(check(&lossless).unwrap_err().ends_with("16384x1"), "{:?}", check(&lossless));
    }
}
