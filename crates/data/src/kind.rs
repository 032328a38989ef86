//! What a file is, by its first bytes: the one place where that is decided.

use image::ImageFormat;

/// How many of a file's first bytes are looked at.
pub(crate) const HEAD: usize = 4096;

/// First bytes of a YUV4MPEG2 stream.
pub(crate) const Y4M_MAGIC: &[u8] = b"YUV4MPEG2";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has no bytes.
    Empty,
    /// MP4 or MOV.
    Mp4,
    /// YUV4MPEG2.
    Y4m,
    /// GIF, or an animated WebP or PNG.
    Animation(Animation),
    /// A picture of one frame, in a format that this crate decodes.
    Picture,
    /// None of these.
    Other,
}

/// The formats of animations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Animation {
    Gif,
    WebP,
    Apng,
}

impl Kind {
    /// By the first [`HEAD`] bytes of a file, or all of a shorter one.
    pub fn of(head: &[u8]) -> Self {
        if head.is_empty() {
            Self::Empty
        } else if is_mp4(head) {
            Self::Mp4
        } else if head.starts_with(Y4M_MAGIC) {
            Self::Y4m
        } else if let Some(animation) = Animation::of(head) {
            Self::Animation(animation)
        } else if picture_format(head).is_some() {
            Self::Picture
        } else {
            Self::Other
        }
    }
}

impl Animation {
    /// PNG and WebP count only where the file says that it is animated. PNG of 16 bits does not: the decoder of its frames
    /// handles 8 only.
    fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
            return Some(Self::Gif);
        }
        // VP8X with the animation flag.
        let webp = head.starts_with(b"RIFF") && head.get(8..16) == Some(b"WEBPVP8X");
        if webp && head.get(20).is_some_and(|flags| flags & 2 != 0) {
            return Some(Self::WebP);
        }
        // The chunk acTL stands before the first IDAT, usually right after IHDR.
        let png = head.starts_with(b"\x89PNG\r\n\x1a\n");
        let find = |kind: &[u8]| head.windows(4).position(|bytes| bytes == kind);
        let first = |at: usize| find(b"IDAT").is_none_or(|data| at < data);
        (png && head.get(24) != Some(&16) && find(b"acTL").is_some_and(first)).then_some(Self::Apng)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Apng => "PNG",
        }
    }
}

/// Older MOV files have no `ftyp`.
fn is_mp4(head: &[u8]) -> bool {
    head.get(4..8).is_some_and(|kind| [b"ftyp", b"moov", b"mdat", b"wide", b"skip"].iter().any(|k| *k == kind))
}

/// A format that this crate decodes, and its name.
pub(crate) type PictureFormat = (ImageFormat, &'static str);

/// The format of a picture, or of an animation, whose first frame is a picture.
pub(crate) fn picture_format(head: &[u8]) -> Option<PictureFormat> {
    let format = image::guess_format(head).ok()?;
    let name = match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Gif => "GIF",
        ImageFormat::WebP => "WebP",
        _ => return None,
    };
    Some((format, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_decide() {
        let animated = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02";
        let still = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x10";
        let cases: [(&[u8], Kind); 9] = [
            (b"", Kind::Empty),
            (b"\0\0\0\x18ftypmp42", Kind::Mp4),
            (b"\0\0\0\x08widemdat", Kind::Mp4),
            (b"YUV4MPEG2 W5", Kind::Y4m),
            (b"GIF89a", Kind::Animation(Animation::Gif)),
            (animated, Kind::Animation(Animation::WebP)),
            (still, Kind::Picture),
            (b"\xff\xd8\xff\xe0", Kind::Picture),
            (b"BM\0\0\0\0", Kind::Other),
        ];
        for (head, kind) in cases {
            assert_eq!(Kind::of(head), kind, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn a_png_is_animated_by_a_chunk_before_its_data() {
        let png = |depth: u8, chunks: &[&[u8]]| {
            let mut head = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01".to_vec();
            head.push(depth);
            chunks.iter().for_each(|chunk| head.extend_from_slice(chunk));
            Kind::of(&head)
        };
        assert_eq!(png(8, &[b"acTL", b"IDAT"]), Kind::Animation(Animation::Apng));
        assert_eq!(png(8, &[b"IDAT", b"acTL"]), Kind::Picture);
        assert_eq!(png(16, &[b"acTL", b"IDAT"]), Kind::Picture);
    }
}
