//! The seam between training and data: samples, batches of them, and what a source of samples gives.
//!
//! Everything above this module works with any [`Source`]; [`crate::sources`] has the ones that come with the crate.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use vljepa_data::manifest::Row;
use vljepa_data::{Preprocess, Rgba8Image};
use vljepa_embed::Embedder;
use vljepa_embed::features::Features;
use vljepa_model::config::VlJepaConfig;
use vljepa_model::json_fault;

use crate::config::{DataConfig, EvaluateConfig, TextKind, TrainConfig};
use crate::error::{Result, TrainError};
use crate::metrics::Validation;

/// A still or a clip as the model takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Visual {
    /// Number of frames; 1 is a still.
    pub frames: usize,
    /// Normalised values, `[frames, 3, size, size]`.
    pub pixels: Vec<f32>,
}

impl Visual {
    /// A still, `[3, size, size]`.
    pub fn still(pixels: Vec<f32>) -> Self {
        Self { frames: 1, pixels }
    }
}

/// A query and what is right about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// What is asked; `None` or an empty text asks nothing.
    pub query: Option<String>,
    /// Texts that are right, of which a step draws one. With a `class` the bank's texts stand in their place.
    pub targets: Vec<String>,
    /// Texts that are wrong and could be taken for right ones ([`ObjectiveConfig::wrong`](crate::config::ObjectiveConfig::wrong), [`own`](crate::config::ObjectiveConfig::own)).
    pub wrong: Vec<String>,
    /// The row of the targets in the source's [`Bank`].
    pub class: Option<u32>,
    /// Weight of its loss; 1 is usual.
    pub weight: f32,
}

impl Default for Pair {
    fn default() -> Self {
        Self { query: None, targets: Vec::new(), wrong: Vec::new(), class: None, weight: 1.0 }
    }
}

/// What one sample of a step consists of. The X-Encoder sees it once, however much is asked about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What is seen.
    pub visual: Visual,
    /// What is asked about it and what is right, at least one pair.
    pub pairs: Vec<Pair>,
    /// Where it comes from, for error messages: a file, a drawing.
    pub origin: String,
}

impl Sample {
    /// A sample of one pair.
    pub fn new(visual: Visual, pair: Pair, origin: impl Into<String>) -> Self {
        Self { visual, pairs: vec![pair], origin: origin.into() }
    }
}

/// The tokens of samples that a frozen X-Encoder has encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Tokens of each sample.
    pub tokens: usize,
    /// Numbers of a token.
    pub width: usize,
}

/// A sample without its pixels, and the row of a manifest that shows it.
pub type RowSample<'a> = (Sample, &'a Row);

/// The rows of a manifest that a source is made of.
#[derive(Clone, Copy, Debug)]
pub struct SourceRows<'a> {
    /// Those that are trained on.
    pub train: &'a [Row],
    /// Those that are validated on.
    pub validation: &'a [Row],
    /// Frames of a clip.
    pub frames: usize,
}

/// The samples of one step, in one block of memory.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Batch {
    /// The step it is for.
    pub step: u64,
    /// Side of the pictures.
    pub size: u32,
    /// Frames of each sample.
    pub frames: usize,
    /// Normalised values, `[batch, frames, 3, size, size]`; where the samples are encoded, `[batch, tokens, width]`.
    pub pixels: Vec<f32>,
    /// Whether `pixels` are what a frozen X-Encoder made of them.
    pub encoded: Option<Encoded>,
    /// Where each sample comes from.
    pub origins: Vec<String>,
    /// What is asked about the samples and what is right, those of the first sample first.
    pub pairs: Vec<Pair>,
    /// The sample that each pair is about, ascending.
    pub about: Vec<u32>,
}

impl Batch {
    /// Puts samples together.
    ///
    /// # Errors
    /// [`TrainError::Invalid`], naming the sample, when they do not all have the same number of frames, pixels do not fill
    /// `size`, a sample has no pair, a weight is not positive and finite, or a pair has neither a class nor a text.
    pub fn new(step: u64, size: u32, samples: Vec<Sample>) -> Result<Self> {
        Self::of(step, size, samples, None)
    }

    /// Puts samples together that a frozen X-Encoder has encoded, with the tokens of each in their order.
    ///
    /// # Errors
    /// As [`Batch::new`]; tokens of another number or width than those of the first sample.
    pub fn encoded(step: u64, size: u32, samples: Vec<(Sample, Features)>) -> Result<Self> {
        let first = samples.first().map(|(_, f)| Encoded { tokens: f.tokens, width: f.width });
        let Some(Encoded { tokens, width }) = first else { return Self::of(step, size, Vec::new(), None) };
        let with_tokens = |(mut sample, features): (Sample, Features)| {
            if (features.tokens, features.width) != (tokens, width) || features.views == 0 {
                let what = format!(
                    "{}: {} tokens of width {}, and the first sample has {tokens} of {width}: all samples of a batch need as many",
                    sample.origin, features.tokens, features.width
                );
                return Err(TrainError::Invalid(what));
            }
            sample.visual.pixels = features.view(0).to_vec();
            Ok(sample)
        };
        let samples = samples.into_iter().map(with_tokens).collect::<Result<_>>()?;
        Self::of(step, size, samples, first)
    }

    fn of(step: u64, size: u32, samples: Vec<Sample>, encoded: Option<Encoded>) -> Result<Self> {
        let frames = samples.first().map_or(1, |sample| sample.visual.frames);
        let side = size as usize;
        let values = encoded.map_or(frames * 3 * side * side, |e| e.tokens * e.width);
        let mut batch = Self {
            step,
            size,
            frames,
            pixels: Vec::with_capacity(samples.len() * values),
            encoded,
            origins: Vec::with_capacity(samples.len()),
            pairs: Vec::with_capacity(samples.len()),
            about: Vec::with_capacity(samples.len()),
        };
        for (number, Sample { visual, pairs, origin }) in (0u32..).zip(samples) {
            let fault = |what: String| Err(TrainError::Invalid(format!("{origin}: {what}")));
            if visual.frames != frames {
                let first = batch.origins.first().map_or("the first sample", String::as_str);
                return fault(format!(
                    "{} frames, and {first} has {frames}: all samples of a batch need the same number of frames",
                    visual.frames
                ));
            }
            if frames == 0 || visual.pixels.len() != values {
                let got = visual.pixels.len();
                return fault(format!("{got} values, {frames} frames of {size} × {size} pixels have {values}"));
            }
            if pairs.is_empty() {
                return fault("nothing is said about it".into());
            }
            for mut pair in pairs {
                if !(pair.weight.is_finite() && pair.weight > 0.0) {
                    return fault(format!("its weight is {}, must be a positive number", pair.weight));
                }
                if pair.class.is_none() && pair.targets.is_empty() {
                    return fault("it has neither a class nor a text".into());
                }
                pair.query = pair.query.filter(|text| !text.is_empty());
                batch.pairs.push(pair);
                batch.about.push(number);
            }
            batch.pixels.extend_from_slice(&visual.pixels);
            batch.origins.push(origin);
        }
        Ok(batch)
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// The pairs about some of the samples.
    pub fn pairs_about(&self, samples: Range<usize>) -> Range<usize> {
        let first = |sample: usize| self.about.partition_point(|&about| (about as usize) < sample);
        first(samples.start)..first(samples.end)
    }
}

/// The classes of a source: a fixed list of things, each with its texts.
pub trait Bank {
    /// Number of classes.
    fn classes(&self) -> usize;

    /// The text of a class; a class that lacks texts of a kind has its label.
    fn text(&self, class: usize, kind: TextKind) -> String;

    /// The texts of all classes.
    fn texts(&self, kind: TextKind) -> Vec<String> {
        (0..self.classes()).map(|class| self.text(class, kind)).collect()
    }

    /// Of each class a text that says more than its label: what the whitening of the head is shown beside the labels
    /// (`objective.y_head.tags`).
    fn hints(&self) -> Vec<String> {
        self.texts(TextKind::LabelAndTags)
    }
}

/// The largest batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Number of samples.
    pub most: usize,
    /// Why there are no more, and what to do: the end of the sentence "`batch` is 9, and …".
    pub why: String,
}

/// What checkpoints of one run agree on: equal identities mean that a step sees the same bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// Settings of the source, beside those of `[data]` that every source has.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Further parts by name, such as a hash of what the source holds. They tell sources of different kinds apart.
    pub parts: BTreeMap<String, String>,
}

/// What a model card says of the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardText {
    /// What was trained on, how much of it and under which licences, for a table cell.
    pub data: String,
    /// Sentences about the validation figures: what they were measured on.
    pub figures: String,
}

/// Pictures with their classes, read one after the other.
pub type Stills<'a> = Box<dyn Iterator<Item = Result<(Rgba8Image, u32)>> + 'a>;

/// Where samples come from.
///
/// Batches are made on a thread of their own while the device works, so a source is `Send` and `Sync`.
pub trait Source: Debug + Send + Sync {
    /// The samples of a step, prepared as `to` says: pictures of side `to.size`. A function of seed and step alone.
    ///
    /// # Errors
    /// Pictures that cannot be read or prepared.
    fn samples(&self, seed: u64, step: u64, batch: usize, to: &Preprocess) -> Result<Vec<Sample>>;

    /// The largest batch, `None` where there is no limit.
    fn limit(&self) -> Option<Limit>;

    /// Steps until everything has been seen once; a run tells it when it starts. `None` where nothing comes twice.
    fn steps_per_epoch(&self, batch: usize) -> Option<u64>;

    /// The classes, where samples are of a fixed list of things. Needed for candidates of a bank, whitening, the fit of the
    /// head and the memory.
    fn bank(&self) -> Option<&dyn Bank> {
        None
    }

    /// What the texts belong to, for messages: "texts of the samples".
    fn noun(&self) -> &str {
        "samples"
    }

    /// Whether samples have queries: then the run needs a query tokenizer.
    fn asks(&self) -> bool {
        false
    }

    /// The queries that samples have, each once, to report which are longer than the model takes.
    fn queries(&self) -> Vec<String> {
        Vec::new()
    }

    /// The rows that the source is made of, where it is made of the rows of a manifest: what a frozen X-Encoder makes of them
    /// can be kept.
    fn rows(&self) -> Option<SourceRows<'_>> {
        None
    }

    /// The samples of a step as [`Source::samples`] gives them but without their pixels, each with its row; empty for a source
    /// that is not made of rows.
    fn row_samples(&self, seed: u64, step: u64, batch: usize) -> Vec<RowSample<'_>> {
        let _ = (seed, step, batch);
        Vec::new()
    }

    /// Texts that samples are trained towards, as often as they come: to whiten the head of the Y-Encoder by, and to report which
    /// are longer than it takes. A source without a bank gives its own, or some that stand for all.
    fn texts(&self, kinds: &[TextKind]) -> Vec<String> {
        self.bank().map_or_else(Vec::new, |bank| kinds.iter().flat_map(|&kind| bank.texts(kind)).collect())
    }

    /// All training pictures with their classes, for the fit of the head.
    fn stills(&self) -> Stills<'_> {
        Box::new(std::iter::empty())
    }

    /// Figures on data that is not trained on; `preprocess` has the side of the pictures.
    ///
    /// # Errors
    /// What reading and embedding report.
    fn validate(&self, embedder: &Embedder<'_>, preprocess: &Preprocess) -> Result<Validation> {
        let _ = (embedder, preprocess);
        Ok(Validation::default())
    }

    /// What a checkpoint must agree on.
    fn identity(&self) -> Result<Identity>;

    /// What a model card says.
    fn card(&self) -> CardText {
        CardText::default()
    }
}

/// A rule that values break: the key and a sentence.
pub type BrokenRule = (String, String);

/// A kind of source that a configuration's `[data]` can name.
pub struct Kind {
    /// Its name: the value of `data.kind`.
    pub name: &'static str,
    /// Which of its own keys in `[data]` are paths.
    pub paths: &'static [&'static str],
    /// Checks its own keys without looking at files. Gives the first rule that values break.
    ///
    /// # Errors
    /// Unknown keys and values of a wrong type.
    pub check: fn(Own<'_>) -> Result<Option<BrokenRule>, toml::de::Error>,
    /// Opens the source that a configuration describes, for a model.
    pub open: fn(&TrainConfig, &VlJepaConfig) -> Result<Arc<dyn Source>>,
}

/// A source's own keys, to be deserialised.
pub struct Own<'a> {
    /// Those in `[data]`.
    pub data: toml::Deserializer<'a>,
    /// Those in `[evaluate]`.
    pub evaluate: toml::Deserializer<'a>,
}

impl Own<'_> {
    /// Hands `read` the own keys of a configuration; `problem` gives the first rule that the values break.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for what `read` and `problem` report.
    pub fn of<T>(
        config: &TrainConfig,
        read: impl FnOnce(Own<'_>) -> std::result::Result<T, toml::de::Error>,
        problem: impl FnOnce(&T) -> Option<BrokenRule>,
    ) -> Result<T> {
        let (DataConfig { own: data, .. }, EvaluateConfig { own: evaluate, .. }) = (&config.data, &config.evaluate);
        let fault = |what: String| TrainError::setting("data", format!("`data`: {what}"));
        let text = |table: &toml::Table| toml::to_string(table).map_err(|error| fault(error.to_string()));
        let (data, evaluate) = (text(data)?, text(evaluate)?);
        let parse = |text| toml::Deserializer::parse(text);
        let own = parse(&data).and_then(|data| Ok(Own { data, evaluate: parse(&evaluate)? }));
        let read = own.and_then(read);
        let settings = read.map_err(|error| fault(json_fault(&error.message().trim().replace('\n', "; "))))?;
        match problem(&settings) {
            Some((key, what)) => Err(TrainError::setting(key, what)),
            None => Ok(settings),
        }
    }
}
