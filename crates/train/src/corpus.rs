//! What is trained on: concepts, who draws them, and which of them a step sees.

use std::collections::BTreeSet;

use vljepa_data::emoji::{ConceptId, EmojiVendors, Role, Split, VendorId};

use crate::config::{DataConfig, SideData, TextKind};
use crate::error::{Result, TrainError};
use crate::random::{Purpose, Stream};

/// The training part of the emoji-vendors set.
#[derive(Debug)]
pub struct Corpus {
    /// The set.
    pub set: EmojiVendors,
    /// Concepts of the train split, without the excluded groups: the classes, in this order.
    pub concepts: Vec<ConceptId>,
    main: Drawings,
    side: Option<Side>,
    seed: u64,
}

/// Who draws what, of some vendors.
#[derive(Debug)]
struct Drawings {
    /// Of each class: the vendors that draw it.
    vendors: Vec<Vec<VendorId>>,
    /// Classes with a drawing.
    drawn: Vec<u32>,
}

impl Drawings {
    fn new(set: &EmojiVendors, concepts: &[ConceptId], names: &[String]) -> Result<Self> {
        let ids: Vec<VendorId> = names.iter().map(|name| vendor(set, name, Role::Train)).collect::<Result<_>>()?;
        let vendors: Vec<Vec<VendorId>> =
            concepts.iter().map(|&c| ids.iter().copied().filter(|&v| set.has_picture(v, c)).collect()).collect();
        let drawn: Vec<u32> = (0u32..).zip(&vendors).filter(|(_, d)| !d.is_empty()).map(|(i, _)| i).collect();
        if drawn.is_empty() {
            let dir = set.dir().display();
            return Err(TrainError::Invalid(format!("{dir}: no training concept has a drawing of {names:?}")));
        }
        Ok(Self { vendors, drawn })
    }

    /// The `index`-th class that has a drawing, in a random vendor's.
    fn draw(&self, index: u32, dice: &mut Stream) -> Draw {
        let class = self.drawn[index as usize];
        let of_class = &self.vendors[class as usize];
        Draw { class, vendor: of_class[dice.below(of_class.len())] }
    }
}

/// Drawings that fill a share of every batch.
#[derive(Debug)]
struct Side {
    drawings: Drawings,
    share: f64,
}

/// One sample of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Index into [`Corpus::concepts`].
    pub class: u32,
    /// Whose drawing.
    pub vendor: VendorId,
}

/// A vendor by name, which must have a role.
///
/// # Errors
/// [`TrainError::Invalid`] for an unknown vendor or one of another role.
pub fn vendor(set: &EmojiVendors, name: &str, role: Role) -> Result<VendorId> {
    let known = || set.vendors().iter().map(|v| v.id.as_str()).collect::<Vec<_>>().join(", ");
    let Some(id) = set.vendor(name) else {
        let dir = set.dir().display();
        return Err(TrainError::Invalid(format!("{dir}: no vendor \"{name}\"; this copy of the set has {}", known())));
    };
    match set.vendors().iter().find(|v| v.id == name) {
        Some(v) if v.role != role => Err(TrainError::Invalid(format!(
            "vendor \"{name}\" has the role {:?}, it may not be used for {role:?}",
            v.role
        ))),
        _ => Ok(id),
    }
}

impl Corpus {
    /// Collects the training concepts and drawings.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] for vendors that are unknown or not for training, and when nothing is left.
    pub fn new(set: EmojiVendors, config: &DataConfig, seed: u64) -> Result<Self> {
        let groups: BTreeSet<&str> = set.concepts().iter().map(|c| c.group.as_str()).collect();
        if let Some(unknown) = config.exclude_groups.iter().find(|g| !groups.contains(g.as_str())) {
            let known = groups.into_iter().collect::<Vec<_>>().join(", ");
            return Err(TrainError::Invalid(format!(
                "`data.exclude_groups`: no group \"{unknown}\"; there are {known}"
            )));
        }
        let concepts: Vec<ConceptId> = included(&set, config, Split::Train).collect();
        let main = Drawings::new(&set, &concepts, &config.vendors)?;
        let side = match &config.side {
            Some(SideData { vendors, share }) => {
                Some(Side { drawings: Drawings::new(&set, &concepts, vendors)?, share: *share })
            }
            None => None,
        };
        Ok(Self { set, concepts, main, side, seed })
    }

    /// Number of concepts that can be drawn: the largest batch.
    pub fn drawable(&self) -> usize {
        self.main.drawn.len()
    }

    /// Of each class, whether the vendors of `data.vendors` draw it, those of `data.side` aside.
    pub fn is_main(&self, class: usize) -> bool {
        self.main.vendors.get(class).is_some_and(|v| !v.is_empty())
    }

    /// Whether the samples of a step of `batch` can be different concepts.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] when there are fewer concepts with a drawing.
    pub fn fits(&self, batch: usize) -> Result<()> {
        let main = self.main_part(batch);
        let fault = |of: &str, needed: usize, most: usize| {
            Err(TrainError::Invalid(format!(
                "`batch` is {batch}: it takes {needed} concepts with a drawing of `{of}`, there are {most}, and samples of a \
                 step are different concepts"
            )))
        };
        match &self.side {
            _ if main > self.main.drawn.len() => fault("data.vendors", main, self.main.drawn.len()),
            // Those that the main part has taken are left out.
            Some(side) if batch > side.drawings.drawn.len() => fault("data.side", batch, side.drawings.drawn.len()),
            _ => Ok(()),
        }
    }

    /// Samples of a batch that are from `data.vendors`.
    fn main_part(&self, batch: usize) -> usize {
        self.side.as_ref().map_or(batch, |side| batch - (side.share * batch as f64).round().min(batch as f64) as usize)
    }

    /// Steps until every concept has been seen once (the last ones of an order that do not fill a batch are left out).
    pub fn steps_per_epoch(&self, batch: usize) -> u64 {
        (self.main.drawn.len() / self.main_part(batch).max(1)).max(1) as u64
    }

    /// The samples of a step: different concepts, each in a random vendor's drawing. A function of seed and step alone.
    pub fn draws(&self, step: u64, batch: usize) -> Vec<Draw> {
        let of_main = self.main_part(batch);
        let (order, first) = self.order(&self.main, Purpose::Order, step, of_main);
        let mut dice = Stream::new(self.seed, Purpose::Vendor, step);
        let mut draws: Vec<Draw> =
            order.iter().skip(first).take(of_main).map(|&i| self.main.draw(i, &mut dice)).collect();
        let Some(side) = &self.side else { return draws };
        let taken: BTreeSet<u32> = draws.iter().map(|d| d.class).collect();
        let (order, first) = self.order(&side.drawings, Purpose::SideOrder, step, batch - of_main);
        let mut dice = Stream::new(self.seed, Purpose::SideVendor, step);
        let free = order.iter().cycle().skip(first).take(order.len());
        let free = free.filter(|&&i| !taken.contains(&side.drawings.drawn[i as usize])).take(batch - of_main);
        draws.extend(free.map(|&i| side.drawings.draw(i, &mut dice)));
        draws
    }

    /// The order of a step's epoch, and where in it the step's `count` samples start.
    fn order(&self, of: &Drawings, purpose: Purpose, step: u64, count: usize) -> (Vec<u32>, usize) {
        let per_epoch = (of.drawn.len() / count.max(1)).max(1) as u64;
        let order = Stream::new(self.seed, purpose, step / per_epoch).permutation(of.drawn.len());
        (order, (step % per_epoch) as usize * count)
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

/// Concepts of a split without the excluded groups.
pub(crate) fn included<'a>(
    set: &'a EmojiVendors,
    config: &'a DataConfig,
    split: Split,
) -> impl Iterator<Item = ConceptId> + 'a {
    set.of_split(split).filter(|&id| set.concept(id).is_some_and(|c| !config.exclude_groups.contains(&c.group)))
}
