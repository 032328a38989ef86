//! Names of files: extensions of pictures and videos, and the order in which people expect names.

use std::cmp::Ordering;
use std::path::Path;

/// File name extensions of the formats that [`crate::decode_file`] reads, lower case.
pub const PICTURE_EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "gif", "webp", "jfif", "jpe", "apng"];

/// Extensions of video files that are looked for in folders, lower case. A file that is
/// named itself is recognised by its content.
pub const VIDEO_EXTENSIONS: [&str; 8] = ["avi", "m4v", "mkv", "mov", "mp4", "mpg", "webm", "y4m"];

/// Extensions of pictures and videos that are not looked for in folders: of formats that are not read, and of names that are
/// rare. Such files are counted. `ts` is not among them, because most such files hold program text.
const OTHER_MEDIA: [&str; 62] = [
    "3fr", "3g2", "3gp", "arw", "asf", "avif", "avifs", "bmp", "bpg", "cr2", "cr3", "cur", "dds", "dib", "divx", "dng",
    "exr", "f4v", "flv", "h264", "h265", "hdr", "heic", "heif", "hevc", "hif", "ico", "ivf", "j2k", "jp2", "jpf",
    "jpx", "jxl", "jxr", "m2ts", "m2v", "mjpg", "mpe", "mpeg", "mts", "mxf", "nef", "ogv", "orf", "pbm", "pcx", "pgm",
    "pjp", "pjpeg", "pnm", "ppm", "psd", "qoi", "qt", "raf", "rm", "rw2", "svg", "tga", "tif", "tiff", "wmv",
];

/// The extension, lower case, of a picture or video that is not looked for in folders.
pub(crate) fn other_media(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    OTHER_MEDIA.iter().find(|known| **known == extension).copied()
}

/// Whether a name ends as that of a picture ([`PICTURE_EXTENSIONS`]).
pub fn is_picture_name(path: &Path) -> bool {
    has_extension(path, &PICTURE_EXTENSIONS)
}

pub(crate) fn is_video_name(path: &Path) -> bool {
    has_extension(path, &VIDEO_EXTENSIONS)
}

/// Whether a name begins with a dot, or there is none.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| extensions.contains(&extension.to_ascii_lowercase().as_str()))
}

/// Orders names as people count: runs of digits by their value, so that `f9` stands before `f10`; all else by characters.
/// Names that differ only in leading zeros are ordered byte by byte.
pub fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match (digits(left), digits(right)) {
            (0, _) | (_, 0) => match (left.chars().next(), right.chars().next()) {
                (None, None) => return a.cmp(b),
                (x, y) if x == y => {
                    let step = x.map_or(0, char::len_utf8);
                    (left, right) = (&left[step..], &right[step..]);
                }
                (x, y) => return x.cmp(&y),
            },
            (m, n) => {
                let (x, y) = (left[..m].trim_start_matches('0'), right[..n].trim_start_matches('0'));
                let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
                if order != Ordering::Equal {
                    return order;
                }
                (left, right) = (&left[m..], &right[n..]);
            }
        }
    }
}
