//! Places, and the first of them on the way to a goal.

use serde::{Deserialize, Serialize};

use super::graph::{Edge, Graph};
use crate::plan::agent::distance;

/// How a guide is made and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuideOptions {
    /// Most places.
    pub places: usize,
    /// Most steps of a way from one place to the next: what a plan can do.
    pub reach: usize,
    /// How often a way must have been seen.
    pub support: usize,
    /// Nearest places that a latent is taken for.
    pub neighbours: usize,
    /// A goal of at most so many steps is planned for itself.
    pub near: usize,
}

impl Default for GuideOptions {
    fn default() -> Self {
        Self { places: 200, reach: 25, support: 2, neighbours: 3, near: 15 }
    }
}

/// A graph of places.
#[derive(Clone, Debug)]
pub struct Guide {
    pub(super) latents: Vec<Vec<f32>>,
    pub(super) states: Vec<Vec<f64>>,
    pub(super) edges: Vec<Edge>,
    graph: Graph,
    pub(super) options: GuideOptions,
}

/// A place on the way.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its latent.
    pub latent: &'a [f32],
    /// The state that was seen there.
    pub state: &'a [f64],
}

impl Guide {
    pub(super) fn of(latents: Vec<Vec<f32>>, states: Vec<Vec<f64>>, edges: Vec<Edge>, options: GuideOptions) -> Self {
        let graph = Graph::new(latents.len(), &edges);
        Self { latents, states, edges, graph, options }
    }

    /// Number of places.
    pub fn places(&self) -> usize {
        self.latents.len()
    }

    /// Number of known ways from one place to another.
    pub fn edges(&self) -> usize {
        self.edges.len()
    }

    /// All places.
    pub fn all(&self) -> impl Iterator<Item = Place<'_>> {
        self.latents.iter().zip(&self.states).map(|(latent, state)| Place { latent, state })
    }

    /// The place to go to first on the shortest way from one latent to another. `None` where the goal is near, or its place is the
    /// next one, or no way is known.
    pub fn next(&self, from: &[f32], goal: &[f32]) -> Option<Place<'_>> {
        let ends = self.nearest(goal);
        let ways = self.graph.ways(&ends);
        let start = self.nearest(from).into_iter().find(|&start| ways.steps[start].is_some())?;
        if ways.steps[start]? as usize <= self.options.near {
            return None;
        }
        let next = ways.next[start]? as usize;
        let is_end = ends.contains(&next);
        (!is_end).then(|| Place { latent: &self.latents[next], state: &self.states[next] })
    }

    /// The places nearest to a latent, the nearest first.
    fn nearest(&self, latent: &[f32]) -> Vec<usize> {
        let mut order: Vec<(f32, usize)> =
            self.latents.iter().enumerate().map(|(i, place)| (distance(place, latent), i)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        order.into_iter().take(self.options.neighbours).map(|(_, i)| i).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide(points: &[[f32; 2]], edges: &[(u32, u32, u32)]) -> Guide {
        let edges = edges.iter().map(|&(from, to, steps)| Edge { from, to, steps }).collect();
        let states = points.iter().map(|p| p.iter().map(|v| f64::from(*v)).collect()).collect();
        let options = GuideOptions { neighbours: 1, near: 4, ..GuideOptions::default() };
        Guide::of(points.iter().map(|p| p.to_vec()).collect(), states, edges, options)
    }

    #[test]
    fn the_way_with_the_fewest_steps_is_taken() {
        // A wall between 0 and 3; the way leads by 1 and 2, or by 4 in more steps.
        let points = [[0.0, 0.0], [0.0, 5.0], [1.0, 5.0], [1.0, 0.0], [0.0, -9.0]];
        let edges = [(0, 1, 5), (1, 2, 5), (2, 3, 5), (0, 4, 9), (4, 3, 9), (3, 2, 5)];
        let guide = guide(&points, &edges);
        let next = |from: [f32; 2], to: [f32; 2]| guide.next(&from, &to).map(|place| place.state.to_vec());
        assert_eq!(next([0.1, 0.1], [1.0, 0.2]), Some(vec![0.0, 5.0]));
        // Where the next place is the goal's the goal itself is planned for, and without a way as well.
        assert_eq!(next([1.0, 5.2], [1.0, 0.2]), None);
        assert_eq!(next([1.0, 0.0], [0.0, -9.0]), None);
        assert_eq!(next([0.0, 0.0], [0.0, 0.1]), None);
    }

    #[test]
    fn a_goal_within_few_steps_is_planned_for_itself() {
        let points = [[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]];
        let near = guide(&points, &[(0, 1, 2), (1, 2, 2)]);
        assert!(near.next(&[0.0, 0.0], &[4.0, 0.0]).is_none());
        let far = guide(&points, &[(0, 1, 2), (1, 2, 3)]);
        assert_eq!(far.next(&[0.0, 0.0], &[4.0, 0.0]).map(|place| place.state.to_vec()), Some(vec![2.0, 0.0]));
    }
}
