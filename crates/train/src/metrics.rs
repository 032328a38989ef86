//! Retrieval metrics.
//!
//! Ties: candidates with the score of the true one share the places they take, so that a hit counts with the probability
//! it would have in a random order of the tied. A model that gives every candidate the same score gets chance, not 100 %.

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

impl Serialize for Validation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|named| (&named.key, &named.cell)))
    }
}

/// Probability that a random order of `candidates` puts the true one among the first `k`.
pub fn chance(candidates: usize, k: usize) -> f64 {
    if candidates == 0 { 0.0 } else { (k as f64 / candidates as f64).min(1.0) }
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
    fn dot_sums_every_element() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        assert_eq!(dot(&a, &a), 2109.0);
    }

    #[test]
    fn chance_is_a_share_of_the_candidates() {
        assert_eq!((chance(0, 1), chance(450, 5), chance(3, 5)), (0.0, 5.0 / 450.0, 1.0));
    }
}
