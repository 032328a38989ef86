//! `concepts.json`: what the set holds, and in which order the sheets hold it.

use serde::{Deserialize, Serialize};

/// The layout version that this build reads and writes.
pub(crate) const VERSION: u32 = 1;
/// Name of the manifest in the set's folder.
pub(crate) const FILE: &str = "concepts.json";

/// Which part of the protocol a concept belongs to. Variants (gender, direction, family make-up) share their base's split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// 70 %: the only concepts whose pictures and texts may be trained on.
    Train,
    /// 10 %: for choosing settings.
    Val,
    /// 20 %: for the final measure.
    Unseen,
}

/// What a vendor's pictures may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Training.
    Train,
    /// Choosing settings and checkpoints.
    Val,
    /// The final measure only: never trained or tuned on.
    Test,
}

/// One design team's drawings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Vendor {
    /// Short name, such as `noto` or `fluent-3d`.
    pub id: String,
    /// The name its makers use.
    pub name: String,
    /// What the pictures may be used for.
    pub role: Role,
    /// SPDX expression for the pictures.
    pub license: String,
    /// Who to attribute.
    pub author: String,
    /// The packages that the pictures came from.
    pub packages: Vec<String>,
    /// The sheet, a file beside the manifest.
    pub file: String,
    /// Tiles in a row of the sheet.
    pub columns: u32,
    /// Indices into the concepts, in the order of the tiles.
    pub pictures: Vec<u32>,
}

/// One thing that vendors draw, and its texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Concept {
    /// The join key: lower-case hex code points with `-` between, `fe0f` dropped.
    pub key: String,
    /// The key of the concept that it is a variant of, or its own.
    pub base: String,
    /// The characters themselves.
    pub emoji: String,
    /// Emojibase's label: the concept's name in candidate lists.
    pub label: String,
    /// Further names to train on (Unicode's, where it differs).
    pub names: Vec<String>,
    /// Emojibase's tags, to train on.
    pub tags: Vec<String>,
    /// Wordings of emojilib and emoji-mart that are no training text of any concept; the most specific first.
    pub heldout: Vec<String>,
    /// Unicode's group, such as `Symbols` or `Flags`.
    pub group: String,
    /// Which part of the protocol it belongs to.
    pub split: Split,
}

/// The candidates of the small evaluation cells, indices into the concepts, in hash order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolIndices {
    pub seen: Vec<u32>,
    pub unseen: Vec<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub version: u32,
    /// Side of a picture in pixels.
    pub picture: u32,
    /// Side of a tile: a picture with an even transparent border.
    pub tile: u32,
    pub vendors: Vec<Vendor>,
    pub pools: PoolIndices,
    pub concepts: Vec<Concept>,
}
