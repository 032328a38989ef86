//! What a file is, by its content: the one place where that is decided.

use std::io::{Read, Seek, SeekFrom};

use image::ImageFormat;

use crate::instead::instead;

/// How many of a file's first bytes are looked at.
pub(crate) const HEAD: usize = 4096;

/// First bytes of a YUV4MPEG2 stream.
pub(crate) const Y4M_MAGIC: &[u8] = b"YUV4MPEG2";

const PNG_MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Chunks of a PNG that are looked at before its data. Files have some dozens.
const MAX_CHUNKS: usize = 4096;

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
    /// A picture in another format, by its name.
    Foreign(&'static str),
    /// What a download left instead of the file, in words.
    Instead(&'static str),
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
    /// By the first [`HEAD`] bytes of a source, or all of a shorter one, and the chunks of a PNG. The source's place moves.
    pub fn of(head: &[u8], source: &mut (impl Read + Seek)) -> std::io::Result<Self> {
        Ok(if head.is_empty() {
            Self::Empty
        } else if let Some(name) = foreign(head) {
            Self::Foreign(name)
        } else if is_mp4(head) {
            Self::Mp4
        } else if head.starts_with(Y4M_MAGIC) {
            Self::Y4m
        } else if let Some(animation) = Animation::of(head, source)? {
            Self::Animation(animation)
        } else if picture_format(head).is_some() {
            Self::Picture
        } else {
            Self::rest(head)
        })
    }

    /// What is neither picture nor video.
    fn rest(head: &[u8]) -> Self {
        instead(head).map_or(Self::Other, Self::Instead)
    }

    /// Of bytes that [`picture_format`] does not know.
    pub fn of_no_picture(bytes: &[u8]) -> Self {
        foreign(bytes).map_or_else(|| Self::rest(bytes), Self::Foreign)
    }
}

impl Animation {
    /// PNG and WebP count only where the file says that it is animated.
    fn of(head: &[u8], source: &mut (impl Read + Seek)) -> std::io::Result<Option<Self>> {
        if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
            return Ok(Some(Self::Gif));
        }
        // VP8X with the animation flag.
        let webp = head.starts_with(b"RIFF") && head.get(8..16) == Some(b"WEBPVP8X");
        if webp && head.get(20).is_some_and(|flags| flags & 2 != 0) {
            return Ok(Some(Self::WebP));
        }
        Ok((head.starts_with(PNG_MAGIC) && is_animated_png(source)?).then_some(Self::Apng))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Apng => "PNG",
        }
    }
}

/// Whether the chunk acTL stands before the first IDAT, at whatever place.
fn is_animated_png(source: &mut (impl Read + Seek)) -> std::io::Result<bool> {
    let mut at = PNG_MAGIC.len() as u64;
    for _ in 0..MAX_CHUNKS {
        let mut chunk = Vec::with_capacity(8);
        source.seek(SeekFrom::Start(at))?;
        source.take(8).read_to_end(&mut chunk)?;
        let [l0, l1, l2, l3, name @ ..] = chunk.as_slice() else {
            break;
        };
        match name {
            b"acTL" => return Ok(true),
            b"IDAT" | b"IEND" => break,
            _ => {}
        }
        at += 12 + u64::from(u32::from_be_bytes([*l0, *l1, *l2, *l3]));
    }
    Ok(false)
}

/// Older MOV files have no `ftyp`.
fn is_mp4(head: &[u8]) -> bool {
    head.get(4..8).is_some_and(|kind| [b"ftyp", b"moov", b"mdat", b"wide", b"skip"].iter().any(|k| *k == kind))
}

/// The name of a picture format that this crate does not decode.
fn foreign(head: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 19] = [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a", "JPEG XL"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"II+\0", "TIFF"),
        (b"MM\0+", "TIFF"),
        (b"II\xbc\x01", "JPEG XR"),
        (b"8BPS\0", "Photoshop"),
        (b"qoif", "QOI"),
        (b"v/1\x01", "OpenEXR"),
        (b"#?RADIANCE", "Radiance"),
        (b"DDS \x7c\0\0\0", "DDS"),
        (b"farbfeld", "farbfeld"),
        (b"<svg", "SVG"),
        (b"FUJIFILMCCD-RAW", "raw camera"),
        (b"BPG\xfb", "BPG"),
        (b"\x97JB2\r\n\x1a\n", "JBIG2"),
    ];
    if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(name);
    }
    match head {
        [b'B', b'M', ..] if matches!(head.get(14..18), Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])) => {
            Some("BMP")
        }
        // Directory of icons (1) or cursors (2): a number of entries, and a zero in the first.
        [0, 0, 1 | 2, 0, count, 0, _, _, _, 0, ..] if *count > 0 => Some("icon"),
        [b'P', b'1'..=b'7', b'\n' | b'\r' | b' ' | b'\t', ..] => Some("PNM"),
        [b'<', b'?', b'x', b'm', b'l', ..] => head.windows(4).any(|text| text == b"<svg").then_some("SVG"),
        _ => brand(head),
    }
}

/// Pictures in the container of MP4, which their brand tells from films.
fn brand(head: &[u8]) -> Option<&'static str> {
    if head.get(4..8) != Some(b"ftyp") {
        return None;
    }
    let length = u32::from_be_bytes(*head.first_chunk::<4>()?) as usize;
    let brands = head.get(8..length.min(head.len()))?.as_chunks::<4>().0;
    let of = |brand: &[u8; 4]| match brand {
        b"avif" | b"avis" => Some("AVIF"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => Some("HEIC"),
        b"crx " => Some("raw camera"),
        b"jxl " => Some("JPEG XL"),
        _ => None,
    };
    match brands.first()? {
        // Says only that it is a picture; the second number is the version.
        b"mif1" | b"msf1" | b"mif2" | b"miaf" | b"MiHE" | b"MiHB" | b"MiAB" | b"MiPr" => {
            Some(brands.iter().skip(2).find_map(of).unwrap_or("HEIF"))
        }
        major => of(major),
    }
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
    use std::io::Cursor;

    use super::*;

    fn kind(head: &[u8]) -> Kind {
        Kind::of(&head[..head.len().min(HEAD)], &mut Cursor::new(head)).unwrap()
    }

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
        for (head, want) in cases {
            assert_eq!(kind(head), want, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn pictures_of_other_formats_are_named() {
        let ftyp = |brands: &[u8]| {
            let mut bytes = (8 + brands.len() as u32).to_be_bytes().to_vec();
            bytes.extend(b"ftyp");
            bytes.extend(brands);
            bytes.extend(b"\0\0\0\x08mdatavif");
            kind(&bytes)
        };
        for (brands, want) in [
            (b"heic\0\0\0\0mif1heic".as_slice(), "HEIC"),
            (b"heix\0\0\0\0", "HEIC"),
            (b"mif1\0\0\0\0mif1heic", "HEIC"),
            (b"mif1\0\0\0\0mif1avif", "AVIF"),
            (b"mif1\0\0\0\0", "HEIF"),
            (b"msf1\0\0\0\0hevc", "HEIC"),
            (b"avif\0\0\0\0mif1", "AVIF"),
            (b"avis\0\0\0\0avif", "AVIF"),
        ] {
            assert_eq!(ftyp(brands), Kind::Foreign(want), "{}", brands.escape_ascii());
        }
        // Films that may also be read as pictures stay films.
        assert_eq!(ftyp(b"isom\0\0\0\0isomavifheic"), Kind::Mp4);
        let bmp = [b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0".as_slice(), &40_u32.to_le_bytes()].concat();
        for (head, want) in [
            (bmp.as_slice(), "BMP"),
            (b"II*\0\x08\0\0\0", "TIFF"),
            (b"MM\0*\0\0\0\x08", "TIFF"),
            (b"\xff\x0a\xfa\x7f", "JPEG XL"),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
            (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0", "icon"),
            (b"P6\n1 1\n255\n", "PNM"),
            (b"<?xml version=\"1.0\"?><svg", "SVG"),
        ] {
            assert_eq!(kind(head), Kind::Foreign(want), "{}", head.escape_ascii());
        }
        // A stream of MPEG begins in a similar way.
        assert_eq!(kind(b"\0\0\x01\xba\x44\0\x04\0\x04\x01"), Kind::Other);
    }

    #[test]
    fn a_png_is_animated_by_a_chunk_before_its_data() {
        let chunk = |kind: &[u8], body: &[u8]| [&(body.len() as u32).to_be_bytes(), kind, body, b"\0\0\0\0"].concat();
        let png = |depth: u8, chunks: &[(&[u8], &[u8])]| {
            let header = [b"\0\0\0\x01\0\0\0\x01".as_slice(), &[depth, 2, 0, 0, 0]].concat();
            let mut bytes = [PNG_MAGIC, &chunk(b"IHDR", &header)].concat();
            chunks.iter().for_each(|(kind, body)| bytes.extend(chunk(kind, body)));
            kind(&bytes)
        };
        let (data, control) =
            ((b"IDAT".as_slice(), b"x".as_slice()), (b"acTL".as_slice(), b"\0\0\0\x02\0\0\0\0".as_slice()));
        let animated = Kind::Animation(Animation::Apng);
        assert_eq!(png(8, &[control, data]), animated);
        assert_eq!(png(8, &[data, control]), Kind::Picture);
        assert_eq!(png(16, &[control, data]), animated);
        // Wherever it stands before the data, and nowhere else than as a chunk.
        let long = vec![b'.'; 100_000];
        assert_eq!(png(8, &[(b"tEXt", &long), control, data]), animated);
        assert_eq!(png(8, &[(b"tEXt", b"Comment\0 acTL"), data]), Kind::Picture);
        assert_eq!(png(8, &[(b"tEXt", b"Comment\0 IDAT"), control, data]), animated);
        // Chunks that lead beyond the end, and chunks without end.
        let mut lying = [PNG_MAGIC, &chunk(b"IHDR", &[0; 13])].concat();
        lying.extend(b"\xff\xff\xff\xfftEXt");
        assert_eq!(kind(&lying), Kind::Picture);
        assert_eq!(png(8, &vec![(b"tEXt".as_slice(), b"".as_slice()); MAX_CHUNKS]), Kind::Picture);
    }
}
