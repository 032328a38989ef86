//! What a question gives away: a baseline that reads it, and its candidates, and sees no clip.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use vljepa_data::sprite_world::SpriteWorld;
use vljepa_data::sprite_world::words::{Kind, Question, Wordings, questions};

use super::measure::Purpose;

/// Clips whose questions it learns from.
pub(super) const CLIPS: u64 = 6000;
/// How many observations the share of all candidates stands for.
const PRIOR: f64 = 6.0;

/// How often something was shown as a candidate, and how often it was right.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    shown: f64,
    right: f64,
}

impl Counts {
    fn add(&mut self, right: bool) {
        self.shown += 1.0;
        self.right += f64::from(u8::from(right));
    }

    /// The share that was right, drawn to `prior` where little was seen.
    fn share(self, prior: f64) -> f64 {
        (self.right + PRIOR * prior) / (self.shown + PRIOR)
    }
}

/// Shares of right answers, by kind of question: of candidates, of candidates beside each word of the question, and of the words
/// of candidates. A candidate's score is the mean log share over all of them.
#[derive(Debug, Default)]
pub(super) struct TextOnly {
    kinds: BTreeMap<Kind, OfKind>,
}

#[derive(Debug, Default)]
struct OfKind {
    all: Counts,
    candidates: HashMap<String, Counts>,
    beside: HashMap<(String, String), Counts>,
    words: HashMap<String, Counts>,
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

impl TextOnly {
    /// Learns from the questions of clips of a world, in the wordings that it will be asked in.
    pub fn learn(world: &SpriteWorld, wordings: Wordings, seed: u64) -> Self {
        let mut learned = Self::default();
        let asked = |index: u64| {
            let key = Purpose::Floors.key(seed, index);
            questions(world, &world.scene(key), wordings, key)
        };
        let all: Vec<Vec<Question>> = (0..CLIPS).into_par_iter().map(asked).collect();
        all.iter().flatten().for_each(|question| learned.add(question));
        learned
    }

    fn add(&mut self, question: &Question) {
        let of = self.kinds.entry(question.kind).or_default();
        let candidates = std::iter::once((&question.answer, true)).chain(question.others.iter().map(|o| (o, false)));
        for (candidate, right) in candidates {
            of.all.add(right);
            of.candidates.entry(candidate.clone()).or_default().add(right);
            for word in words(&question.text) {
                of.beside.entry((word.to_owned(), candidate.clone())).or_default().add(right);
            }
            words(candidate).for_each(|word| of.words.entry(word.to_owned()).or_default().add(right));
        }
    }

    /// Scores of the candidates of a question, the right one first.
    pub fn scores(&self, question: &Question) -> Vec<f32> {
        let Some(of) = self.kinds.get(&question.kind) else { return vec![0.0; 1 + question.others.len()] };
        let base = of.all.share(0.5);
        let score = |candidate: &String| {
            let own = of.candidates.get(candidate).copied().unwrap_or_default().share(base);
            let beside = |word: &str| {
                let key = (word.to_owned(), candidate.clone());
                of.beside.get(&key).copied().unwrap_or_default().share(own).ln()
            };
            let mean = |logs: Vec<f64>, none: f64| match logs.is_empty() {
                true => none,
                false => logs.iter().sum::<f64>() / logs.len() as f64,
            };
            let asked = mean(words(&question.text).map(beside).collect(), own.ln());
            let share = |word: &str| of.words.get(word).copied().unwrap_or_default().share(base).ln();
            (own.ln() + asked + mean(words(candidate).map(share).collect(), base.ln())) as f32
        };
        std::iter::once(&question.answer).chain(&question.others).map(score).collect()
    }
}

#[cfg(test)]
mod tests {
    use vljepa_data::SampleKey;
    use vljepa_data::emoji::{EmojiVendors, Split};
    use vljepa_data::sprite_world::SpriteOptions;

    use super::super::worlds::{Players, world};
    use super::*;
    use crate::metrics::hit_at;

    fn question(text: &str, answer: &str, other: &str) -> Question {
        Question { kind: Kind::YesNo, text: text.into(), answer: answer.into(), others: vec![other.into()] }
    }

    #[test]
    fn what_a_question_gives_away_is_found_and_nothing_else() {
        let mut told = TextOnly::default();
        for _ in 0..50 {
            told.add(&question("does the dog grow?", "yes", "no"));
            told.add(&question("does the dog shrink?", "no", "yes"));
        }
        for (text, answer, other) in [("does the cat grow?", "yes", "no"), ("does the cat shrink?", "no", "yes")] {
            let scores = told.scores(&question(text, answer, other));
            assert!(scores[0] > scores[1] + 0.05, "{text}: {scores:?}");
        }
        let fair = told.scores(&question("does the cat jump?", "yes", "no"));
        assert!((fair[0] - fair[1]).abs() < 1e-6, "{fair:?}");
        assert_eq!(TextOnly::default().scores(&question("", "yes", "no")), [0.0, 0.0]);
    }

    #[test]
    fn questions_of_the_world_tell_little_of_their_answers() {
        let set = EmojiVendors::open(EmojiVendors::default_dir()).unwrap();
        let vendor = [set.vendor("noto").unwrap()];
        let players = Players::Emoji { set: &set, vendors: &vendor, split: Split::Train };
        let world = world(players, SpriteOptions::default()).unwrap();
        for wordings in [Wordings::Train, Wordings::HeldOut] {
            let learned = TextOnly::learn(&world, wordings, 1);
            let mut found: BTreeMap<Kind, [f64; 3]> = BTreeMap::new();
            for index in 0..3000 {
                let key = SampleKey { seed: 2, epoch: 0, index, stream: 0 };
                for question in questions(&world, &world.scene(key), wordings, key) {
                    let [n, right, chance] = found.entry(question.kind).or_default();
                    *n += 1.0;
                    *right += hit_at(&learned.scores(&question), 0, 1);
                    *chance += 1.0 / (1.0 + question.others.len() as f64);
                }
            }
            assert_eq!(found.len(), Kind::ALL.len());
            for (kind, [n, right, chance]) in found {
                let (right, chance) = (right / n, chance / n);
                // What a drawing's colour is its name tells; all else is nearly even, within three and a half deviations.
                let allowed = match kind {
                    Kind::Color => 0.6,
                    _ => chance + 0.05 + 3.5 * (chance * (1.0 - chance) / n).sqrt(),
                };
                assert!(right < allowed, "{kind:?}, {wordings:?}: {right:.3} of {n}, a guess {chance:.3}");
            }
        }
    }
}
