//! What is trained and validated on: concepts, who draws them, and which of them a step sees.

use std::collections::BTreeSet;

use vljepa_data::emoji::{ConceptId, EmojiVendors, Role, Split, Vendor, VendorId};
use vljepa_data::{Augmenter, Preprocess, Rgba8Image, SampleKey};
use vljepa_embed::Embedder;

use super::settings::Settings;
use super::suite::Suite;
use crate::checkpoint::hash;
use crate::config::TextKind;
use crate::data::{Bank, CardText, Identity, Limit, Pair, Sample, Source, Stills, Visual};
use crate::error::{Result, TrainError};
use crate::metrics::{Cell, NamedCell, Validation};
use crate::random::{Purpose, Stream, seen_at, steps_per_epoch};

/// The training and validation parts of the set.
#[derive(Debug)]
pub struct Corpus {
    /// The set.
    pub set: EmojiVendors,
    /// Concepts of the train split, without the excluded groups: the classes, in this order.
    pub concepts: Vec<ConceptId>,
    settings: Settings,
    /// Whose drawings are trained on.
    vendors: Vec<VendorId>,
    /// Whose drawings are validated on.
    validate_on: VendorId,
    /// Concepts of the validation split, without the excluded groups.
    validation: Vec<ConceptId>,
    /// Of each class: the training vendors that draw it.
    drawings: Vec<Vec<VendorId>>,
    /// Classes with a drawing.
    drawn: Vec<u32>,
}

/// A drawing: one sample of a step.
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
pub(crate) fn vendor(set: &EmojiVendors, key: &str, name: &str, role: Role) -> Result<VendorId> {
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
    /// Collects concepts and drawings.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for vendors that are unknown or of another role, unknown groups, and when nothing is left.
    pub fn new(set: EmojiVendors, settings: Settings) -> Result<Self> {
        let find = |(i, name): (usize, &String)| vendor(&set, &format!("data.vendors.{i}"), name, Role::Train);
        let vendors: Vec<VendorId> = settings.vendors.iter().enumerate().map(find).collect::<Result<_>>()?;
        let groups: BTreeSet<&str> = set.concepts().iter().map(|c| c.group.as_str()).collect();
        let unknown = |(_, group): &(usize, &String)| !groups.contains(group.as_str());
        if let Some((i, group)) = settings.exclude_groups.iter().enumerate().find(unknown) {
            let known = groups.iter().map(|g| format!("\"{g}\"")).collect::<Vec<_>>().join(", ");
            return Err(TrainError::setting(
                format!("data.exclude_groups.{i}"),
                format!("`data.exclude_groups`: no group \"{group}\"; choose among {known}"),
            ));
        }
        let concepts = included(&set, &settings, Split::Train);
        let drawings: Vec<Vec<VendorId>> =
            concepts.iter().map(|&c| vendors.iter().copied().filter(|&v| set.has_picture(v, c)).collect()).collect();
        let drawn: Vec<u32> = (0u32..).zip(&drawings).filter(|(_, d)| !d.is_empty()).map(|(i, _)| i).collect();
        if drawn.is_empty() {
            let what = format!(
                "{}: no training concept is left that {} drew; exclude fewer groups or name other vendors",
                set.dir().display(),
                settings.vendors.join(", ")
            );
            return Err(TrainError::setting("data.exclude_groups", what));
        }
        let validate_on = vendor(&set, "evaluate.vendor", &settings.validate_on, Role::Val)?;
        let validation = included(&set, &settings, Split::Val);
        Ok(Self { set, concepts, settings, vendors, validate_on, validation, drawings, drawn })
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

    /// The drawings of a step: different concepts, each by a random vendor. A function of seed and step alone.
    pub fn draws(&self, seed: u64, step: u64, batch: usize) -> Vec<Draw> {
        let mut dice = Stream::new(seed, Purpose::Picture, step);
        let classes = seen_at(seed, step, batch, self.drawn.len()).into_iter().map(|i| self.drawn[i as usize]);
        classes
            .map(|class| {
                let of_class = &self.drawings[class as usize];
                Draw { class, vendor: of_class[dice.below(of_class.len())] }
            })
            .collect()
    }

    /// What is drawn and by whom, for messages.
    fn origin(&self, draw: &Draw) -> String {
        let concept = self.set.concept(self.concepts[draw.class as usize]);
        let label = concept.map_or("a concept that the set lacks", |concept| &concept.label);
        format!("{label} by {}", self.set.vendors()[draw.vendor.0 as usize].id)
    }

    /// The vendors that are trained on, as the set describes them.
    fn trained_on(&self) -> impl Iterator<Item = &Vendor> {
        self.set.vendors().iter().filter(|vendor| self.settings.vendors.contains(&vendor.id))
    }
}

impl Bank for Corpus {
    fn classes(&self) -> usize {
        self.concepts.len()
    }

    fn text(&self, class: usize, kind: TextKind) -> String {
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
}

impl Source for Corpus {
    fn samples(&self, seed: u64, step: u64, batch: usize, to: &Preprocess) -> Result<Vec<Sample>> {
        let draws = self.draws(seed, step, batch);
        let mut pictures = Vec::with_capacity(draws.len());
        for draw in &draws {
            let id = self.concepts[draw.class as usize];
            let found = (self.set.picture(draw.vendor, id)?, self.set.concept(id));
            let (Some(picture), Some(concept)) = found else {
                return Err(TrainError::Invalid(format!(
                    "{}: no drawing in {}",
                    self.origin(draw),
                    self.set.dir().display()
                )));
            };
            pictures.push((picture, concept));
        }
        let other = |i: usize| -> Option<&Rgba8Image> { pictures.get((i + 1) % pictures.len()).map(|(p, _)| p) };
        let to_augment: Vec<vljepa_data::Sample<'_>> = pictures
            .iter()
            .enumerate()
            .map(|(i, (picture, concept))| vljepa_data::Sample {
                picture,
                other: other(i),
                mirror_allowed: concept.mirror_safe(),
                color_bound: self.settings.keep_named_colors && concept.color_bound(),
                key: SampleKey { seed, epoch: step, index: i as u64, stream: 0 },
            })
            .collect();
        let pixels = Augmenter::new(to.size, self.settings.augment.clone())?.batch(&to_augment, to)?;
        let sample = |((draw, (_, concept)), pixels): ((&Draw, &(_, &vljepa_data::emoji::Concept)), &[f32])| {
            let pair = Pair { targets: vec![concept.label.clone()], class: Some(draw.class), ..Pair::default() };
            Sample::new(Visual::still(pixels.to_vec()), pair, self.origin(draw))
        };
        Ok(draws.iter().zip(&pictures).zip(pixels.chunks_exact(to.values().max(1))).map(sample).collect())
    }

    fn limit(&self) -> Option<Limit> {
        let most = self.drawable();
        let why = format!(
            "there are {most} concepts with a drawing: samples of a step are different concepts, so take at most {most}"
        );
        Some(Limit { most, why })
    }

    fn steps_per_epoch(&self, batch: usize) -> Option<u64> {
        Some(steps_per_epoch(batch, self.drawn.len()))
    }

    fn bank(&self) -> Option<&dyn Bank> {
        Some(self)
    }

    fn noun(&self) -> &str {
        "concepts"
    }

    fn stills(&self) -> Stills<'_> {
        Box::new(self.all_drawings().filter_map(|draw| {
            let picture = self.set.picture(draw.vendor, self.concepts[draw.class as usize]);
            picture.map(|picture| Some((picture?, draw.class))).map_err(TrainError::from).transpose()
        }))
    }

    /// The validation vendor's drawings of the seen pool, the training vendors' of validation concepts, and the validation
    /// vendor's of these; never the test vendor's.
    fn validate(&self, embedder: &Embedder<'_>, preprocess: &Preprocess) -> Result<Validation> {
        let suite = Suite::new(embedder, &self.set, false)?;
        let has = |&c: &ConceptId| self.set.has_picture(self.validate_on, c);
        let seen: Vec<ConceptId> = self.set.pools().seen.iter().copied().filter(has).collect();
        let of = |vendor: VendorId, concepts: &[ConceptId]| suite.gallery(embedder, preprocess, vendor, concepts);
        let new = &self.validation;
        let training = self.vendors.iter().map(|&vendor| of(vendor, new)).collect::<Result<Vec<_>>>()?;
        let named = |key: &str, title: &str, cell: Cell| NamedCell { key: key.into(), title: title.into(), cell };
        Ok(Validation(vec![
            named(
                "seen_concept_new_vendor",
                "seen concepts, new design",
                suite.cell(&[of(self.validate_on, &seen)?], &seen, &|_| true),
            ),
            named("new_concept_seen_vendor", "new concepts, seen designs", suite.cell(&training, new, &|_| true)),
            named(
                "new_concept_new_vendor",
                "new concepts, new design",
                suite.cell(&[of(self.validate_on, new)?], new, &|_| true),
            ),
        ]))
    }

    /// Where the set lies does not matter; what it is does, and that the keys of the classes say.
    fn identity(&self) -> Result<Identity> {
        let settings = serde_json::to_value(&self.settings);
        let settings = settings.map_err(|e| TrainError::Invalid(format!("the settings cannot be written: {e}")))?;
        let serde_json::Value::Object(settings) = settings else {
            return Err(TrainError::Invalid("the settings are no table".into()));
        };
        let keys: Vec<&str> =
            self.concepts.iter().filter_map(|&c| self.set.concept(c)).map(|c| c.key.as_str()).collect();
        Ok(Identity { settings, parts: [("classes".to_owned(), hash(keys.join(" ").as_bytes()))].into() })
    }

    fn card(&self) -> CardText {
        let vendors: Vec<String> = self.trained_on().map(|v| format!("{} ({})", v.name, v.license)).collect();
        CardText {
            data: format!(
                "emoji-vendors: {} drawings of {} concepts by {}",
                self.all_drawings().count(),
                self.drawable(),
                vendors.join(", ")
            ),
            figures: format!(
                "The new design is `{}`. The suite `emoji-vendors` measures what was held out.",
                self.settings.validate_on
            ),
        }
    }
}

/// Concepts of a split without the excluded groups.
fn included(set: &EmojiVendors, settings: &Settings, split: Split) -> Vec<ConceptId> {
    let is_included = |id: &ConceptId| set.concept(*id).is_some_and(|c| !settings.exclude_groups.contains(&c.group));
    set.of_split(split).filter(is_included).collect()
}
