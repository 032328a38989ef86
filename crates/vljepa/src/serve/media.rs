//! What clients send to be looked at: data URLs, uploads and files of allowed folders, to the numbers that the model takes.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use tempfile::{NamedTempFile, TempDir};
use vljepa_data::Preprocess;
use vljepa_data::video::Sampling;
use vljepa_embed::visuals::{FileOptions, Reading, VisualEncoder, embed_files};

use super::fault::{Fault, Result};
use super::worker::Facts;
use crate::allowed::AllowedFolders;

/// Base64 of RFC 4648 with or without padding at its end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of base64, with or without padding.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Base64 of bytes.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// A picture or a video that a client has given.
#[derive(Debug)]
pub(super) struct Input {
    /// What the client calls it.
    pub name: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// It is removed when nobody looks at it any more.
    Temporary(NamedTempFile),
    /// A file of an allowed folder.
    Allowed(PathBuf),
}

impl Input {
    /// A file that was uploaded.
    pub fn uploaded(name: String, file: NamedTempFile) -> Self {
        Self { name, place: Place::Temporary(file) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match &self.place {
            Place::Temporary(file) => file.path(),
            Place::Allowed(path) => path,
        }
    }
}

/// Where what clients send is kept while it is looked at.
#[derive(Debug)]
pub(super) struct Inbox {
    folder: TempDir,
    allowed: AllowedFolders,
}

impl Inbox {
    /// `folder` is for this server alone, and goes with it.
    pub fn new(folder: TempDir, allowed: AllowedFolders) -> Self {
        Self { folder, allowed }
    }

    /// An empty file for an upload. Its name ends as that of the client's file, which may say what it holds.
    pub fn file(&self, name: &str) -> Result<NamedTempFile> {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
        let plain = |text: &&str| text.len() <= 8 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let suffix = extension.filter(plain).map_or_else(String::new, |extension| format!(".{extension}"));
        let made = tempfile::Builder::new().prefix("upload-").suffix(&suffix).tempfile_in(self.folder.path());
        made.map_err(|error| Fault::internal(format!("no file can be made for the upload: {error}")))
    }

    /// What a text in a request stands for: a data URL, or a path in an allowed folder. Blocks.
    ///
    /// # Errors
    /// A text that is neither.
    pub fn input(&self, text: &str) -> Result<Input> {
        if let Some(url) = text.strip_prefix("data:") {
            return self.data_url(url);
        }
        let remote = ["http:", "https:", "rtsp:", "ftp:", "file:"].iter().any(|scheme| text.starts_with(scheme));
        if remote {
            return Err(Fault::bad(
                "addresses are not fetched; send a data URL, upload the file, or name one of an allowed folder",
            ));
        }
        if self.allowed.is_empty() {
            return Err(Fault::bad(
                "neither a data URL nor a path: this server was started without folders that may be read",
            ));
        }
        let path = self.allowed.resolve(text)?;
        Ok(Input { name: text.to_owned(), place: Place::Allowed(path) })
    }

    fn data_url(&self, url: &str) -> Result<Input> {
        let Some((head, data)) = url.split_once(',') else {
            return Err(Fault::bad("the data URL has no comma before its data"));
        };
        let Some(media_type) = head.strip_suffix(";base64") else {
            return Err(Fault::bad("the data URL is not in base64"));
        };
        let media_type = media_type.split(';').next().unwrap_or_default().to_ascii_lowercase();
        let bytes = from_base64(data).ok_or_else(|| Fault::bad("the data URL holds something that is not base64"))?;
        let extension = match media_type.as_str() {
            "video/x-matroska" => "mkv",
            "video/quicktime" => "mov",
            "video/x-msvideo" => "avi",
            other => other.split_once('/').map_or("", |(_, kind)| kind),
        };
        let mut file = self.file(&format!("data.{extension}"))?;
        let written = file.write_all(&bytes).and_then(|()| file.flush());
        written.map_err(|error| Fault::internal(format!("the data URL cannot be kept: {error}")))?;
        Ok(Input::uploaded(if media_type.is_empty() { "data URL".into() } else { format!("data:{media_type}") }, file))
    }
}

/// The part of a video that is looked at, and how closely.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Part {
    pub start: Option<f64>,
    pub end: Option<f64>,
    pub frames: Option<usize>,
}

/// Numbers that the model takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Clip {
    /// `[frames, 3, size, size]`.
    pub pixels: Vec<f32>,
    pub frames: usize,
    /// What is to be known of the file.
    pub notes: Vec<String>,
}

/// Most frames that a client may ask for.
const MAX_FRAMES: usize = 256;

/// Reads a picture or a video, which becomes one clip, exactly as other tasks read files. Blocks.
///
/// # Errors
/// A file that cannot be read, and frames that do not fit the model.
pub(super) fn prepare(input: &Input, part: Part, facts: &Facts) -> Result<Clip> {
    if part.frames.is_some_and(|frames| frames > MAX_FRAMES) {
        return Err(Fault::field("frames", format!("a clip has at most {MAX_FRAMES} frames")));
    }
    let sampling = Sampling { frames: part.frames, start: part.start, end: part.end, ..Sampling::default() };
    let mut notes = Vec::new();
    let on_note = &mut |noted: vljepa_embed::visuals::Noted| notes.push(noted.note);
    let options = FileOptions::default().reading(Reading { sampling, ..Reading::default() }).on_note(on_note);
    let read = embed_files(&Preparing { facts }, &[input.path().to_path_buf()], options);
    let read = read.map_err(|error| match error {
        // There is nothing to leave out.
        vljepa_embed::Error::Hinted { error, .. } => Fault::from(*error),
        other => Fault::from(other),
    });
    let pixels = read.map_err(|fault| fault.named(input.path(), &input.name))?.rows.into_values();
    let frames = pixels.len() / facts.preprocess.values().max(1);
    Ok(Clip { pixels, frames, notes })
}

/// Instead of encoding pixels it hands them on, so that files are read the same way as everywhere.
struct Preparing<'a> {
    facts: &'a Facts,
}

impl VisualEncoder for Preparing<'_> {
    fn preprocess(&self) -> &Preprocess {
        &self.facts.preprocess
    }

    fn frames(&self) -> usize {
        self.facts.frames
    }

    fn tubelet(&self) -> usize {
        self.facts.tubelet
    }

    fn tokens(&self, frames: usize) -> usize {
        self.facts.tokens(frames)
    }

    fn shape(&self, frames: usize) -> Vec<usize> {
        vec![frames * self.facts.preprocess.values()]
    }

    fn unit(&self) -> bool {
        false
    }

    fn encode(&self, pixels: &[f32], _count: usize, _frames: usize) -> vljepa_embed::Result<Vec<f32>> {
        Ok(pixels.to_vec())
    }
}

/// Inputs by the number of their frames, since clips of one number go through the model together: their places, and pixels one after the
/// other.
pub(super) fn by_frames(clips: Vec<Clip>) -> Vec<(usize, Vec<usize>, Vec<f32>)> {
    let mut groups: Vec<(usize, Vec<usize>, Vec<f32>)> = Vec::new();
    for (i, clip) in clips.into_iter().enumerate() {
        match groups.iter_mut().find(|(frames, ..)| *frames == clip.frames) {
            Some((_, places, pixels)) => {
                places.push(i);
                pixels.extend(clip.pixels);
            }
            None => groups.push((clip.frames, vec![i], clip.pixels)),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox() -> Inbox {
        Inbox::new(tempfile::tempdir().unwrap(), AllowedFolders::default())
    }

    #[test]
    fn data_urls_become_files_that_go_again() {
        let inbox = inbox();
        let input = inbox.input("data:video/webm;codecs=vp9;base64,aGVsbG8").unwrap();
        assert_eq!((std::fs::read(input.path()).unwrap(), input.name.as_str()), (b"hello".to_vec(), "data:video/webm"));
        assert!(input.path().extension().is_some_and(|extension| extension == "webm"));
        let path = input.path().to_path_buf();
        drop(input);
        assert!(!path.exists());
        let plain = inbox.input("data:;base64,aGVsbG8=").unwrap();
        assert_eq!(plain.name, "data URL");
        for bad in [
            "data:image/png,abc",
            "data:image/png;base64",
            "data:image/png;base64,a%20b",
            "data:",
            "https://example.com/a.png",
            "a.png",
        ] {
            assert_eq!(inbox.input(bad).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn names_of_uploads_cannot_lead_away() {
        let inbox = inbox();
        for name in ["../../a.mp4", "/etc/x.../..", "a.mp4/../../b.m p4", "a.\0", "", ".", "a.extensionwithoutend"] {
            let file = inbox.file(name).unwrap();
            assert_eq!(file.path().parent(), Some(inbox.folder.path()), "{name:?}");
        }
    }
}
