//! Reading the set from its folder.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::manifest::{Concept, FILE, Manifest, Split, VERSION, Vendor};
use crate::{DataError, Limits, Rgba8Image, decode_file, read_limited};

/// Index of a concept in [`EmojiVendors::concepts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConceptId(pub u32);

/// Index of a vendor in [`EmojiVendors::vendors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VendorId(pub u32);

/// The candidates of the small evaluation cells: concepts that are no flags and that Noto, Twemoji, OpenMoji and both
/// Fluent styles all draw, in the order of the hash of their key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pools {
    /// The first 450 of the train split.
    pub seen: Vec<ConceptId>,
    /// The first 150 of the unseen split.
    pub unseen: Vec<ConceptId>,
}

/// The set: concepts and texts in memory, each vendor's sheet decoded at its first use.
#[derive(Debug)]
pub struct EmojiVendors {
    dir: PathBuf,
    manifest: Manifest,
    pools: Pools,
    /// For each vendor, the tile of each concept.
    tiles: Vec<Vec<Option<u32>>>,
    sheets: Vec<OnceLock<Rgba8Image>>,
}

/// Largest `concepts.json`; the full form has less than a megabyte.
const MAX_BYTES: u64 = 64 << 20;

/// Names a folder that holds the set, in place of the committed one.
pub const DIR_VARIABLE: &str = "VLJEPA_EMOJI_VENDORS";

impl EmojiVendors {
    /// The folder that `VLJEPA_EMOJI_VENDORS` names, else the one in the repository that this crate was built from.
    pub fn default_dir() -> PathBuf {
        match std::env::var_os(DIR_VARIABLE) {
            Some(dir) if !dir.is_empty() => dir.into(),
            _ => Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join("emoji-vendors"),
        }
    }

    /// Reads `concepts.json` in `dir` and checks that it is consistent. Sheets are read by [`Self::picture`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, DataError> {
        let dir = dir.as_ref().to_path_buf();
        let path = dir.join(FILE);
        let text = read_limited(&path, MAX_BYTES)?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| {
            DataError::content(&path, format!("not the list of an emoji-vendors set: {}", in_words(&e.to_string())))
        })?;
        check(&path, &manifest)?;
        let mut tiles = Vec::with_capacity(manifest.vendors.len());
        for vendor in &manifest.vendors {
            let mut of_vendor = vec![None; manifest.concepts.len()];
            for (tile, concept) in (0u32..).zip(&vendor.pictures) {
                of_vendor[*concept as usize] = Some(tile);
            }
            tiles.push(of_vendor);
        }
        let ids = |list: &[u32]| list.iter().copied().map(ConceptId).collect();
        let pools = Pools { seen: ids(&manifest.pools.seen), unseen: ids(&manifest.pools.unseen) };
        let sheets = manifest.vendors.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { dir, manifest, pools, tiles, sheets })
    }

    /// The folder it was read from.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All concepts, by key.
    pub fn concepts(&self) -> &[Concept] {
        &self.manifest.concepts
    }

    /// One concept.
    pub fn concept(&self, id: ConceptId) -> Option<&Concept> {
        self.manifest.concepts.get(id.0 as usize)
    }

    /// The ids of all concepts, in order.
    pub fn ids(&self) -> impl Iterator<Item = ConceptId> + use<> {
        (0..self.manifest.concepts.len() as u32).map(ConceptId)
    }

    /// The concept of a join key, such as `1f600`.
    pub fn by_key(&self, key: &str) -> Option<ConceptId> {
        let found = self.manifest.concepts.binary_search_by(|c| c.key.as_str().cmp(key)).ok()?;
        Some(ConceptId(found as u32))
    }

    /// The concepts of a split, in order.
    pub fn of_split(&self, split: Split) -> impl Iterator<Item = ConceptId> + '_ {
        self.ids().filter(move |id| self.concept(*id).is_some_and(|c| c.split == split))
    }

    /// All vendors of this copy of the set.
    pub fn vendors(&self) -> &[Vendor] {
        &self.manifest.vendors
    }

    /// A vendor by its short name, such as `fluent-3d`.
    pub fn vendor(&self, id: &str) -> Option<VendorId> {
        let index = self.manifest.vendors.iter().position(|vendor| vendor.id == id)?;
        Some(VendorId(index as u32))
    }

    /// The candidates of the small evaluation cells.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Whether a vendor draws a concept; no sheet is read.
    pub fn has_picture(&self, vendor: VendorId, concept: ConceptId) -> bool {
        self.tile(vendor, concept).is_some()
    }

    /// A vendor's drawing of a concept, or `None` where it has none. The first call for a vendor decodes its sheet.
    pub fn picture(&self, vendor: VendorId, concept: ConceptId) -> Result<Option<Rgba8Image>, DataError> {
        let Some(tile) = self.tile(vendor, concept) else {
            return Ok(None);
        };
        let sheet = self.sheet(vendor)?;
        let columns = self.manifest.vendors[vendor.0 as usize].columns;
        let (side, step) = (self.manifest.picture, self.manifest.tile);
        let border = (step - side) / 2;
        let (x, y) = (tile % columns * step + border, tile / columns * step + border);
        sheet.crop(x, y, side, side).map(Some)
    }

    fn tile(&self, vendor: VendorId, concept: ConceptId) -> Option<u32> {
        *self.tiles.get(vendor.0 as usize)?.get(concept.0 as usize)?
    }

    fn sheet(&self, vendor: VendorId) -> Result<&Rgba8Image, DataError> {
        let slot = &self.sheets[vendor.0 as usize];
        if let Some(sheet) = slot.get() {
            return Ok(sheet);
        }
        let vendor = &self.manifest.vendors[vendor.0 as usize];
        let path = self.dir.join(&vendor.file);
        let sheet = decode_file(&path, &Limits::default())?;
        let rows = (vendor.pictures.len() as u32).div_ceil(vendor.columns);
        let (width, height) = (vendor.columns * self.manifest.tile, rows * self.manifest.tile);
        if (sheet.width, sheet.height) != (width, height) {
            return Err(DataError::content(
                path,
                format!("{}x{} pixels, {FILE} says {width}x{height}: build the set again", sheet.width, sheet.height),
            ));
        }
        Ok(slot.get_or_init(|| sheet))
    }
}

/// A message of serde without the names of Rust's types.
fn in_words(message: &str) -> String {
    let Some((found, rest)) = message.split_once(", expected ") else { return message.to_owned() };
    let (wanted, place) = rest.rsplit_once(" at line ").unwrap_or((rest, "?"));
    let wanted = match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of at least 0",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        _ if wanted.starts_with("struct ") => "an object",
        _ if wanted.starts_with("enum ") || wanted.starts_with("variant ") => "the name of a choice",
        other => other,
    };
    format!("{found}, where {wanted} is expected at line {place}")
}

/// Every index must be valid, or a later lookup would silently be wrong.
fn check(path: &Path, manifest: &Manifest) -> Result<(), DataError> {
    let fail = |reason: String| Err(DataError::content(path, reason));
    let count = manifest.concepts.len();
    if manifest.version != VERSION {
        return fail(format!("layout version {}, this build reads {VERSION}", manifest.version));
    }
    if manifest.picture == 0 || manifest.tile < manifest.picture || manifest.tile > 4096 {
        return fail(format!("pictures of {} pixels in tiles of {}", manifest.picture, manifest.tile));
    }
    if count == 0 {
        return fail("no concepts".to_owned());
    }
    if let Some(pair) = manifest.concepts.windows(2).find(|pair| pair[0].key >= pair[1].key) {
        return fail(format!("concepts are not in the order of their keys: {} before {}", pair[0].key, pair[1].key));
    }
    let lists = manifest.vendors.iter().map(|v| (v.id.as_str(), &v.pictures));
    let pools = [("the seen pool", &manifest.pools.seen), ("the unseen pool", &manifest.pools.unseen)];
    for (name, list) in lists.chain(pools) {
        if let Some(index) = list.iter().find(|index| **index as usize >= count) {
            return fail(format!("{name} names concept {index} of {count}"));
        }
    }
    for vendor in &manifest.vendors {
        let plain = !vendor.file.is_empty() && !vendor.file.contains(['/', '\\']) && vendor.file != "..";
        if !plain || vendor.columns == 0 || vendor.columns > 1024 {
            return fail(format!("vendor {}: file \"{}\", {} columns", vendor.id, vendor.file, vendor.columns));
        }
    }
    Ok(())
}

impl Concept {
    /// All texts that may be trained on: the label, then names, then tags.
    pub fn train_texts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.label).chain(&self.names).chain(&self.tags).map(String::as_str)
    }

    /// Whether a mirrored drawing still means the same: false for symbols and flags, and for what its texts call left,
    /// right, an arrow or a pointing hand.
    pub fn mirror_safe(&self) -> bool {
        const SIDED: [&str; 10] =
            ["left", "right", "east", "west", "arrow", "pointing", "clockwise", "anticlockwise", "clock", "oclock"];
        let sided = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| SIDED.contains(&word));
        !matches!(self.group.as_str(), "Symbols" | "Flags")
            && !self.train_texts().any(|text| sided(&text.to_lowercase().replace('\u{2019}', "")))
    }

    /// Whether its name holds a colour, as "red heart" does: then its drawings must keep their colours.
    pub fn color_bound(&self) -> bool {
        const COLORS: [&str; 14] = [
            "red", "orange", "yellow", "green", "blue", "purple", "brown", "black", "white", "pink", "grey", "gray",
            "gold", "silver",
        ];
        let words = self.label.split(|c: char| !c.is_alphanumeric());
        words.map(str::to_lowercase).any(|word| COLORS.contains(&word.as_str()))
    }
}
