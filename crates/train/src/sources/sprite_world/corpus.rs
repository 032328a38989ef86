//! What is trained and validated on: clips by number, each with a caption, or with a question and its answer.

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use vljepa_data::sprite_world::words::{Change, Kind, Length, Question, Wordings, caption, hard_negative, questions};
use vljepa_data::sprite_world::{Scene, SpriteOptions, SpriteWorld};
use vljepa_data::{Preprocess, SampleKey};
use vljepa_embed::Embedder;

use super::measure::{Asked, Purpose, answers, pixels};
use super::settings::Settings;
use crate::config::TextKind;
use crate::data::{CardText, Identity, Limit, Pair, Sample, Source, Visual};
use crate::error::{Result, TrainError};
use crate::metrics::{Cell, NamedCell, Validation};
use crate::random::{self, Stream};

/// Clips whose texts stand for all, where texts are looked at beforehand.
const SAMPLED: u64 = 1000;

/// What the first and the last frame of a clip decide.
const OF_ENDS: [Kind; 4] = [Kind::Count, Kind::Where, Kind::There, Kind::Color];

/// A clip as it is shown.
struct Shown {
    scene: Scene,
    /// Whether only its first and its last frame are.
    ends: bool,
}

/// Clips to train and to validate on.
#[derive(Debug)]
pub struct Corpus {
    train: SpriteWorld,
    /// Few things and one event, for the first steps.
    easy: SpriteWorld,
    /// One event.
    single: SpriteWorld,
    validation: SpriteWorld,
    settings: Settings,
    hash: String,
}

impl Corpus {
    /// The clips of two worlds.
    ///
    /// # Errors
    /// As [`SpriteWorld::with`].
    pub fn new(train: SpriteWorld, validation: SpriteWorld, settings: Settings) -> Result<Self> {
        let (hash, options) = (hash(&train), train.options());
        let [least, most] = options.things;
        let easy = train.with(SpriteOptions { things: [least, most.min(2).max(least)], events: 1, ..*options })?;
        let single = train.with(SpriteOptions { events: 1, ..*options })?;
        Ok(Self { train, easy, single, validation, settings, hash })
    }

    /// The world that is trained on.
    pub fn world(&self) -> &SpriteWorld {
        &self.train
    }

    /// The world that is validated on.
    pub fn validation_world(&self) -> &SpriteWorld {
        &self.validation
    }

    /// The clip of a place in a step: `clips` different ones in an order drawn anew for each epoch, else a new one each time.
    fn key(&self, seed: u64, step: u64, batch: usize, at: usize) -> SampleKey {
        let index = match (self.settings.clips, self.steps_per_epoch(batch)) {
            (Some(clips), Some(steps)) => {
                // Steps through all numbers below `clips` by one that has no divisor in common with it.
                let place = step % steps * batch as u64 + at as u64;
                let mut dice = Stream::new(seed, random::Purpose::Order, step / steps);
                let coprime = (0..64).map(|_| 1 + dice.below(clips as usize) as u64).find(|&n| gcd(n, clips) == 1);
                let (place, by, from) = (u128::from(place), coprime.unwrap_or(1), dice.below(clips as usize) as u64);
                ((place * u128::from(by) + u128::from(from)) % u128::from(clips)) as u64
            }
            _ => step * batch as u64 + at as u64,
        };
        Purpose::Train.key(seed, index)
    }

    /// What is asked about a clip and what is right: as many different questions as the settings say, and a caption without a
    /// query. Another epoch's may be others. A clip of its ends is told, and asked what its ends decide.
    fn pairs(&self, Shown { scene, ends }: &Shown, key: SampleKey, step: u64, dice: &mut Stream) -> Vec<Pair> {
        let key = SampleKey { stream: key.stream + (step << 8), ..key };
        let mut pairs = Vec::new();
        if self.settings.questions > 0 {
            let mut fit = questions(&self.train, scene, Wordings::Train, key);
            fit.retain(|question| self.settings.kinds.contains(&question.kind));
            fit.retain(|question| !ends || OF_ENDS.contains(&question.kind));
            while pairs.len() < self.settings.questions && !fit.is_empty() {
                let Question { text, answer, others, .. } = fit.swap_remove(dice.below(fit.len()));
                pairs.push(Pair { query: Some(text), targets: vec![answer], wrong: others, ..Pair::default() });
            }
        }
        if falls(dice, self.settings.captions) || *ends || pairs.is_empty() {
            let length = Length::ALL[dice.below(Length::ALL.len())];
            let nearly = if falls(dice, self.settings.nearly) { self.nearly(scene, key, dice) } else { None };
            pairs.push(nearly.filter(|_| !ends).unwrap_or_else(|| {
                let caption = caption(&self.train, scene, length, Wordings::Train, key);
                Pair { targets: vec![caption], ..Pair::default() }
            }));
        }
        pairs
    }

    /// A caption of middle length, and one that is nearly the same and false.
    fn nearly(&self, scene: &Scene, key: SampleKey, dice: &mut Stream) -> Option<Pair> {
        let first = dice.below(Change::ALL.len());
        let changes = (0..Change::ALL.len()).map(|i| Change::ALL[(first + i) % Change::ALL.len()]);
        let triple =
            changes.filter_map(|change| hard_negative(&self.train, scene, change, Wordings::Train, key)).next()?;
        let [one, other] = triple.right;
        let right = if dice.below(2) == 0 { one } else { other };
        Some(Pair { targets: vec![right], wrong: vec![triple.wrong], ..Pair::default() })
    }

    /// The clip of a place, of which `ends` says whether only the first and the last frame are shown where they tell something.
    fn shown(&self, key: SampleKey, step: u64, ends: bool) -> Shown {
        let easy = step < self.settings.easy_steps;
        if ends {
            let scene = if easy { &self.easy } else { &self.single }.scene(key);
            if scene.events.iter().all(|e| e.action.leaves_a_trace()) {
                return Shown { scene: scene.ends(), ends };
            }
        }
        Shown { scene: if easy { &self.easy } else { &self.train }.scene(key), ends: false }
    }

    fn sampled(&self) -> impl Iterator<Item = Pair> + '_ {
        let mut dice = Stream::new(0, random::Purpose::Text, 0);
        (0..SAMPLED).flat_map(move |index| {
            let key = Purpose::Floors.key(0, index);
            self.pairs(&self.shown(key, u64::MAX, false), key, index, &mut dice)
        })
    }
}

/// Whether a draw falls into a share; a share of nothing draws nothing.
fn falls(dice: &mut Stream, share: f64) -> bool {
    share > 0.0 && (dice.below(1 << 24) as f64) < share * f64::from(1 << 24)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What makes clips: the things and their drawings.
fn hash(world: &SpriteWorld) -> String {
    let mut hash = Sha256::new();
    for thing in world.cast().things() {
        hash.update((thing.label.len() as u64).to_le_bytes());
        hash.update(thing.label.as_bytes());
        hash.update(thing.key.as_bytes());
        thing.drawings.iter().for_each(|drawing| hash.update(drawing.digest()));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Source for Corpus {
    fn samples(&self, seed: u64, step: u64, batch: usize, to: &Preprocess) -> Result<Vec<Sample>> {
        let sample = |at: usize| -> Result<Sample> {
            let key = self.key(seed, step, batch, at);
            let mut dice = Stream::new(seed, random::Purpose::Text, step * batch as u64 + at as u64);
            let ends = falls(&mut dice, self.settings.ends);
            let shown = self.shown(key, step, ends);
            let pairs = self.pairs(&shown, key, step, &mut dice);
            let pixels = pixels(&self.train.render(&shown.scene, to.size as usize), to)?;
            let visual = Visual { frames: shown.scene.poses.len(), pixels };
            Ok(Sample { visual, pairs, origin: format!("clip {} of seed {seed}", key.index) })
        };
        (0..batch).into_par_iter().map(sample).collect()
    }

    fn limit(&self) -> Option<Limit> {
        let most = usize::try_from(self.settings.clips?).unwrap_or(usize::MAX);
        let why = format!("there are {most} clips: samples of a step are different ones, so take at most {most}");
        Some(Limit { most, why })
    }

    fn steps_per_epoch(&self, batch: usize) -> Option<u64> {
        self.settings.clips.map(|clips| (clips / batch.max(1) as u64).max(1))
    }

    fn asks(&self) -> bool {
        self.settings.questions > 0
    }

    fn queries(&self) -> Vec<String> {
        self.sampled().filter_map(|pair| pair.query).collect()
    }

    fn texts(&self, _: &[TextKind]) -> Vec<String> {
        self.sampled().flat_map(|pair| pair.targets).collect()
    }

    /// Clips of the validation vendor in wordings for validation: questions by kind, and captions.
    fn validate(&self, embedder: &Embedder<'_>, preprocess: &Preprocess) -> Result<Validation> {
        let asked = Asked {
            world: &self.validation,
            wordings: Wordings::Validation,
            seed: 0,
            purpose: Purpose::Validate,
            clips: self.settings.validation_clips,
            questions: self.settings.questions > 0,
        };
        let found = answers(embedder, preprocess, &asked, &mut |_| ())?;
        let mut cells = Vec::new();
        for (kind, answered) in &found.kinds {
            let n = answered.hits.len();
            let cell = Cell {
                n,
                candidates: answered.candidates,
                r1: (n > 0).then(|| answered.accuracy()),
                chance_r1: answered.chance(),
                ..Cell::default()
            };
            cells.push(NamedCell { key: kind.key().to_owned(), title: format!("questions: {}", kind.key()), cell });
        }
        let cell = found.retrieval();
        cells.push(NamedCell { key: "captions".into(), title: "captions".into(), cell });
        Ok(Validation(cells))
    }

    fn identity(&self) -> Result<Identity> {
        let settings = serde_json::to_value(&self.settings);
        let settings = settings.map_err(|e| TrainError::Invalid(format!("the settings cannot be written: {e}")))?;
        let serde_json::Value::Object(settings) = settings else {
            return Err(TrainError::Invalid("the settings are no table".into()));
        };
        Ok(Identity { settings, parts: [("sprites".to_owned(), self.hash.clone())].into() })
    }

    fn card(&self) -> CardText {
        let drawings: usize = self.train.cast().things().iter().map(|thing| thing.drawings.len()).sum();
        let things = self.train.cast().things().len();
        let from = match &self.settings.sprites {
            Some(_) => "one's own; their owner knows the licences".to_owned(),
            None => format!("emoji-vendors by {}", self.settings.vendors.join(", ")),
        };
        CardText {
            data: format!("Sprite World: clips of {drawings} drawings of {things} things ({from})"),
            figures:
                "Clips of the validation vendor's drawings, in wordings that were trained on. The suite `sprite-world` \
                      measures what was held out."
                    .into(),
        }
    }
}
