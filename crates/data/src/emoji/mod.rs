//! The `emoji-vendors` set: the same concepts drawn by different design teams, with a split over concepts, vendors and
//! wording.
//!
//! Train on [`Split::Train`] concepts by [`Role::Train`] vendors with [`Concept::train_texts`]; choose settings on
//! [`Split::Val`] and [`Role::Val`]; measure on [`Role::Test`] vendors, [`Split::Unseen`] concepts and
//! [`Concept::heldout`] wordings, once.

#[cfg(feature = "build")]
pub mod build;
mod manifest;
mod set;

pub use manifest::{Concept, Role, Split, Vendor};
pub use set::{ConceptId, DIR_VARIABLE, EmojiVendors, Pools, VendorId};
