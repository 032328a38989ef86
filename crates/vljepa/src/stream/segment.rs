//! Cuts a stream of embeddings into segments: Ward's criterion, where only neighbours in time merge (arXiv 2512.10942, §4.6).

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::error::{Error, Result};

/// How the rows of a stream merge, from one segment for each row down to a single one. Each number of segments is a cut of it.
///
/// Two neighbours A and B cost `n_A n_B / (n_A + n_B) · ‖μ_A − μ_B‖²`, by which the sum of squares within segments grows; the cheapest
/// pair merges first, of equal ones the earliest. This equals hierarchical Ward clustering with a chain as its connectivity, in
/// O(T log T) for T rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Segmentation {
    rows: usize,
    /// The row before which a border lay that was removed, in the order of merging.
    removed: Vec<usize>,
    costs: Vec<f64>,
}

/// A segment while it grows.
struct Node {
    start: usize,
    end: usize,
    sum: Vec<f64>,
    /// The segment before it.
    before: Option<usize>,
    /// How often it has changed: pairs in the heap that know an older number are void.
    version: u32,
    alive: bool,
}

/// A pair that may merge: nodes by the row that they begin with.
struct Pair {
    cost: f64,
    left: usize,
    right: usize,
    versions: [u32; 2],
}

impl Ord for Pair {
    /// The greatest is the cheapest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.cost.total_cmp(&self.cost).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

impl Node {
    fn count(&self) -> f64 {
        (self.end - self.start) as f64
    }

    fn cost(&self, other: &Self) -> f64 {
        let (a, b) = (self.count(), other.count());
        let apart: f64 = self.sum.iter().zip(&other.sum).map(|(x, y)| (x / a - y / b).powi(2)).sum();
        a * b / (a + b) * apart
    }
}

impl Segmentation {
    /// Merges `rows`, `[T, width]` row-major, in the order of time.
    ///
    /// # Errors
    /// Rows that are no whole number of `width` values, and values that are not finite.
    pub fn of(rows: &[f32], width: usize) -> Result<Self> {
        if width == 0 || !rows.len().is_multiple_of(width) {
            let reason = format!("{} values are no whole number of rows of {width}", rows.len());
            return Err(Error::argument("rows", reason));
        }
        if let Some(at) = rows.iter().position(|value| !value.is_finite()) {
            return Err(Error::argument("rows", format!("row {} holds {}", at / width, rows[at])));
        }
        let node = |(i, row): (usize, &[f32])| Node {
            start: i,
            end: i + 1,
            sum: row.iter().map(|value| f64::from(*value)).collect(),
            before: i.checked_sub(1),
            version: 0,
            alive: true,
        };
        let mut nodes: Vec<Node> = rows.chunks_exact(width).enumerate().map(node).collect();
        let count = nodes.len();
        let pair = |nodes: &[Node], left: usize, right: usize| Pair {
            cost: nodes[left].cost(&nodes[right]),
            left,
            right,
            versions: [nodes[left].version, nodes[right].version],
        };
        let mut heap: BinaryHeap<Pair> = (1..count).map(|i| pair(&nodes, i - 1, i)).collect();
        let (mut removed, mut costs) = (Vec::new(), Vec::new());
        while let Some(Pair { cost, left, right, versions }) = heap.pop() {
            let fresh = |node: &Node, version| node.alive && node.version == version;
            if !fresh(&nodes[left], versions[0]) || !fresh(&nodes[right], versions[1]) {
                continue;
            }
            removed.push(right);
            costs.push(cost);
            let gone = std::mem::take(&mut nodes[right].sum);
            let end = nodes[right].end;
            nodes[right].alive = false;
            let merged = &mut nodes[left];
            merged.sum.iter_mut().zip(&gone).for_each(|(sum, value)| *sum += value);
            merged.end = end;
            merged.version += 1;
            let before = merged.before;
            if end < count {
                nodes[end].before = Some(left);
                heap.push(pair(&nodes, left, end));
            }
            if let Some(before) = before {
                heap.push(pair(&nodes, before, left));
            }
        }
        Ok(Self { rows: count, removed, costs })
    }

    /// The rows of each of `count` segments, in the order of time; fewer where there are fewer rows.
    pub fn cut(&self, count: usize) -> Vec<Range<usize>> {
        if self.rows == 0 || count == 0 {
            return Vec::new();
        }
        let merges = self.rows.saturating_sub(count);
        let mut starts: Vec<usize> = self.removed.iter().skip(merges).copied().collect();
        starts.push(0);
        starts.sort_unstable();
        let ends = starts.iter().skip(1).copied().chain([self.rows]);
        starts.iter().zip(ends).map(|(start, end)| *start..end).collect()
    }

    /// What each merge cost, in the order of merging: the growth of the sum of squares within segments. A merge may cost less than one before
    /// it: only neighbours merge.
    pub fn costs(&self) -> &[f64] {
        &self.costs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_are_alike_merge_first() {
        let rows = [0.0, 0.1, 5.0, 5.1, 5.0, 0.0];
        let tree = Segmentation::of(&rows, 1).unwrap();
        assert_eq!(tree.cut(3), [0..2, 2..5, 5..6]);
        assert!(tree.cut(1).len() == 1 && tree.cut(1)[0] == (0..6));
        assert!(tree.cut(0).is_empty());
        assert_eq!(tree.cut(9).len(), 6);
        // What is the same but lies apart in time stays apart.
        assert!(tree.cut(2) == [0..5, 5..6] || tree.cut(2) == [0..2, 2..6]);
    }

    #[test]
    fn cuts_are_those_of_scikit_learn() {
        let fixtures: serde_json::Value = serde_json::from_str(include_str!("../../tests/fixtures/ward.json")).unwrap();
        let cases = fixtures["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let number = |value: &serde_json::Value| value.as_f64().unwrap() as f32;
            let rows: Vec<f32> = case["rows"].as_array().unwrap().iter().map(number).collect();
            let tree = Segmentation::of(&rows, case["width"].as_u64().unwrap() as usize).unwrap();
            for (count, starts) in case["cuts"].as_object().unwrap() {
                let want: Vec<usize> =
                    starts.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
                let found: Vec<usize> = tree.cut(count.parse().unwrap()).iter().map(|part| part.start).collect();
                assert_eq!(found, want, "{count} segments");
            }
        }
    }

    #[test]
    fn the_costs_add_up_to_the_spread_of_all_rows() {
        let rows: Vec<f32> = (0..60).map(|i| ((i * 37 % 17) as f32).sin() + (i / 20) as f32).collect();
        let tree = Segmentation::of(&rows, 3).unwrap();
        let mean = |k: usize| rows.iter().skip(k).step_by(3).map(|v| f64::from(*v)).sum::<f64>() / 20.0;
        let spread: f64 = rows.iter().enumerate().map(|(i, v)| (f64::from(*v) - mean(i % 3)).powi(2)).sum();
        assert!((tree.costs().iter().sum::<f64>() - spread).abs() < 1e-9 * spread);
        for count in 1..=20 {
            let cut = tree.cut(count);
            assert_eq!((cut.len(), cut[0].start, cut[count - 1].end), (count, 0, 20));
            assert!(cut.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn rows_that_are_none_are_refused() {
        assert!(Segmentation::of(&[1.0; 5], 2).unwrap_err().to_string().contains("no whole number of rows"));
        let error = Segmentation::of(&[1.0, 2.0, f32::NAN, 0.0], 2).unwrap_err().to_string();
        assert!(error.contains("row 1 holds NaN"), "{error}");
        assert!(Segmentation::of(&[], 4).unwrap().cut(3).is_empty());
    }
}
