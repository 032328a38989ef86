//! Pictures and clips in memory as a source, for programs that have their own data.

use sha2::{Digest as _, Sha256};
use vljepa_data::{Preprocess, Rgb8Image, Rgba8Image};

use crate::config::TextKind;
use crate::data::{CardText, Identity, Limit, Pair, Sample, Source, Visual};
use crate::error::{Result, TrainError};
use crate::random::{seen_at, steps_per_epoch};

/// A picture or a clip with its texts.
#[derive(Clone, Debug)]
pub struct Example {
    frames: Vec<Rgba8Image>,
    query: Option<String>,
    targets: Vec<String>,
    weight: f32,
    origin: Option<String>,
}

impl Example {
    /// A picture that `text` describes.
    pub fn still(picture: Rgba8Image, text: impl Into<String>) -> Self {
        Self::clip(vec![picture], text)
    }

    /// A clip that `text` describes. All clips of a batch must have the same number of frames.
    pub fn clip(frames: Vec<Rgba8Image>, text: impl Into<String>) -> Self {
        Self { frames, query: None, targets: vec![text.into()], weight: 1.0, origin: None }
    }

    /// Asks something: the text is then the answer.
    pub fn query(mut self, query: impl Into<String>) -> Self {
        self.query = Some(query.into());
        self
    }

    /// Adds another right text; each step draws one of them.
    pub fn or(mut self, text: impl Into<String>) -> Self {
        self.targets.push(text.into());
        self
    }

    /// Weight of its loss, 1 by default.
    pub fn weight(mut self, weight: f32) -> Self {
        self.weight = weight;
        self
    }

    /// Where it comes from, for error messages.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }
}

/// Examples in memory. Each is seen once in an epoch, in another order in every epoch, unchanged.
///
/// There are no classes, so the candidates are those of the batch: `objective.kind = "batch"` and
/// `objective.y_head.whiten = false`.
#[derive(Debug)]
pub struct Samples {
    examples: Vec<Example>,
    hash: String,
}

impl Samples {
    /// Takes the examples over.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] when there are none, and for one without frames, with an empty text or with a weight that is
    /// not a positive number.
    pub fn new(examples: Vec<Example>) -> Result<Self> {
        if examples.is_empty() {
            return Err(TrainError::Invalid("no examples to train on".into()));
        }
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (i, example) in examples.iter().enumerate() {
            let what = match example {
                Example { frames, .. } if frames.is_empty() => "has no frames",
                Example { targets, .. } if targets.iter().any(String::is_empty) => "has an empty text",
                Example { weight, .. } if !(weight.is_finite() && *weight > 0.0) => "has no positive weight",
                _ => "",
            };
            if !what.is_empty() {
                return Err(TrainError::Invalid(format!("{} {what}", name(i, example))));
            }
            add(&(example.frames.len() as u64).to_le_bytes());
            for frame in &example.frames {
                add(&[frame.width.to_le_bytes(), frame.height.to_le_bytes()].concat());
                add(&frame.data);
            }
            add(&[u8::from(example.query.is_some())]);
            add(example.query.as_deref().unwrap_or_default().as_bytes());
            add(&(example.targets.len() as u64).to_le_bytes());
            example.targets.iter().for_each(|text| add(text.as_bytes()));
            add(&example.weight.to_le_bytes());
        }
        let hash = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self { examples, hash })
    }
}

fn name(i: usize, example: &Example) -> String {
    example.origin.clone().unwrap_or_else(|| format!("example {i}"))
}

impl Source for Samples {
    fn samples(&self, seed: u64, step: u64, batch: usize, to: &Preprocess) -> Result<Vec<Sample>> {
        let of = |i: u32| {
            let example = &self.examples[i as usize];
            let pixels = match &example.frames[..] {
                [still] => to.run(still)?,
                frames => to.clip(&frames.iter().map(|frame| frame.over(to.background)).collect::<Vec<Rgb8Image>>())?,
            };
            let visual = Visual { frames: example.frames.len(), pixels };
            let (query, targets, weight) = (example.query.clone(), example.targets.clone(), example.weight);
            Ok(Sample::new(visual, Pair { query, targets, weight, ..Pair::default() }, name(i as usize, example)))
        };
        seen_at(seed, step, batch, self.examples.len()).into_iter().map(of).collect()
    }

    fn limit(&self) -> Option<Limit> {
        let most = self.examples.len();
        let why = format!("there are {most} examples: samples of a step are different ones, so take at most {most}");
        Some(Limit { most, why })
    }

    fn steps_per_epoch(&self, batch: usize) -> Option<u64> {
        Some(steps_per_epoch(batch, self.examples.len()))
    }

    fn asks(&self) -> bool {
        self.examples.iter().any(|example| example.query.as_ref().is_some_and(|query| !query.is_empty()))
    }

    fn texts(&self, _: &[TextKind]) -> Vec<String> {
        self.examples.iter().flat_map(|example| example.targets.iter().cloned()).collect()
    }

    fn identity(&self) -> Result<Identity> {
        Ok(Identity { parts: [("samples".to_owned(), self.hash.clone())].into(), ..Identity::default() })
    }

    fn card(&self) -> CardText {
        let clips = self.examples.iter().filter(|example| example.frames.len() > 1).count();
        let data = format!("{} examples, of which {clips} clips", self.examples.len());
        CardText { data, ..CardText::default() }
    }
}
