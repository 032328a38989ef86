//! The things that can play in a clip, and how they are drawn.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rayon::prelude::*;
use serde::Deserialize;

use super::color::Color;
use crate::emoji::{Concept, EmojiVendors, VendorId};
use crate::{DataError, Limits, Rgba8Image, decode_file, read_limited};

/// The list in a folder of drawings.
pub const LABELS: &str = "labels.jsonl";
/// Largest list.
const MAX_BYTES: u64 = 64 << 20;
/// Longest label, in characters.
const MAX_LABEL: usize = 80;
/// Fewest things of a cast: four in a clip, and others to ask for.
pub const MIN_THINGS: usize = 6;
/// Longest side of the largest level, in pixels.
const SIDE: u32 = 128;

/// One size of a drawing: premultiplied RGBA.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub width: usize,
    pub height: usize,
    pub data: Vec<[u8; 4]>,
}

/// A drawing, cut to what is seen of it, in sizes that halve.
#[derive(Clone, Debug)]
pub struct Drawing {
    pub(super) levels: Vec<Level>,
    /// The colour of most of it.
    pub color: Option<Color>,
}

/// A thing: what it is called, and its drawings.
#[derive(Clone, Debug)]
pub struct Thing {
    /// Its identity: held-out pairs of thing and action are told by it.
    pub key: String,
    /// What it is called.
    pub label: String,
    /// Whether its name holds a colour, so that a question for its colour would answer itself.
    pub names_a_color: bool,
    /// Its drawings, at least one.
    pub drawings: Vec<Drawing>,
}

/// The things that can play.
#[derive(Clone, Debug)]
pub struct Cast {
    things: Vec<Thing>,
}

/// Whether a concept plays in Sprite World: a thing that can stand anywhere, has no direction in its name, and is called by
/// what it is.
pub fn plays(concept: &Concept) -> bool {
    const GROUPS: [&str; 5] = ["Animals & Nature", "Food & Drink", "Objects", "Travel & Places", "Activities"];
    // Mirrored, these are something else.
    const SIDED: [&str; 7] = ["crescent", "quarter", "gibbous", "globe", "increasing", "decreasing", "airplane "];
    let clock = concept.label.contains("o\u{2019}clock") || concept.label.ends_with("-thirty");
    GROUPS.contains(&concept.group.as_str())
        && !clock
        && !SIDED.iter().any(|word| concept.label.contains(word))
        && concept.mirror_safe()
        && concept.label.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\u{2019}'))
}

impl Cast {
    /// The concepts of a set that [`plays`] and `wanted` take, each with the drawings of `vendors`; those that none of them
    /// drew are left out.
    ///
    /// # Errors
    /// Sheets that cannot be read, and fewer than [`MIN_THINGS`] things.
    pub fn of_emoji(
        set: &EmojiVendors,
        vendors: &[VendorId],
        wanted: impl Fn(&Concept) -> bool,
    ) -> Result<Self, DataError> {
        let taken: Vec<_> =
            set.ids().zip(set.concepts()).filter(|(_, concept)| plays(concept) && wanted(concept)).collect();
        // Sheets are decoded at their first use: one thread each.
        if let Some((id, _)) = taken.first() {
            vendors.par_iter().try_for_each(|&vendor| set.picture(vendor, *id).map(|_| ()))?;
        }
        let thing = |(id, concept): &(_, &Concept)| -> Result<Option<Thing>, DataError> {
            let mut drawings = Vec::new();
            for &vendor in vendors {
                drawings.extend(set.picture(vendor, *id)?.and_then(|picture| Drawing::new(&picture)));
            }
            let (key, label, names_a_color) = (concept.key.clone(), concept.label.clone(), concept.color_bound());
            Ok((!drawings.is_empty()).then_some(Thing { key, label, names_a_color, drawings }))
        };
        let things: Result<Vec<_>, _> = taken.par_iter().map(thing).collect();
        Self::of(set.dir(), things?.into_iter().flatten().collect())
    }

    /// The drawings of a folder: PNG or WebP files, and `labels.jsonl` with an object `{"file", "label"}` a line. Several files of
    /// one label are drawings of one thing.
    ///
    /// # Errors
    /// The line that is wrong, files that cannot be read or show nothing, and fewer than [`MIN_THINGS`] labels.
    pub fn of_folder(dir: &Path) -> Result<Self, DataError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Line {
            file: String,
            label: String,
        }
        let list = dir.join(LABELS);
        let bytes = read_limited(&list, MAX_BYTES)?;
        let text = String::from_utf8(bytes).map_err(|_| DataError::content(&list, "not UTF-8 text".to_owned()))?;
        let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let fault = |what: String| DataError::content(&list, format!("line {number}: {what}"));
            let expected = r#"expected {"file": "dog.png", "label": "dog"}"#;
            let Line { file, label } = serde_json::from_str(line).map_err(|_| fault(expected.to_owned()))?;
            let label = label.trim().to_owned();
            if label.is_empty() || label.chars().count() > MAX_LABEL || label.chars().any(char::is_control) {
                return Err(fault(format!("a label has 1 to {MAX_LABEL} characters, none of them control characters")));
            }
            if !fs::metadata(dir.join(&file)).is_ok_and(|found| found.is_file()) {
                return Err(fault(format!("no file {file} in {}", dir.display())));
            }
            files.entry(label).or_default().push(file);
        }
        let drawing = |file: &String| -> Result<Drawing, DataError> {
            let path = dir.join(file);
            let picture = decode_file(&path, &Limits::default())?;
            Drawing::new(&picture)
                .ok_or_else(|| DataError::content(&path, "nothing is seen on it: it is all transparent".to_owned()))
        };
        let things: Result<Vec<Thing>, DataError> = files
            .into_par_iter()
            .map(|(label, files)| {
                let drawings: Result<_, _> = files.iter().map(drawing).collect();
                let named = |color: &Color| label.split(|c: char| !c.is_alphabetic()).any(|w| w == color.name());
                let names_a_color = Color::ALL.iter().any(named);
                Ok(Thing { key: label.clone(), label, names_a_color, drawings: drawings? })
            })
            .collect();
        Self::of(&list, things?)
    }

    fn of(origin: &Path, things: Vec<Thing>) -> Result<Self, DataError> {
        if things.len() < MIN_THINGS {
            let what = format!("{} different things with drawings, a clip needs at least {MIN_THINGS}", things.len());
            return Err(DataError::content(origin, what));
        }
        Ok(Self { things })
    }

    /// The things, in order.
    pub fn things(&self) -> &[Thing] {
        &self.things
    }
}

impl Drawing {
    /// A hash of its pixels: equal drawings have equal ones.
    pub fn digest(&self) -> [u8; 32] {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        for level in self.levels.iter().take(1) {
            hash.update((level.width as u64).to_le_bytes());
            level.data.iter().for_each(|pixel| hash.update(pixel));
        }
        hash.finalize().into()
    }

    /// Cuts a picture to what is seen of it; `None` where nothing is.
    fn new(picture: &Rgba8Image) -> Option<Self> {
        let (width, height) = (picture.width as usize, picture.height as usize);
        let seen = |x: usize, y: usize| picture.data[(y * width + x) * 4 + 3] > 24;
        let rows = (0..height).filter(|&y| (0..width).any(|x| seen(x, y)));
        let columns = (0..width).filter(|&x| (0..height).any(|y| seen(x, y)));
        let span = |mut lines: Box<dyn Iterator<Item = usize> + '_>| -> Option<(u32, u32)> {
            let first = lines.next()?;
            let last = lines.last().unwrap_or(first);
            Some((first as u32, (last - first + 1) as u32))
        };
        let ((y, rows), (x, columns)) = (span(Box::new(rows))?, span(Box::new(columns))?);
        let mut cut = picture.crop(x, y, columns, rows).ok()?;
        let color = Color::most_of(&cut);
        let longest = rows.max(columns);
        if longest > SIDE {
            let to = |side: u32| (side * SIDE / longest).max(1);
            cut = cut.resize(to(columns), to(rows), crate::Filter::Bilinear).ok()?;
        }
        let premultiplied = |p: &[u8]| {
            let over = |v: u8| ((u32::from(v) * u32::from(p[3]) + 127) / 255) as u8;
            [over(p[0]), over(p[1]), over(p[2]), p[3]]
        };
        let data = cut.data.chunks_exact(4).map(premultiplied).collect();
        let mut levels = vec![Level { width: cut.width as usize, height: cut.height as usize, data }];
        while let Some(half) = levels.last().and_then(Level::halved) {
            levels.push(half);
        }
        Some(Self { levels, color })
    }
}

impl Level {
    /// The mean of each two by two pixels, beyond the border transparent ones; `None` below twelve pixels.
    fn halved(&self) -> Option<Self> {
        if self.width.max(self.height) < 12 {
            return None;
        }
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let at = |x: usize, y: usize| -> [u16; 4] {
            match x < self.width && y < self.height {
                true => self.data[y * self.width + x].map(u16::from),
                false => [0; 4],
            }
        };
        let mean = |i: usize| -> [u8; 4] {
            let (x, y) = (i % width * 2, i / width * 2);
            let four = [at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)];
            std::array::from_fn(|k| ((four.iter().map(|p| p[k]).sum::<u16>() + 2) / 4) as u8)
        };
        Some(Self { width, height, data: (0..width * height).map(mean).collect() })
    }
}
