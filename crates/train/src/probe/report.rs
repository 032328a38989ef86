//! What a probe was measured at: the share of clips whose class it names, how sure that is, and what would be had for nothing.

use serde::{Deserialize, Serialize};

use super::config::ProbeKind;
use super::data::ProbePart;

/// Classes up to which a table of confusions is written.
const MAX_CONFUSION: usize = 1000;
/// The normal quantile of a two-sided interval of 95 %.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// What one head made of the clips of a part.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The class that each clip was given.
    pub predicted: Vec<u32>,
    /// Clips that were given their own class.
    pub correct: usize,
    /// Mean of −ln of the probability that clips gave their own class.
    pub loss: f64,
}

impl Measured {
    /// Whether this is better than `other`: more clips right or, with as many, a lower loss.
    pub fn is_better_than(&self, other: &Self) -> bool {
        (self.correct, -self.loss) > (other.correct, -other.loss)
    }
}

/// What always naming the most frequent class of the training clips gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Majority {
    /// That class.
    pub label: String,
    /// The share of clips that are of it.
    pub top1: f64,
}

/// Figures of a part of the data. All shares are in 0..=1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Clips.
    pub n: usize,
    /// Clips that were given their own class.
    pub correct: usize,
    /// Their share.
    pub top1: f64,
    /// 95 % interval of that share (Wilson's score interval): how far the same probe may be off on other clips like these.
    pub top1_interval: [f64; 2],
    /// Mean of −ln of the probability that clips gave their own class.
    pub loss: f64,
    /// The floor of naming one class always.
    pub majority: Majority,
    /// The floor of naming any class, each as often.
    pub chance: f64,
    /// `confusion[a][b]`: clips of class a that were given class b. Absent above a thousand classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<u32>>>,
}

impl Figures {
    /// The figures of `measured` on `part`; `train` tells which class is the most frequent.
    pub fn new(measured: &Measured, part: &ProbePart, train: &ProbePart, labels: &[String]) -> Self {
        let (n, classes) = (part.len(), labels.len());
        let count = |part: &ProbePart| {
            let mut counts = vec![0_usize; classes];
            for example in &part.examples {
                counts.get_mut(example.class as usize).into_iter().for_each(|count| *count += 1);
            }
            counts
        };
        let (trained, here) = (count(train), count(part));
        let most = (0..classes).max_by_key(|&class| (trained[class], std::cmp::Reverse(class))).unwrap_or(0);
        let share = |k: usize| k as f64 / n.max(1) as f64;
        let confusion = (classes <= MAX_CONFUSION).then(|| {
            let mut table = vec![vec![0; classes]; classes];
            for (example, &predicted) in part.examples.iter().zip(&measured.predicted) {
                let row = table.get_mut(example.class as usize);
                row.and_then(|row| row.get_mut(predicted as usize)).into_iter().for_each(|cell| *cell += 1);
            }
            table
        });
        Self {
            n,
            correct: measured.correct,
            top1: share(measured.correct),
            top1_interval: wilson(measured.correct, n),
            loss: measured.loss,
            majority: Majority {
                label: labels.get(most).cloned().unwrap_or_default(),
                top1: share(here.get(most).copied().unwrap_or(0)),
            },
            chance: 1.0 / classes.max(1) as f64,
            confusion,
        }
    }
}

/// Wilson's score interval of 95 % for a share of `correct` in `n`: `[0, 1]` for none. It stays within 0..=1 and holds for few
/// clips, and for all or none of them correct (Wilson, 1927).
pub fn wilson(correct: usize, n: usize) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (n, z2) = (n as f64, NORMAL_95 * NORMAL_95);
    let share = correct as f64 / n;
    let (centre, scale) = ((share + z2 / (2.0 * n)) / (1.0 + z2 / n), 1.0 / (1.0 + z2 / n));
    let half = scale * NORMAL_95 * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

/// What a head of the grid reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadReport {
    /// Its peak learning rate.
    pub learning_rate: f64,
    /// Its weight decay.
    pub weight_decay: f64,
    /// The largest share of validation clips that it gave their class, over all evaluations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Its loss there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Steps taken until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// The step at which its loss was not finite any more: the rate is too high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<u64>,
}

/// What a run has made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbeReport {
    /// The kind of probe.
    pub kind: ProbeKind,
    /// Names of the classes, in the order of the tables of confusions.
    pub labels: Vec<String>,
    /// Clips that it was trained on.
    pub trained_on: usize,
    /// The head that was written.
    pub head: HeadReport,
    /// Its figures on the clips by which it was chosen, which are better than those on other clips; absent without such clips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Figures>,
    /// Its figures on clips that chose nothing; absent without such clips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Figures>,
    /// All heads.
    pub heads: Vec<HeadReport>,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::data::{Example, InMemory};
    use super::*;

    #[test]
    fn intervals_are_those_of_wilson() {
        // Newcombe (1998), table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        for (correct, n, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let [a, b] = wilson(correct, n);
            assert!((a - low).abs() < 5e-5 && (b - high).abs() < 5e-5, "{correct} of {n}: {a} {b}");
        }
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
        assert_eq!(wilson(5, 5)[1], 1.0);
    }

    #[test]
    fn more_clips_are_better_and_then_a_lower_loss() {
        let of = |correct, loss| Measured { predicted: Vec::new(), correct, loss };
        assert!(of(3, 2.0).is_better_than(&of(2, 0.1)));
        assert!(of(3, 0.1).is_better_than(&of(3, 0.2)));
        assert!(!of(3, 0.1).is_better_than(&of(3, 0.1)));
    }

    #[test]
    fn floors_and_confusions_are_counted() {
        let part = |classes: &[u32]| {
            let examples: Vec<_> =
                classes.iter().map(|&class| Example { class, weight: 1.0, origin: String::new() }).collect();
            ProbePart { examples, features: Arc::new(InMemory::new(Vec::new())) }
        };
        let labels = ["a", "b", "c"].map(str::to_owned);
        // Most clips to train on are of b; of the others here most are of a.
        let (train, here) = (part(&[1, 1, 0, 2, 1]), part(&[0, 0, 0, 1, 2]));
        let measured = Measured { predicted: vec![0, 1, 0, 1, 0], correct: 3, loss: 0.5 };
        let figures = Figures::new(&measured, &here, &train, &labels);
        assert_eq!((figures.n, figures.correct, figures.top1), (5, 3, 0.6));
        assert_eq!(figures.majority, Majority { label: "b".into(), top1: 0.2 });
        assert_eq!(figures.chance, 1.0 / 3.0);
        assert_eq!(figures.confusion, Some(vec![vec![2, 1, 0], vec![0, 1, 0], vec![1, 0, 0]]));
    }
}
