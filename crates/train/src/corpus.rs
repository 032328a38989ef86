//! What is trained on: concepts, who draws them, and which of them a step sees.

use std::collections::BTreeSet;

use vljepa_data::emoji::{ConceptId, EmojiVendors, Role, Split, VendorId};

use crate::config::{DataConfig, TextKind};
use crate::error::{Result, TrainError};
use crate::random::{Purpose, Stream};

/// The training part of the emoji-vendors set.
#[derive(Debug)]
pub struct Corpus {
    /// The set.
    pub set: EmojiVendors,
    /// Concepts of the train split, without the excluded groups: the classes, in this order.
    pub concepts: Vec<ConceptId>,
    /// Of each class: the training vendors that draw it.
    drawings: Vec<Vec<VendorId>>,
    /// Classes with a drawing.
    drawn: Vec<u32>,
    seed: u64,
}

/// One sample of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Index into [`Corpus::concepts`].
    pub class: u32,
    /// Whose drawing.
    pub vendor: VendorId,
}

/// A vendor by name, which must have a role. `key` is the setting that names it.
///
/// # Errors
/// [`TrainError::Setting`] for an unknown vendor or one of another role.
pub fn vendor(set: &EmojiVendors, key: &str, name: &str, role: Role) -> Result<VendorId> {
    let what = match (set.vendor(name), set.vendors().iter().find(|v| v.id == name)) {
        (Some(id), Some(v)) if v.role == role => return Ok(id),
        (_, Some(v)) => format!("vendor \"{name}\" has the role {:?}, it may not be used for {role:?}", v.role),
        (_, None) => format!("no vendor \"{name}\" in {}", set.dir().display()),
    };
    let fit: Vec<&str> = set.vendors().iter().filter(|v| v.role == role).map(|v| v.id.as_str()).collect();
    // Without the place in a list.
    let shown = key.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit());
    Err(TrainError::setting(key, format!("`{shown}`: {what}; choose among {}", fit.join(", "))))
}

impl Corpus {
    /// Collects the training concepts and drawings.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for vendors that are unknown or not for training, unknown groups, and when nothing is left.
    pub fn new(set: EmojiVendors, config: &DataConfig, seed: u64) -> Result<Self> {
        let vendors: Vec<VendorId> = training_vendors(&set, config)?;
        let groups: BTreeSet<&str> = set.concepts().iter().map(|c| c.group.as_str()).collect();
        let unknown = |(_, group): &(usize, &String)| !groups.contains(group.as_str());
        if let Some((i, group)) = config.exclude_groups.iter().enumerate().find(unknown) {
            let known = groups.iter().map(|g| format!("\"{g}\"")).collect::<Vec<_>>().join(", ");
            return Err(TrainError::setting(
                format!("data.exclude_groups.{i}"),
                format!("`data.exclude_groups`: no group \"{group}\"; choose among {known}"),
            ));
        }
        let concepts: Vec<ConceptId> = included(&set, config, Split::Train).collect();
        let drawings: Vec<Vec<VendorId>> =
            concepts.iter().map(|&c| vendors.iter().copied().filter(|&v| set.has_picture(v, c)).collect()).collect();
        let drawn: Vec<u32> = (0u32..).zip(&drawings).filter(|(_, d)| !d.is_empty()).map(|(i, _)| i).collect();
        if drawn.is_empty() {
            let what = format!(
                "{}: no training concept is left that {} drew; exclude fewer groups or name other vendors",
                set.dir().display(),
                config.vendors.join(", ")
            );
            return Err(TrainError::setting("data.exclude_groups", what));
        }
        Ok(Self { set, concepts, drawings, drawn, seed })
    }

    /// Every drawing that is trained on, class by class.
    pub fn all_drawings(&self) -> impl Iterator<Item = Draw> + '_ {
        let of = |(class, vendors): (u32, &Vec<VendorId>)| {
            vendors.iter().map(move |&vendor| Draw { class, vendor }).collect::<Vec<_>>()
        };
        (0u32..).zip(&self.drawings).flat_map(of)
    }

    /// Number of concepts that can be drawn: the largest batch.
    pub fn drawable(&self) -> usize {
        self.drawn.len()
    }

    /// Steps until every concept has been seen once (the last ones of an order that do not fill a batch are left out).
    pub fn steps_per_epoch(&self, batch: usize) -> u64 {
        (self.drawn.len() / batch.max(1)).max(1) as u64
    }

    /// The samples of a step: different concepts, each in a random vendor's drawing. A function of seed and step alone.
    pub fn draws(&self, step: u64, batch: usize) -> Vec<Draw> {
        let per_epoch = self.steps_per_epoch(batch);
        let order = Stream::new(self.seed, Purpose::Order, step / per_epoch).permutation(self.drawn.len());
        let first = (step % per_epoch) as usize * batch;
        let mut dice = Stream::new(self.seed, Purpose::Vendor, step);
        let classes = order.iter().skip(first).take(batch).map(|&i| self.drawn[i as usize]);
        classes
            .map(|class| {
                let of_class = &self.drawings[class as usize];
                Draw { class, vendor: of_class[dice.below(of_class.len())] }
            })
            .collect()
    }

    /// Which of `kinds` texts stands for each class at a step.
    pub fn text_choice(&self, step: u64, kinds: usize) -> Vec<u32> {
        if kinds == 1 {
            return vec![0; self.concepts.len()];
        }
        let mut dice = Stream::new(self.seed, Purpose::Text, step);
        (0..self.concepts.len()).map(|_| dice.below(kinds) as u32).collect()
    }

    /// The text of a class.
    pub fn text(&self, class: usize, kind: TextKind) -> String {
        let Some(concept) = self.concepts.get(class).and_then(|&id| self.set.concept(id)) else {
            return String::new();
        };
        let tags = || concept.tags.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
        match kind {
            TextKind::Label => concept.label.clone(),
            TextKind::Name => concept.names.first().unwrap_or(&concept.label).clone(),
            TextKind::Tags if !concept.tags.is_empty() => tags(),
            TextKind::LabelAndTags if !concept.tags.is_empty() => format!("{}, {}", concept.label, tags()),
            TextKind::Tags | TextKind::LabelAndTags => concept.label.clone(),
        }
    }

    /// The texts of all classes.
    pub fn texts(&self, kind: TextKind) -> Vec<String> {
        (0..self.concepts.len()).map(|class| self.text(class, kind)).collect()
    }
}

/// The vendors that are trained on.
pub(crate) fn training_vendors(set: &EmojiVendors, config: &DataConfig) -> Result<Vec<VendorId>> {
    let find = |(i, name): (usize, &String)| vendor(set, &format!("data.vendors.{i}"), name, Role::Train);
    config.vendors.iter().enumerate().map(find).collect()
}

/// Concepts of a split without the excluded groups.
pub(crate) fn included<'a>(
    set: &'a EmojiVendors,
    config: &'a DataConfig,
    split: Split,
) -> impl Iterator<Item = ConceptId> + 'a {
    set.of_split(split).filter(|&id| set.concept(id).is_some_and(|c| !config.exclude_groups.contains(&c.group)))
}
