//! What is in an index, and how it stands to its folder.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;
use vljepa_embed::files::stamp;
use vljepa_embed::visuals::Reading;

use super::entry::Entry;
use super::file::Index;
use super::folder::PictureFolder;
use super::made::VERSION;

/// What is in an index.
#[derive(Clone, Debug, Serialize)]
pub struct IndexInfo {
    /// Version of the format.
    pub version: &'static str,
    /// Hash of the model.
    pub model: String,
    /// Version of the program that made it.
    pub program: String,
    /// What else the rows depend on, such as precision and device.
    pub settings: Value,
    /// Whether some rows are of another version of the program, or of other settings.
    pub mixed: bool,
    /// How files became clips.
    pub reading: Reading,
    /// Whether pictures are frames of their folders.
    pub frame_folders: bool,
    /// The folder.
    pub root: PathBuf,
    /// Number of pictures and videos.
    pub files: usize,
    /// Number of rows.
    pub rows: usize,
    /// Rows that show a part of a video.
    pub clips: usize,
    /// Seconds of video that these cover: for each file from its first to its last.
    pub seconds: f64,
    /// Values of a row.
    pub dim: usize,
    /// Bytes of the file.
    pub bytes: usize,
}

/// How an index stands to its folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// Files that are in the folder and not in the index.
    pub new: usize,
    /// Files that have changed since they were embedded.
    pub changed: usize,
    /// Files of the index that are not in the folder.
    pub gone: usize,
    /// Files of the index of which something was to be known; an update embeds them again.
    pub noted: usize,
}

impl State {
    /// Whether an update has nothing to do.
    pub fn is_current(&self) -> bool {
        *self == Self::default()
    }
}

impl Index {
    /// What is in the index.
    pub fn info(&self) -> IndexInfo {
        let (made, table) = (self.made.clone(), &self.table);
        let (mut clips, mut seconds) = (0, 0.0);
        let mut file: Option<(usize, f64, f64)> = None;
        for row in 0..table.rows() {
            let Some(moment) = table.moment(row) else { continue };
            clips += 1;
            let of = table.file_of(row);
            file = match file {
                Some((same, start, end)) if same == of => Some((of, start.min(moment.start), end.max(moment.end))),
                other => {
                    seconds += other.map_or(0.0, |(_, start, end)| end - start);
                    Some((of, moment.start, moment.end))
                }
            };
        }
        seconds += file.map_or(0.0, |(_, start, end)| end - start);
        IndexInfo {
            version: VERSION,
            model: made.model,
            program: made.program,
            settings: made.settings,
            mixed: made.mixed,
            reading: made.reading,
            frame_folders: made.frame_folders,
            root: made.root,
            files: table.files(),
            rows: table.rows(),
            clips,
            seconds,
            dim: table.dim(),
            bytes: table.bytes(),
        }
    }

    /// How the index stands to its folder, as [`Self::folder`] gives it.
    pub fn state(&self, folder: &PictureFolder) -> State {
        let entries = self.table.entries();
        let mut known: HashMap<&str, &Entry> = entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();
        let mut state = State::default();
        for path in &folder.files {
            // A file whose name an index cannot hold is not in one.
            let Ok(now) = Entry::of(&folder.root, path, stamp(path).unwrap_or_default()) else { continue };
            match known.remove(now.path.as_str()) {
                None => state.new += 1,
                Some(entry) if (entry.size, entry.modified) != (now.size, now.modified) => state.changed += 1,
                Some(entry) => state.noted += usize::from(entry.noted),
            }
        }
        state.gone = known.len();
        state
    }
}
