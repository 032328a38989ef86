//! A file that is opened once gives what the functions that open it themselves give.

use std::path::{Path, PathBuf};

use vljepa_data::video::{VideoOptions, VideoReader, is_video};
use vljepa_data::{DataError, Limits, Media, Rgba8Image, decode_file, encode_png};

use crate::video::fixture;

fn without_ffmpeg() -> VideoOptions {
    VideoOptions { ffmpeg: None, ..VideoOptions::default() }
}

/// Every file of the fixtures, and of texts and pictures beside them.
fn fixtures() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![fixture("").parent().unwrap().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

fn grey(level: u8) -> Vec<u8> {
    encode_png(&Rgba8Image::new(3, 2, [level, level, level, 255].repeat(6)).unwrap()).unwrap()
}

/// All frames and their times, or the error's text.
fn frames(reader: Result<VideoReader, DataError>) -> Result<Vec<(Vec<u8>, f64)>, String> {
    let mut reader = reader.map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    while let Some(frame) = reader.next_frame().map_err(|e| e.to_string())? {
        all.push((frame.rgb.data, frame.pts));
    }
    Ok(all)
}

#[test]
fn every_fixture_is_what_it_is_by_path() {
    let files = fixtures();
    let mut videos = 0;
    for path in &files {
        let media = Media::open(path).unwrap();
        assert_eq!(media.path(), path);
        assert_eq!(media.is_video(), is_video(path).unwrap(), "{}", path.display());
        videos += usize::from(media.is_video());
        let meta = std::fs::metadata(path).unwrap();
        let time = meta.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(media.stamp(), (meta.len(), time.as_millis() as u64));
        let text = |e: DataError| e.to_string();
        let limits = Limits::default();
        let pictures = (media.picture(&limits).map_err(text), decode_file(path, &limits).map_err(text));
        assert_eq!(pictures.0, pictures.1, "{}", path.display());
        // After a picture was decoded, its frames are still read from the first on.
        let options = without_ffmpeg();
        let (ours, theirs) = (media.video(&options), VideoReader::open_with(path, &options));
        assert_eq!(frames(ours), frames(theirs), "{}", path.display());
    }
    assert!(videos > 20 && files.len() > videos, "{videos} videos of {}", files.len());
}

#[test]
fn what_is_no_file_is_told_as_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.png");
    assert!(matches!(Media::open(&missing), Err(DataError::Missing(path)) if path == missing));
    let limits = Limits::default();
    let same = |path: &Path| {
        let error = Media::open(path).unwrap_err().to_string();
        assert_eq!(error, decode_file(path, &limits).unwrap_err().to_string());
        assert!(!is_video(path).unwrap());
        error
    };
    assert!(same(dir.path()).contains("is a folder"));
    #[cfg(unix)]
    assert!(same(Path::new("/dev/null")).contains("is not a regular file"));
    for name in ["empty.png", "empty.mp4"] {
        let path = dir.path().join(name);
        std::fs::write(&path, b"").unwrap();
        let media = Media::open(&path).unwrap();
        assert_eq!(media.is_video(), is_video(&path).unwrap());
        assert_eq!(media.is_video(), name == "empty.mp4");
        assert!(matches!(media.picture(&limits), Err(DataError::Empty(_))));
        assert!(matches!(media.video(&without_ffmpeg()), Err(DataError::Empty(_))));
    }
}

/// Opening a pipe that nobody writes to would wait for ever.
#[cfg(unix)]
#[test]
fn a_pipe_is_refused_before_it_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.png");
    if !std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success() {
        panic!("mkfifo failed");
    }
    let error = Media::open(&pipe).unwrap_err();
    assert!(matches!(&error, DataError::NotAPicture(text) if text.ends_with("is not a regular file")), "{error}");
    assert!(!is_video(&pipe).unwrap());
}

#[cfg(unix)]
#[test]
fn a_file_is_decoded_as_it_was_opened() {
    let dir = tempfile::tempdir().unwrap();
    let replace = |path: &Path, bytes: &[u8]| {
        let other = dir.path().join("other");
        std::fs::write(&other, bytes).unwrap();
        std::fs::rename(&other, path).unwrap();
    };
    let picture = dir.path().join("a.png");
    std::fs::write(&picture, grey(10)).unwrap();
    let media = Media::open(&picture).unwrap();
    replace(&picture, b"no picture at all");
    assert_eq!(media.picture(&Limits::default()).unwrap().data[0], 10);
    for name in ["bframes.mp4", "opaque.gif", "clear.webp", "clear.png"] {
        let path = dir.path().join(name);
        std::fs::copy(fixture(name), &path).unwrap();
        let media = Media::open(&path).unwrap();
        replace(&path, &grey(1));
        let mut reader = media.video(&without_ffmpeg()).unwrap();
        let total = reader.count().unwrap();
        let first = reader.frames(&[total - 1, 0]).unwrap().remove(1);
        let want = VideoReader::open_with(fixture(name), &without_ffmpeg()).unwrap().next_frame().unwrap().unwrap();
        assert!(first == want, "{name}");
    }
}
