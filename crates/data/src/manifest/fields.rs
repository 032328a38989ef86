//! The fields of one row, whatever it is written in: what they may hold, and what is wrong with them in words.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// All fields, as messages list them.
const KEYS: [&str; 8] = ["visual", "start", "end", "query", "target", "targets", "weight", "split"];

/// Right texts of a row.
const MAX_TARGETS: usize = 1024;
/// A text in bytes: longer ones are refused by every tokenizer.
const MAX_TEXT: usize = 1 << 20;
/// A path in bytes.
const MAX_PATH: usize = 4096;
/// Characters of a value that messages show.
const SHOWN: usize = 60;

/// The part of the data that a row belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Trained on.
    #[default]
    Train,
    /// Looked at during training, to choose settings.
    Validation,
    /// Measured on in the end.
    Test,
}

impl Split {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Its name in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a row says, as far as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    pub visual: Option<String>,
    pub start: Option<f64>,
    pub end: Option<f64>,
    pub query: Option<String>,
    pub targets: Vec<String>,
    pub weight: Option<f32>,
    pub split: Split,
    /// `target`, until the row is finished.
    target: Option<String>,
}

impl Fields {
    /// The fields of a JSON object.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let Pairs(pairs) = serde_json::from_str(text).map_err(|error| json_fault(&error))?;
        let mut fields = Self::default();
        let mut seen = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let known = known(&key)?;
            if seen.contains(&known) {
                return Err(format!("`{key}` is there twice; leave one out"));
            }
            seen.push(known);
            fields.set_json(known, value)?;
        }
        fields.finish()
    }

    fn set_json(&mut self, key: &'static str, value: Value) -> Result<(), String> {
        match (key, value) {
            (_, Value::Null) => Ok(()),
            ("start" | "end" | "weight", Value::Number(number)) => {
                self.number(key, number.as_f64().unwrap_or(f64::NAN))
            }
            ("targets", Value::Array(items)) => {
                let text = |item| match item {
                    Value::String(text) => Ok(text),
                    other => Err(format!("`targets` holds {}, a list of texts is expected", shown(&other.to_string()))),
                };
                self.targets = items.into_iter().map(text).collect::<Result<_, _>>()?;
                match self.targets.is_empty() {
                    true => Err("`targets` is empty; give a text, or leave the row out".into()),
                    false => Ok(()),
                }
            }
            ("visual" | "query" | "target" | "split", Value::String(text)) => self.text(key, text),
            (key, other) => {
                let expected = match key {
                    "start" | "end" => "a number of seconds",
                    "weight" => "a number",
                    "targets" => "a list of texts",
                    _ => "a text",
                };
                Err(format!("`{key}` is {}, {expected} is expected", shown(&other.to_string())))
            }
        }
    }

    /// Sets a field from the cell of a table; an empty one says nothing.
    pub fn set_cell(&mut self, key: &'static str, cell: &str) -> Result<(), String> {
        let trimmed = cell.trim();
        match key {
            _ if trimmed.is_empty() => Ok(()),
            "start" | "end" | "weight" => {
                let number = trimmed.parse();
                self.number(key, number.map_err(|_| format!("`{key}` is {}, a number is expected", shown(trimmed)))?)
            }
            "targets" => {
                self.targets = trimmed.split('|').map(|text| text.trim().to_owned()).collect();
                Ok(())
            }
            _ => self.text(key, trimmed.to_owned()),
        }
    }

    fn number(&mut self, key: &str, value: f64) -> Result<(), String> {
        match key {
            "weight" if !(value.is_finite() && value > 0.0 && (value as f32).is_normal()) => {
                Err(format!("`weight` is {value}, a positive number is expected; leave out rows without weight"))
            }
            "weight" => {
                self.weight = Some(value as f32);
                Ok(())
            }
            _ if !(value.is_finite() && value >= 0.0) => {
                Err(format!("`{key}` is {value}, a number of seconds from 0 is expected"))
            }
            "start" => {
                self.start = Some(value);
                Ok(())
            }
            _ => {
                self.end = Some(value);
                Ok(())
            }
        }
    }

    fn text(&mut self, key: &str, text: String) -> Result<(), String> {
        match key {
            "visual" => self.visual = Some(text),
            "query" => self.query = Some(text),
            "target" => self.target = Some(text),
            _ => {
                let found = Split::ALL.into_iter().find(|split| split.name() == text);
                let wrong = || format!("`split` is {}; write train, validation or test", shown(&text));
                self.split = found.ok_or_else(wrong)?;
            }
        }
        Ok(())
    }

    /// Checks what fields must be together.
    pub fn finish(mut self) -> Result<Self, String> {
        if let Some(target) = self.target.take() {
            if !self.targets.is_empty() {
                return Err("`target` and `targets` are both there; put all texts into `targets`".into());
            }
            self.targets = vec![target];
        }
        if self.targets.is_empty() {
            return Err("`target` is missing; say what is right: a `target`, or several `targets`".into());
        }
        if self.targets.len() > MAX_TARGETS {
            return Err(format!("{} `targets`, a row has at most {MAX_TARGETS}", self.targets.len()));
        }
        if self.targets.iter().any(|text| text.trim().is_empty()) {
            return Err("a target is empty; write a text, or leave the row out".into());
        }
        // Texts that differ by white space at their ends would be different classes.
        self.targets.iter_mut().chain(&mut self.query).for_each(trim);
        // An empty question asks nothing.
        self.query = self.query.filter(|query| !query.is_empty());
        if let Some(long) = self.targets.iter().chain(&self.query).find(|text| text.len() > MAX_TEXT) {
            return Err(format!("a text of {} bytes, at most {MAX_TEXT} are read", long.len()));
        }
        if let (Some(start), Some(end)) = (self.start, self.end)
            && start >= end
        {
            return Err(format!("`start` ({start}) is not before `end` ({end})"));
        }
        if self.end == Some(0.0) {
            return Err("`end` is 0, which leaves nothing of the clip".into());
        }
        Ok(self)
    }
}

/// The field of a name.
pub(super) fn known(key: &str) -> Result<&'static str, String> {
    KEYS.into_iter().find(|known| *known == key).ok_or_else(|| {
        let known = KEYS.join("`, `");
        format!("unknown field {}; fields are `{known}`", shown(key))
    })
}

/// A path of a row as one below the folder of the manifest.
pub(super) fn relative(visual: &str) -> Result<PathBuf, String> {
    let wrong = |what: &str| Err(format!("`visual` is {}, {what}", shown(visual)));
    let drive = matches!(visual.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    let path = Path::new(visual);
    if visual.is_empty() || visual.contains('\0') {
        return wrong("the path of a picture, a video or a folder of frames is expected");
    }
    if visual.len() > MAX_PATH {
        return Err(format!("`visual` has {} bytes, a path has at most {MAX_PATH}", visual.len()));
    }
    if path.has_root() || visual.starts_with('\\') || drive {
        return wrong("an absolute path; write it relative to the folder of this file");
    }
    if visual.split(['/', '\\']).any(|part| part == "..") {
        return wrong("which may lead out of the folder of this file; put the data below it, or a link to it");
    }
    Ok(path.components().filter(|part| *part != Component::CurDir).collect())
}

/// A value for a message: its beginning, in quotes.
pub(super) fn shown(text: &str) -> String {
    let mut start: String = text.chars().take(SHOWN).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

/// A fault of JSON: rows stand on a line, so that its line number says nothing.
fn json_fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (what, place) = match text.rsplit_once(" at line ") {
        Some((what, _)) => (what, format!(" (column {})", error.column())),
        None => (text.as_str(), String::new()),
    };
    let what = what.replace('\n', " ");
    format!(
        "not a JSON object of fields: {what}{place}; write one object a line, such as {{\"visual\": \"a.png\", \"target\": \"a cat\"}}"
    )
}

/// An object with every key that is written in it, also where one is written twice.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    // One more than there are is enough to say what is wrong.
                    if pairs.len() > KEYS.len() {
                        map.next_value::<serde::de::IgnoredAny>()?;
                        continue;
                    }
                    pairs.push((key, map.next_value()?));
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

fn trim(text: &mut String) {
    let trimmed = text.trim();
    if trimmed.len() < text.len() {
        *text = trimmed.to_owned();
    }
}
