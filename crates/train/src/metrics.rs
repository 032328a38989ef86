//! Retrieval metrics.
//!
//! Ties: candidates with the score of the true one share the places they take, so that a hit counts with the probability
//! it would have in a random order of the tied. A model that gives every candidate the same score gets chance, not 100 %.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// What a ranking of queries against candidates gave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recall {
    /// Number of queries.
    pub n: usize,
    /// Fraction of queries whose true candidate is first.
    pub r1: f64,
    /// Fraction of queries whose true candidate is among the first five.
    pub r5: f64,
}

/// Expected probability that the true candidate is among the first `k`.
///
/// `scores` are one query's similarities to all candidates. A score that is not finite ranks last; a true candidate with
/// such a score is never found.
pub fn hit_at(scores: &[f32], truth: usize, k: usize) -> f64 {
    let Some(&mine) = scores.get(truth) else { return 0.0 };
    if !mine.is_finite() {
        return 0.0;
    }
    let better = scores.iter().filter(|s| s.is_finite() && **s > mine).count();
    let tied = scores.iter().filter(|s| **s == mine).count();
    (k.saturating_sub(better) as f64 / tied as f64).min(1.0)
}

/// Where the best of a query's right candidates stands among all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Wrong candidates with a higher score.
    better: usize,
    /// Wrong candidates with the same score.
    tied: usize,
    /// Right candidates with the same score, this one included.
    right: usize,
}

impl Place {
    /// The place by `scores`, one query's similarities to all candidates; `is_right` says which of them are right. A wrong one
    /// whose score is not finite ranks last; `None` where no right one has a finite score.
    pub fn of(scores: &[f32], is_right: impl Fn(usize) -> bool) -> Option<Self> {
        let finite = || scores.iter().copied().enumerate().filter(|(_, score)| score.is_finite());
        let best = finite().filter(|(i, _)| is_right(*i)).map(|(_, score)| score).max_by(f32::total_cmp)?;
        let mut place = Self { better: 0, tied: 0, right: 0 };
        for (i, score) in finite() {
            match is_right(i) {
                true => place.right += usize::from(score == best),
                false => {
                    place.better += usize::from(score > best);
                    place.tied += usize::from(score == best);
                }
            }
        }
        Some(place)
    }

    /// The probability that a right candidate is among the first `k`, over all orders of the tied.
    pub fn hit(self, k: usize) -> f64 {
        1.0 - missed(self.tied, self.right, k.saturating_sub(self.better))
    }

    /// The mean rank of the first right candidate over all orders of the tied, from 1.
    pub fn rank(self) -> f64 {
        self.better as f64 + 1.0 + self.tied as f64 / (self.right + 1) as f64
    }
}

/// Probability that none of `right` is among the first `k` of a random order of `right` and `wrong` ones.
fn missed(wrong: usize, right: usize, k: usize) -> f64 {
    let part = |i: usize| wrong.saturating_sub(i) as f64 / (wrong + right - i) as f64;
    if right == 0 { 1.0 } else { (0..k.min(wrong + 1)).map(part).product() }
}

/// Probability that a random order of `candidates`, of which `right` are right, has one of these among the first `k`.
pub fn chance_of(candidates: usize, right: usize, k: usize) -> f64 {
    1.0 - missed(candidates.saturating_sub(right), right, k)
}

/// Recall at 1 and 5 of `queries` against `candidates`, both row-major `[_, dim]`; `truth[i]` is query i's candidate.
///
/// Scores are dot products in f32: give L2-normalised rows for cosines.
pub fn recall(queries: &[f32], candidates: &[f32], dim: usize, truth: &[usize]) -> Recall {
    let mut sums = Sums::default();
    sums.add(queries, candidates, dim, truth);
    sums.mean()
}

/// Sums of hits, so that several galleries make one figure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    n: usize,
    hits: [f64; 2],
}

impl Sums {
    /// Ranks more queries; see [`recall`].
    pub fn add(&mut self, queries: &[f32], candidates: &[f32], dim: usize, truth: &[usize]) {
        let mut scores = vec![0.0; candidates.len() / dim.max(1)];
        for (query, &truth) in queries.chunks_exact(dim.max(1)).zip(truth) {
            for (score, candidate) in scores.iter_mut().zip(candidates.chunks_exact(dim.max(1))) {
                *score = dot(query, candidate);
            }
            self.n += 1;
            self.hits[0] += hit_at(&scores, truth, 1);
            self.hits[1] += hit_at(&scores, truth, 5);
        }
    }

    /// The fractions.
    pub fn mean(&self) -> Recall {
        let part = |hits: f64| if self.n == 0 { 0.0 } else { hits / self.n as f64 };
        Recall { n: self.n, r1: part(self.hits[0]), r5: part(self.hits[1]) }
    }
}

/// What a retrieval in both directions gave. All figures are fractions in 0..=1, and null over no samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cell {
    /// Pictures.
    pub n: usize,
    /// Texts that each picture is held against.
    pub candidates: usize,
    /// Pictures whose text is ranked first.
    pub r1: Option<f64>,
    /// Among the first five.
    pub r5: Option<f64>,
    /// `r1` of a random order.
    pub chance_r1: f64,
    /// `r5` of a random order.
    pub chance_r5: f64,
    /// Texts that are looked for among the pictures.
    pub t2i_n: usize,
    /// Pictures that each of these texts is held against; the mean where there are several galleries.
    pub t2i_candidates: usize,
    /// Texts whose picture is ranked first.
    pub t2i_r1: Option<f64>,
    /// Among the first five.
    pub t2i_r5: Option<f64>,
}

/// Figures on validation data: cells by name, in the order in which they are shown. Serialises as a map from keys to cells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Validation(pub Vec<NamedCell>);

/// A cell with its names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamedCell {
    /// The name for programs: `seen_class`.
    pub key: String,
    /// The name for people: "seen classes".
    pub title: String,
    /// The figures.
    pub cell: Cell,
}

impl Validation {
    /// The cell of a key.
    pub fn cell(&self, key: &str) -> Option<&Cell> {
        self.0.iter().find(|named| named.key == key).map(|named| &named.cell)
    }
}

impl Validation {
    /// The mean R@1 of the cells that have one: what evaluations of a run are compared by.
    pub fn score(&self) -> Option<f64> {
        mean_by_key(self.0.iter().filter_map(|named| Some((named.key.as_str(), named.cell.r1?))))
    }
}

/// The mean of finite numbers, added up in the order of their keys, so that it is the same to the bit from wherever they come.
pub(crate) fn mean_by_key<'a>(found: impl Iterator<Item = (&'a str, f64)>) -> Option<f64> {
    let found: BTreeMap<&str, f64> = found.filter(|(_, value)| value.is_finite()).collect();
    (!found.is_empty()).then(|| found.values().sum::<f64>() / found.len() as f64)
}

impl Serialize for Validation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|named| (&named.key, &named.cell)))
    }
}

/// Probability that a random order of `candidates` puts the true one among the first `k`.
pub fn chance(candidates: usize, k: usize) -> f64 {
    if candidates == 0 { 0.0 } else { (k as f64 / candidates as f64).min(1.0) }
}

/// The dot products of a query with all candidates, `[_, dim]` row-major.
pub(crate) fn scores(query: &[f32], candidates: &[f32], out: &mut Vec<f32>) {
    out.clear();
    out.extend(candidates.chunks_exact(query.len().max(1)).map(|candidate| dot(query, candidate)));
}

/// Dot product, in eight interleaved sums that the compiler can keep in vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The area under the ROC curve: the probability that a positive score is above a negative one, ties counting half. `None` without scores of
/// both.
pub fn roc_area(positive: &[f64], negative: &[f64]) -> Option<f64> {
    if positive.is_empty() || negative.is_empty() {
        return None;
    }
    let won =
        |p: &f64| negative.iter().map(|n| if p > n { 1.0 } else { f64::from(u8::from(p == n)) / 2.0 }).sum::<f64>();
    Some(positive.iter().map(won).sum::<f64>() / (positive.len() * negative.len()) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_a_place_among_the_first_k() {
        let scores = [0.1, 0.9, 0.5, -0.3, 0.4, 0.3, 0.2];
        assert_eq!(hit_at(&scores, 1, 1), 1.0);
        assert_eq!(hit_at(&scores, 2, 1), 0.0);
        assert_eq!(hit_at(&scores, 2, 2), 1.0);
        assert_eq!(hit_at(&scores, 0, 5), 0.0);
        assert_eq!(hit_at(&scores, 6, 5), 1.0);
        assert_eq!(hit_at(&scores, 3, 100), 1.0);
    }

    #[test]
    fn ties_share_the_places_they_take() {
        // Two share the places 2 and 3.
        let scores = [0.9, 0.5, 0.5, 0.1];
        assert_eq!(hit_at(&scores, 1, 1), 0.0);
        assert_eq!(hit_at(&scores, 1, 2), 0.5);
        assert_eq!(hit_at(&scores, 2, 2), 0.5);
        assert_eq!(hit_at(&scores, 2, 3), 1.0);
        // A collapsed model gets chance.
        let flat = recall(&[1.0; 20], &[1.0; 20], 2, &(0..10).collect::<Vec<_>>());
        assert_eq!(flat.n, 10);
        assert!((flat.r1 - chance(10, 1)).abs() < 1e-12 && (flat.r5 - chance(10, 5)).abs() < 1e-12, "{flat:?}");
    }

    #[test]
    fn what_is_not_a_number_never_wins() {
        assert_eq!(hit_at(&[f32::NAN, 0.1, 0.2], 0, 3), 0.0);
        assert_eq!(hit_at(&[f32::NAN, 0.1, f32::INFINITY], 1, 1), 1.0);
        assert_eq!(hit_at(&[0.1], 3, 1), 0.0);
    }

    #[test]
    fn recall_ranks_each_query_against_all_candidates() {
        let candidates = [1.0, 0.0, 0.0, 1.0, 0.6, 0.8];
        let queries = [0.9, 0.1, 0.1, 0.9, 0.9, 0.2];
        let found = recall(&queries, &candidates, 2, &[0, 1, 2]);
        assert_eq!(found.n, 3);
        assert!((found.r1 - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(found.r5, 1.0);
        assert_eq!(recall(&[], &candidates, 2, &[]), Recall::default());
    }

    #[test]
    fn several_galleries_make_one_figure() {
        let mut sums = Sums::default();
        sums.add(&[1.0, 0.0], &[1.0, 0.0, 0.0, 1.0], 2, &[0]);
        sums.add(&[1.0, 0.0], &[1.0, 0.0, 0.0, 1.0], 2, &[1]);
        assert_eq!(sums.mean(), Recall { n: 2, r1: 0.5, r5: 1.0 });
    }

    #[test]
    fn the_best_of_several_right_ones_counts() {
        let scores = [0.9, 0.5, 0.5, 0.5, 0.1, f32::NAN];
        let place = |right: &[usize]| Place::of(&scores, |i| right.contains(&i));
        assert_eq!(place(&[0, 4]).map(Place::rank), Some(1.0));
        assert_eq!(place(&[5]), None);
        // One of three that share the places 2 to 4.
        let one = place(&[2, 4]).unwrap();
        for (k, hit) in [(1, 0.0), (2, 1.0 / 3.0), (3, 2.0 / 3.0), (4, 1.0)] {
            assert!((one.hit(k) - hit).abs() < 1e-12, "{k}");
        }
        assert_eq!(one.rank(), 3.0);
        // Two of the three: the first of them is at 2 in two of three orders, else at 3.
        let two = place(&[1, 3]).unwrap();
        assert!((two.hit(2) - 2.0 / 3.0).abs() < 1e-12 && two.hit(3) == 1.0 && (two.rank() - 7.0 / 3.0).abs() < 1e-12);
        assert_eq!(place(&[0]).unwrap().hit(0), 0.0);
        // One right one is as `hit_at` has it.
        for truth in 0..6 {
            for k in 0..7 {
                let hit = place(&[truth]).map_or(0.0, |place| place.hit(k));
                assert!((hit - hit_at(&scores, truth, k)).abs() < 1e-12, "{truth} {k}");
            }
        }
        assert!((chance_of(10, 1, 5) - 0.5).abs() < 1e-12 && (chance_of(3, 2, 1) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((chance_of(4, 4, 1), chance_of(4, 1, 9), chance_of(4, 0, 2)), (1.0, 1.0, 0.0));
    }

    #[test]
    fn dot_sums_every_element() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        assert_eq!(dot(&a, &a), 2109.0);
    }

    #[test]
    fn chance_is_a_share_of_the_candidates() {
        assert_eq!((chance(0, 1), chance(450, 5), chance(3, 5)), (0.0, 5.0 / 450.0, 1.0));
    }

    #[test]
    fn areas_are_those_of_pairs() {
        assert_eq!(roc_area(&[0.9, 0.8], &[0.1, 0.2, 0.3]), Some(1.0));
        assert_eq!(roc_area(&[0.5], &[0.5]), Some(0.5));
        assert_eq!(roc_area(&[0.4, 0.1], &[0.3, 0.2]), Some(0.5));
        assert_eq!(roc_area(&[], &[0.3]), None);
    }
}
