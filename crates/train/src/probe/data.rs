//! What a probe is trained and measured on: clips of known classes, and where their features are.

use std::fmt::Debug;
use std::sync::Arc;

use vljepa_embed::features::{FeatureCache, FeatureKey, Features};
use vljepa_model::LinearProbe;
use vljepa_model::config::Vjepa2Config;

use crate::checkpoint::hash;
use crate::error::{Result, TrainError};

/// A clip of a known class.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Its class, a place among the labels.
    pub class: u32,
    /// Weight of its loss; 1 is usual.
    pub weight: f32,
    /// Where it comes from, for messages.
    pub origin: String,
}

/// Gives the features of clips.
pub trait FeatureSource: Debug + Send + Sync {
    /// Number of clips.
    fn count(&self) -> usize;

    /// The features of clip `i`.
    ///
    /// # Errors
    /// Features that cannot be read.
    fn features(&self, i: usize) -> Result<Features>;

    /// One view of clip `i`, which `pick` chooses by their number; none where the clip has none.
    ///
    /// # Errors
    /// As [`FeatureSource::features`].
    fn view(&self, i: usize, pick: &mut dyn FnMut(usize) -> usize) -> Result<Features> {
        let all = self.features(i)?;
        let values = if all.views == 0 { Vec::new() } else { all.view(pick(all.views)).to_vec() };
        Ok(Features { views: all.views.min(1), values, ..all })
    }

    /// What all features of this source depend on, so that a run goes on only with the same ones.
    fn identity(&self) -> String;
}

/// Features in a cache, which [`vljepa_embed::features::fill()`] has filled.
#[derive(Clone, Debug)]
pub struct OnDisk {
    /// The cache.
    pub cache: FeatureCache,
    /// The key of each clip.
    pub keys: Vec<FeatureKey>,
}

impl FeatureSource for OnDisk {
    fn count(&self) -> usize {
        self.keys.len()
    }

    fn features(&self, i: usize) -> Result<Features> {
        match self.keys.get(i) {
            Some(key) => Ok(self.cache.read(key)?),
            None => Err(no_clip(i, self.count())),
        }
    }

    fn view(&self, i: usize, pick: &mut dyn FnMut(usize) -> usize) -> Result<Features> {
        match self.keys.get(i) {
            Some(key) => Ok(self.cache.read_view(key, pick)?),
            None => Err(no_clip(i, self.count())),
        }
    }

    fn identity(&self) -> String {
        hash(self.keys.iter().flat_map(|key| [key.as_str(), "\n"]).collect::<String>().as_bytes())
    }
}

/// Features in memory.
#[derive(Clone, Debug)]
pub struct InMemory {
    features: Vec<Features>,
    identity: String,
}

impl InMemory {
    /// Takes the features of all clips.
    pub fn new(features: Vec<Features>) -> Self {
        let mut bytes = Vec::new();
        for f in &features {
            bytes.extend([f.views, f.tokens, f.width].iter().flat_map(|n| (*n as u64).to_le_bytes()));
            bytes.extend(f.values.iter().flat_map(|v| v.to_le_bytes()));
        }
        Self { features, identity: hash(&bytes) }
    }

    /// What a linear probe takes of the features of `source`: one token for each view ([`LinearProbe::pool`]). They are read
    /// once; `each` is called with the number of clips that are done.
    ///
    /// # Errors
    /// Features that cannot be read.
    pub fn pooled(source: &dyn FeatureSource, config: &Vjepa2Config, each: &mut dyn FnMut(usize)) -> Result<Self> {
        let pool = |i: usize| -> Result<Features> {
            let all = source.features(i)?;
            let values = (0..all.views).flat_map(|view| LinearProbe::pool(config, all.view(view))).collect();
            Ok(Features { views: all.views, tokens: 1, width: all.width, values })
        };
        let mut features = Vec::with_capacity(source.count());
        for i in 0..source.count() {
            features.push(pool(i)?);
            each(i + 1);
        }
        Ok(Self { features, identity: source.identity() })
    }
}

impl FeatureSource for InMemory {
    fn count(&self) -> usize {
        self.features.len()
    }

    fn features(&self, i: usize) -> Result<Features> {
        self.features.get(i).cloned().ok_or_else(|| no_clip(i, self.count()))
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }
}

fn no_clip(i: usize, count: usize) -> TrainError {
    TrainError::Invalid(format!("there is no clip {i} among {count}"))
}

/// A part of the data: clips, and their features in the same order.
#[derive(Clone, Debug)]
pub struct ProbePart {
    /// The clips.
    pub examples: Vec<Example>,
    /// Their features.
    pub features: Arc<dyn FeatureSource>,
}

impl ProbePart {
    /// No clips.
    pub fn none() -> Self {
        Self { examples: Vec::new(), features: Arc::new(InMemory::new(Vec::new())) }
    }

    /// Number of clips.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// What a checkpoint must agree on.
    pub(super) fn identity(&self) -> String {
        let mut text = self.features.identity();
        for Example { class, weight, .. } in &self.examples {
            text += &format!(" {class}:{:08x}", weight.to_bits());
        }
        hash(text.as_bytes())
    }
}

/// What a probe is trained and measured on.
#[derive(Clone, Debug)]
pub struct ProbeData {
    /// Names of the classes.
    pub labels: Vec<String>,
    /// Clips to train on.
    pub train: ProbePart,
    /// Clips by which the best head is chosen; may be none where there is one head.
    pub validation: ProbePart,
    /// Clips on which the head that was chosen is measured at the end; may be none.
    pub test: ProbePart,
}

impl ProbeData {
    /// Checks that parts and labels fit together, for features of `width` numbers a token.
    ///
    /// # Errors
    /// Fewer than two classes, equal labels, no clips, classes without a clip to train on, classes beyond the labels, weights
    /// that are not positive, a number of features that is not that of the clips.
    pub(super) fn check(&self) -> Result<()> {
        let fault = |what: String| Err(TrainError::Invalid(what));
        if self.labels.len() < 2 {
            return fault(format!(
                "a probe tells classes apart, and there are {}: give two or more",
                self.labels.len()
            ));
        }
        let mut sorted: Vec<&String> = self.labels.iter().collect();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return fault(format!("two classes are called \"{}\"", pair[0]));
        }
        for (part, name) in [(&self.train, "train"), (&self.validation, "validation"), (&self.test, "test")] {
            if part.features.count() != part.len() {
                let count = part.features.count();
                return fault(format!("{name}: {} clips with the features of {count}", part.len()));
            }
            for Example { class, weight, origin } in &part.examples {
                if *class as usize >= self.labels.len() {
                    return fault(format!("{origin}: class {class} of {}", self.labels.len()));
                }
                if !(weight.is_finite() && *weight > 0.0) {
                    return fault(format!("{origin}: its weight is {weight}, must be a positive number"));
                }
            }
        }
        let mut seen = vec![false; self.labels.len()];
        self.train.examples.iter().for_each(|example| seen[example.class as usize] = true);
        match seen.iter().position(|seen| !seen) {
            Some(class) => fault(format!("class \"{}\" has no clip to train on", self.labels[class])),
            None => Ok(()),
        }
    }
}
