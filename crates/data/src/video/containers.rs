//! The containers that are left to the program `ffmpeg`, told by their first bytes.
//!
//! Only what is told here is handed over, and it may open the file as this and as nothing else: a playlist (HLS, DASH, concat)
//! under any name would make it read other files.

/// A container format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Container {
    /// What people call it.
    pub name: &'static str,
    /// FFmpeg's name of its demuxer, in every version from 5.1 on.
    pub demuxer: &'static str,
}

const fn container(name: &'static str, demuxer: &'static str) -> Container {
    Container { name, demuxer }
}

pub(super) const MP4: Container = container("MP4", "mov");
const MATROSKA: Container = container("Matroska", "matroska");
const AVI: Container = container("AVI", "avi");

/// Formats that begin with fixed bytes.
const MAGIC: [(&[u8], Container); 13] = [
    (b"\x1a\x45\xdf\xa3", MATROSKA),
    (b"FLV\x01", container("FLV", "flv")),
    (b"OggS\0", container("Ogg", "ogg")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", container("ASF", "asf")),
    (b".RMF\0", container("RealMedia", "rm")),
    (b"DKIF\0\0", container("IVF", "ivf")),
    (b"nut/multimedia container\0", container("NUT", "nut")),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02", container("MXF", "mxf")),
    (b"\xb7\xd8\x00\x20\x37\x49\xda\x11\xa6\x4e\x00\x07\xe9\x5e\xad\x8d", container("WTV", "wtv")),
    (b"\x00\x00\x01\xba", container("MPEG program stream", "mpeg")),
    (b"\x00\x00\x01\xb3", container("MPEG-1 or MPEG-2 video", "mpegvideo")),
    (b"\x00\x00\x00\x01\x40\x01", container("H.265 stream", "hevc")),
    (b"\x00\x00\x01\x40\x01", container("H.265 stream", "hevc")),
];

impl Container {
    /// By the first bytes of a file; `None` for what is none of the known ones.
    pub fn of(head: &[u8]) -> Option<Self> {
        if let Some((_, found)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Some(*found);
        }
        if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI ") {
            return Some(AVI);
        }
        // MPEG-TS: a sync byte every 188 bytes, with four bytes of time before each on Blu-ray discs, and with 16 of check
        // after each in broadcasts.
        let synced = |first: usize, step: usize| {
            let count = (head.len().saturating_sub(first)).div_ceil(step);
            count >= 4 && head.iter().skip(first).step_by(step).all(|byte| *byte == 0x47)
        };
        if synced(0, 188) || synced(4, 192) || synced(0, 204) {
            return Some(container("MPEG transport stream", "mpegts"));
        }
        // ITU-T H.264 Annex B: a start code, then a sequence parameter set or an access unit delimiter.
        let rest = head.strip_prefix(b"\0\0\0\x01").or_else(|| head.strip_prefix(b"\0\0\x01"));
        let nal = rest.and_then(|rest| rest.first()).filter(|byte| **byte & 0x80 == 0).map(|byte| byte & 0x1f);
        matches!(nal, Some(7 | 9)).then_some(container("H.264 stream", "h264"))
    }

    /// How many bytes the file has by its own account, where the first of them say so.
    pub fn length(self, head: &[u8]) -> Option<u64> {
        if self == AVI {
            let size = head.get(4..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
            // Programs that record write the size at the end; until then it is 0 or all ones.
            return (size != 0 && size < u32::MAX - 8).then_some(u64::from(size) + 8);
        }
        if self != MATROSKA {
            return None;
        }
        let mut at = 0;
        // The header, maybe padding, then the segment.
        for _ in 0..4 {
            let (id, after) = ebml(head, at, false)?;
            let (size, body) = ebml(head, after, true)?;
            if id == 0x1853_8067 {
                return (body as u64).checked_add(size).filter(|_| size != u64::MAX);
            }
            at = body.checked_add(usize::try_from(size).ok()?)?;
        }
        None
    }
}

/// An EBML number (RFC 8794, 4 and 5) and where it ends. A size of all ones, which means that it is unknown, is `u64::MAX`.
fn ebml(bytes: &[u8], at: usize, size: bool) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    let length = first.leading_zeros() as usize + 1;
    let own = bytes.get(at..at.checked_add(length)?).filter(|_| length <= 8)?;
    let whole = own.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    if !size {
        return Some((whole, at + length));
    }
    let mask = (1_u64 << (7 * length)) - 1;
    let value = whole & mask;
    Some((if value == mask { u64::MAX } else { value }, at + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_decide() {
        let demuxer = |head: &[u8]| Container::of(head).map(|container| container.demuxer);
        assert_eq!(demuxer(b"\x1a\x45\xdf\xa3\xa3\x42\x86"), Some("matroska"));
        assert_eq!(demuxer(b"RIFF\xe2\x22\0\0AVI LIST"), Some("avi"));
        assert_eq!(demuxer(b"\0\0\x01\xba\x21\0"), Some("mpeg"));
        assert_eq!(demuxer(b"OggS\0\x02"), Some("ogg"));
        assert_eq!(demuxer(b"\0\0\0\x01\x67\x64"), Some("h264"));
        assert_eq!(demuxer(b"\0\0\0\x01\x40\x01\x0c"), Some("hevc"));
        for (first, step) in [(0, 188), (4, 192), (0, 204)] {
            let mut head = vec![0; 4096];
            head.iter_mut().skip(first).step_by(step).for_each(|byte| *byte = 0x47);
            assert_eq!(demuxer(&head), Some("mpegts"), "{step}");
            head[first + 2 * step] = 0;
            assert_eq!(demuxer(&head), None, "{step}");
        }
        let playlists: [&[u8]; 5] = [
            b"#EXTM3U\n#EXTINF:1,\nother.ts\n",
            b"ffconcat version 1.0\nfile other.mp4\n",
            b"<?xml version=\"1.0\"?><MPD>",
            b"RIFF\0\0\0\0WAVE",
            b"",
        ];
        assert_eq!(playlists.map(demuxer), [None; 5]);
    }

    #[test]
    fn lengths_that_files_state() {
        let mut mkv = b"\x1a\x45\xdf\xa3\x84\x42\x86\x81\x01\x18\x53\x80\x67".to_vec();
        let head = mkv.len() as u64;
        mkv.extend([0x01, 0, 0, 0, 0, 0, 0x0c, 0xff]);
        assert_eq!(MATROSKA.length(&mkv), Some(head + 8 + 0xcff));
        let unknown = [&mkv[..13], &[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat();
        assert_eq!(MATROSKA.length(&unknown), None);
        let short = [&mkv[..13], &[0x42, 0x01]].concat();
        assert_eq!(MATROSKA.length(&short), Some(head + 2 + 0x201));
        for cut in 0..mkv.len() {
            assert_eq!(MATROSKA.length(&mkv[..cut]), None);
        }
        assert_eq!(AVI.length(b"RIFF\xe2\x22\0\0AVI "), Some(0x22e2 + 8));
        assert_eq!(AVI.length(b"RIFF\0\0\0\0AVI "), None);
    }
}
