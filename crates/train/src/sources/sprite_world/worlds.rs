//! The worlds of the protocol: whose drawings, of which concepts.

use std::path::Path;

use vljepa_data::emoji::{Concept, EmojiVendors, Role, Split, VendorId};
use vljepa_data::sprite_world::{Cast, SpriteOptions, SpriteWorld};

use crate::error::Result;

/// Which drawings play.
#[derive(Clone, Copy, Debug)]
pub enum Players<'a> {
    /// Those of some vendors of a set, of the concepts of a split.
    Emoji {
        /// The set.
        set: &'a EmojiVendors,
        /// The vendors.
        vendors: &'a [VendorId],
        /// The split.
        split: Split,
    },
    /// Those of a folder ([`Cast::of_folder`]).
    Folder(&'a Path),
}

/// A world of some drawings. Those of a folder are not mirrored: what they show may have sides.
///
/// # Errors
/// Drawings that cannot be read, too few of them, and options that break a rule.
pub fn world(players: Players<'_>, options: SpriteOptions) -> Result<SpriteWorld> {
    let (cast, mirror) = match players {
        Players::Emoji { set, vendors, split } => {
            (Cast::of_emoji(set, vendors, |concept: &Concept| concept.split == split)?, true)
        }
        Players::Folder(dir) => (Cast::of_folder(dir)?, false),
    };
    Ok(SpriteWorld::new(cast, mirror, options)?)
}

/// The vendors of a role, in the set's order.
pub fn of_role(set: &EmojiVendors, role: Role) -> Vec<VendorId> {
    set.vendors().iter().filter(|vendor| vendor.role == role).filter_map(|vendor| set.vendor(&vendor.id)).collect()
}
