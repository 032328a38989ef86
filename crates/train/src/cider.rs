//! CIDEr-D (Vedantam et al., arXiv 1411.5726, §5 with clipping and the Gaussian length penalty): what the scorer of pycocoevalcap, called
//! CIDEr there, computes.

use std::collections::{BTreeMap, BTreeSet};

/// Longest n-gram.
const LONGEST: usize = 4;
/// Deviation of the length penalty, in words.
const SIGMA: f64 = 6.0;

/// A text that was said of something, and the texts that people say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captioned {
    /// What was said.
    pub said: String,
    /// Right texts; at least one.
    pub references: Vec<String>,
}

/// The words of a text: lower case, without punctuation.
pub fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '\'');
    parts.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// How often each n-gram occurs, by its length − 1. In an order, so that sums are the same to the bit each time.
type Counts<'a> = Vec<BTreeMap<&'a [String], f64>>;

fn counts(words: &[String]) -> Counts<'_> {
    let of = |n: usize| {
        let mut counts = BTreeMap::new();
        words.windows(n).for_each(|gram| *counts.entry(gram).or_insert(0.0) += 1.0);
        counts
    };
    (1..=LONGEST).map(of).collect()
}

/// Counts weighted by how rare an n-gram is, their norms, and the number of bigrams, which stands for the length.
struct Weighted<'a> {
    grams: Counts<'a>,
    norms: Vec<f64>,
    length: f64,
}

impl<'a> Weighted<'a> {
    fn of(words: &'a [String], rare: &dyn Fn(&[String]) -> f64) -> Self {
        let mut grams = counts(words);
        let length = grams[1].values().sum();
        let mut norms = Vec::with_capacity(LONGEST);
        for grams in &mut grams {
            grams.iter_mut().for_each(|(gram, count)| *count *= rare(gram));
            norms.push(grams.values().map(|weight| weight * weight).sum::<f64>().sqrt());
        }
        Self { grams, norms, length }
    }
}

/// The score of each text, 0..=10, among all: how rare an n-gram is, is counted over the references of all.
pub fn cider_d(all: &[Captioned]) -> Vec<f64> {
    let said: Vec<Vec<String>> = all.iter().map(|one| words(&one.said)).collect();
    let references: Vec<Vec<Vec<String>>> =
        all.iter().map(|one| one.references.iter().map(|text| words(text)).collect()).collect();
    let mut documents: BTreeMap<&[String], f64> = BTreeMap::new();
    for own in &references {
        let grams: BTreeSet<&[String]> =
            own.iter().flat_map(|words| (1..=LONGEST).flat_map(|n| words.windows(n))).collect();
        grams.into_iter().for_each(|gram| *documents.entry(gram).or_insert(0.0) += 1.0);
    }
    let total = (all.len().max(1) as f64).ln();
    let rare = |gram: &[String]| total - documents.get(gram).copied().unwrap_or(1.0).ln();
    let score = |(said, references): (&Vec<String>, &Vec<Vec<String>>)| {
        let said = Weighted::of(said, &rare);
        let sum: f64 = references.iter().map(|reference| alike(&said, &Weighted::of(reference, &rare))).sum();
        10.0 * sum / references.len().max(1) as f64
    };
    said.iter().zip(&references).map(score).collect()
}

/// The mean over lengths of n-grams of the clipped cosine, less where lengths differ.
fn alike(said: &Weighted<'_>, reference: &Weighted<'_>) -> f64 {
    let of = |n: usize| {
        let shared: f64 = (said.grams[n].iter())
            .filter_map(|(gram, weight)| Some((weight, reference.grams[n].get(gram)?)))
            .map(|(weight, theirs)| weight.min(*theirs) * theirs)
            .sum();
        let norms = said.norms[n] * reference.norms[n];
        if norms > 0.0 { shared / norms } else { shared }
    };
    let penalty = (-(said.length - reference.length).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    (0..LONGEST).map(of).sum::<f64>() * penalty / LONGEST as f64
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn scores_are_those_of_the_reference_implementation() {
        let fixtures: Vec<Value> = serde_json::from_str(include_str!("../tests/fixtures/cider.json")).unwrap();
        assert_eq!(fixtures.len(), 4);
        for fixture in fixtures {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let of = |case: &Value| Captioned {
                said: text(&case["said"]),
                references: case["references"].as_array().unwrap().iter().map(text).collect(),
            };
            let all: Vec<Captioned> = fixture["cases"].as_array().unwrap().iter().map(of).collect();
            let found = cider_d(&all);
            assert_eq!(found.len(), fixture["each"].as_array().unwrap().len());
            for (found, want) in found.iter().zip(fixture["each"].as_array().unwrap()) {
                let want = want.as_f64().unwrap();
                assert!((found - want).abs() < 1e-9, "{found} for {want} in {all:?}");
            }
        }
    }

    #[test]
    fn punctuation_and_case_do_not_count() {
        assert_eq!(words("The dog's ball, then: “Stop!”"), ["the", "dog's", "ball", "then", "stop"]);
        assert!(words(" … ").is_empty() && cider_d(&[]).is_empty());
    }
}
