//! Which files the inputs of a task name.

use std::path::{Path, PathBuf};

use vljepa_data::PassedOver;

use crate::error::{Error, Result};

/// The name of standard input among files. A file of this name is `./-`.
pub const STDIN: &str = "-";

/// Whether a path stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

/// The picture and video files that `inputs` name, in the order given. Folders are searched; files are taken as they
/// are, and [`STDIN`] too.
///
/// # Errors
/// A path that does not exist, a folder without pictures and videos, and standard input more than once.
pub fn find_files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    find_files_counting(inputs).map(|(files, _)| files)
}

/// As [`find_files`], and what of the folders looks like media and is not read.
///
/// # Errors
/// As [`find_files`].
pub fn find_files_counting(inputs: &[PathBuf]) -> Result<(Vec<PathBuf>, PassedOver)> {
    let (mut files, mut passed) = (Vec::new(), PassedOver::new());
    if inputs.iter().filter(|input| is_stdin(input)).count() > 1 {
        return Err(Error::Invalid(format!("{STDIN}: standard input is named twice, and can be read once")));
    }
    for input in inputs {
        if is_stdin(input) {
            files.push(input.clone());
            continue;
        }
        let mut here = PassedOver::new();
        let media = vljepa_data::find_media_counting(input, &mut here)?;
        if media.is_empty() {
            let others = if here.is_empty() { String::new() } else { format!("; {}", passed_over(&here)) };
            return Err(Error::content(input, no_pictures() + &others));
        }
        files.extend(media);
        here.into_iter().for_each(|(extension, count)| *passed.entry(extension).or_default() += count);
    }
    Ok((files, passed))
}

/// How many files were passed over, by their extensions: "4 files passed over: 3 .heic, 1 .tif".
pub fn passed_over(passed: &PassedOver) -> String {
    let total: u64 = passed.values().sum();
    let kinds: Vec<_> = passed.iter().map(|(extension, count)| format!("{count} .{extension}")).collect();
    format!("{total} file{} passed over: {}", if total == 1 { "" } else { "s" }, kinds.join(", "))
}

fn no_pictures() -> String {
    let (pictures, videos) = (vljepa_data::PICTURE_EXTENSIONS, vljepa_data::video::VIDEO_EXTENSIONS);
    let (pictures, videos) = (pictures.join(", "), videos.join(", "));
    format!("no pictures in this folder, and no videos ({pictures}, {videos}); name one with some")
}

/// The same with each folder of frames in the place of its pictures: of what was found in the folders among `inputs`, pictures are frames of the
/// folder that they lie in.
pub fn frame_folders(inputs: &[PathBuf], files: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut clips: Vec<PathBuf> = Vec::new();
    for file in files {
        let named = inputs.contains(&file) || !vljepa_data::is_picture_name(&file);
        let clip = match file.parent().filter(|_| !named) {
            Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
            Some(folder) => folder.to_path_buf(),
            None => file,
        };
        if clips.last() != Some(&clip) && (clip.is_file() || !clips.contains(&clip)) {
            clips.push(clip);
        }
    }
    clips
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_become_frames_of_their_folder() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/1.png", "a/2.png", "a/deep/1.jpg", "b.mp4", "one.png"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let at = |name: &str| dir.path().join(name);
        let inputs = [at("a"), at("b.mp4"), at("one.png"), STDIN.into()];
        let files = find_files(&inputs).unwrap();
        assert_eq!(files.len(), 6);
        let clips = frame_folders(&inputs, files);
        assert_eq!(clips, [at("a"), at("a/deep"), at("b.mp4"), at("one.png"), STDIN.into()]);
        let twice = find_files(&[STDIN.into(), STDIN.into()]).unwrap_err().to_string();
        assert!(twice.contains("named twice"), "{twice}");
    }
}
