//! How the rows of an index were made, in its header.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use vljepa_embed::visuals::Reading;
use vljepa_model::json_fault;

/// The version of the format.
pub(super) const VERSION: &str = "3";
/// The key of an index in the metadata of its file, with the version as value.
pub const FORMAT_KEY: &str = "vljepa_index";
/// The keys of the header.
const MODEL: &str = "model";
const ROOT: &str = "root";
const PROGRAM: &str = "program";
const READING: &str = "reading";
const SETTINGS: &str = "settings";
const FRAME_FOLDERS: &str = "frame_folders";
const MIXED: &str = "mixed";

/// How the rows of an index were made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Hash of the model.
    pub model: String,
    /// The folder.
    pub root: PathBuf,
    /// Version of the program.
    pub program: String,
    /// How files became clips.
    pub reading: Reading,
    /// What else the rows depend on, such as precision and device.
    pub settings: Value,
    /// Whether pictures are frames of their folders.
    pub frame_folders: bool,
    /// Whether some rows are of another version of the program, or of other settings.
    pub mixed: bool,
}

impl Made {
    /// How the rows are made after an update in which rows of this kind were `kept` and rows were `added` as `now` says.
    pub(super) fn after(self, now: Self, kept: bool, added: bool) -> Self {
        if added && !kept {
            return now;
        }
        let differ = (&now.program, &now.settings) != (&self.program, &self.settings);
        Self { mixed: kept && (self.mixed || (added && differ)), ..self }
    }

    /// From the metadata of the file.
    ///
    /// # Errors
    /// What is wrong, in words that follow "not a whole index".
    pub(super) fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self, String> {
        let text =
            |key: &str| metadata.get(key).map(String::as_str).ok_or_else(|| format!("its header has no `{key}`"));
        let fault = |key: &str| {
            let key = key.to_owned();
            move |e: serde_json::Error| format!("`{key}` in its header: {}", json_fault(&e.to_string()))
        };
        Ok(Self {
            model: text(MODEL)?.to_owned(),
            root: PathBuf::from(text(ROOT)?),
            program: text(PROGRAM)?.to_owned(),
            reading: serde_json::from_str(text(READING)?).map_err(fault(READING))?,
            settings: serde_json::from_str(text(SETTINGS)?).map_err(fault(SETTINGS))?,
            frame_folders: serde_json::from_str(text(FRAME_FOLDERS)?).map_err(fault(FRAME_FOLDERS))?,
            mixed: serde_json::from_str(text(MIXED)?).map_err(fault(MIXED))?,
        })
    }

    /// The metadata of the file.
    pub(super) fn to_metadata(&self) -> BTreeMap<String, String> {
        let pairs = [
            (FORMAT_KEY, VERSION.to_owned()),
            (MODEL, self.model.clone()),
            (ROOT, self.root.display().to_string()),
            (PROGRAM, self.program.clone()),
            (READING, serde_json::json!(self.reading).to_string()),
            (SETTINGS, self.settings.to_string()),
            (FRAME_FOLDERS, self.frame_folders.to_string()),
            (MIXED, self.mixed.to_string()),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_mixed_where_kept_ones_stand_beside_others() {
        let of = |program: &str, mixed| Made {
            model: "m".into(),
            root: "films".into(),
            program: program.into(),
            reading: Reading::default(),
            settings: Value::Null,
            frame_folders: false,
            mixed,
        };
        for (before, now, kept, added, want) in [
            // Nothing but files that are gone: no row is of another version.
            (of("1", false), "2", true, false, ("1", false)),
            (of("1", true), "1", true, false, ("1", true)),
            (of("1", false), "2", true, true, ("1", true)),
            (of("1", false), "1", true, true, ("1", false)),
            // Every row was made again.
            (of("1", true), "2", false, true, ("2", false)),
            (of("1", true), "1", false, true, ("1", false)),
        ] {
            let after = before.after(of(now, false), kept, added);
            assert_eq!((after.program.as_str(), after.mixed), want);
        }
    }
}
