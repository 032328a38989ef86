//! Places on the way to goals that lie beyond a plan's horizon: a graph of latents that were seen in earlier episodes, in which an edge is
//! what one plan can do (after SoRB, arXiv 1906.05253, with distances in steps that episodes took instead of a learned value).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use vljepa_worlds::World;
use vljepa_worlds::trajectories::Trajectories;

use super::agent::{Agent, distance};
use crate::error::{Error, Result};

/// How a guide is made.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuideOptions {
    /// Most places.
    pub places: usize,
    /// Most steps of a way from one place to the next: what a plan can do.
    pub reach: usize,
    /// Nearest places that a latent is taken for.
    pub neighbours: usize,
}

impl Default for GuideOptions {
    fn default() -> Self {
        Self { places: 600, reach: 25, neighbours: 6 }
    }
}

/// A graph of places.
#[derive(Debug)]
pub struct Guide {
    latents: Vec<Vec<f32>>,
    states: Vec<Vec<f64>>,
    /// Of each place: the places that follow it within reach, and in how many steps.
    edges: Vec<Vec<(u32, u32)>>,
    neighbours: usize,
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
    /// Places that are spread over the states of `trajectories` as the model sees them: each new one is the farthest from those that
    /// are there, by latents. An edge leads from the place nearest to a state to the place nearest to a state of the same episode
    /// within reach behind it.
    ///
    /// # Errors
    /// No states, states that the world refuses, what the device reports.
    pub fn new(agent: &Agent, world: &dyn World, trajectories: &Trajectories, options: GuideOptions) -> Result<Self> {
        let stride = agent.config().frameskip;
        // The rows of each episode a block apart.
        let mut rows = Vec::new();
        for episode in 0..trajectories.episodes.len() {
            rows.extend((0..=trajectories.steps(episode)).step_by(stride).map(|step| (episode, step)));
        }
        let state = |&(episode, step): &(usize, usize)| trajectories.state(episode, step).map(<[f64]>::to_vec);
        let states: Vec<Vec<f64>> = rows.iter().filter_map(state).collect();
        if states.is_empty() || states.len() != rows.len() || options.places == 0 || options.neighbours == 0 {
            return Err(Error::invalid("a guide needs episodes, and one place and neighbour at least"));
        }
        let mut latents = Vec::with_capacity(states.len());
        for part in states.chunks(256) {
            let pictures = part.iter().map(|state| agent.picture(world, state)).collect::<Result<Vec<_>>>()?;
            latents.extend(agent.latents(&pictures)?);
        }
        let (chosen, nearest) = spread(&latents, options.places);
        let mut edges = vec![std::collections::BTreeMap::<u32, u32>::new(); chosen.len()];
        for (i, &(episode, step)) in rows.iter().enumerate() {
            for (j, &(other, later)) in rows.iter().enumerate().skip(i + 1) {
                if other != episode || later - step > options.reach {
                    break;
                }
                let (from, to) = (nearest[i], nearest[j]);
                if from != to {
                    let steps = edges[from as usize].entry(to).or_insert(u32::MAX);
                    *steps = (*steps).min((later - step) as u32);
                }
            }
        }
        Ok(Self {
            latents: chosen.iter().map(|&i| latents[i].clone()).collect(),
            states: chosen.iter().map(|&i| states[i].clone()).collect(),
            edges: edges.into_iter().map(|edges| edges.into_iter().collect()).collect(),
            neighbours: options.neighbours,
        })
    }

    /// Number of places.
    pub fn places(&self) -> usize {
        self.latents.len()
    }

    /// All places.
    pub fn all(&self) -> impl Iterator<Item = Place<'_>> {
        self.latents.iter().zip(&self.states).map(|(latent, state)| Place { latent, state })
    }

    /// The place to go to on the shortest way from one latent to another: the last that is within one edge of where the way begins.
    /// `None` where the goal itself is that near, or where no way is known.
    pub fn next(&self, from: &[f32], goal: &[f32]) -> Option<Place<'_>> {
        let (starts, ends) = (self.nearest(from), self.nearest(goal));
        let way = self.way(&starts, &ends)?;
        // The first place is where one is. With one more place the goal is within reach.
        match way[..] {
            [_, next, _, ..] => Some(Place { latent: &self.latents[next], state: &self.states[next] }),
            _ => None,
        }
    }

    /// The places nearest to a latent, the nearest first.
    fn nearest(&self, latent: &[f32]) -> Vec<usize> {
        let mut order: Vec<(f32, usize)> =
            self.latents.iter().enumerate().map(|(i, place)| (distance(place, latent), i)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        order.into_iter().take(self.neighbours).map(|(_, i)| i).collect()
    }

    /// The shortest way by steps from the first place of `starts` (a later one where that has no way) to any of `ends`.
    fn way(&self, starts: &[usize], ends: &[usize]) -> Option<Vec<usize>> {
        starts.iter().find_map(|&start| self.way_from(start, ends))
    }

    fn way_from(&self, start: usize, ends: &[usize]) -> Option<Vec<usize>> {
        let mut best = vec![u32::MAX; self.latents.len()];
        let mut before = vec![usize::MAX; self.latents.len()];
        let mut open = BinaryHeap::from([Reverse((0u32, start))]);
        best[start] = 0;
        while let Some(Reverse((steps, at))) = open.pop() {
            if ends.contains(&at) {
                let mut way = vec![at];
                let mut at = at;
                while before[at] != usize::MAX {
                    at = before[at];
                    way.push(at);
                }
                way.reverse();
                return Some(way);
            }
            if steps > best[at] {
                continue;
            }
            for &(to, more) in &self.edges[at] {
                let (to, steps) = (to as usize, steps.saturating_add(more));
                if steps < best[to] {
                    (best[to], before[to]) = (steps, at);
                    open.push(Reverse((steps, to)));
                }
            }
        }
        None
    }
}

/// `count` rows, each the farthest from those before it, and for every row the number of the nearest of them.
fn spread(rows: &[Vec<f32>], count: usize) -> (Vec<usize>, Vec<u32>) {
    let mut chosen = vec![0];
    let mut nearest = vec![0u32; rows.len()];
    let mut off: Vec<f32> = rows.iter().map(|row| distance(row, &rows[0])).collect();
    while chosen.len() < count.min(rows.len()) {
        let farthest = off.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let Some((next, _)) = farthest.filter(|(_, off)| **off > 0.0) else { break };
        for (i, row) in rows.iter().enumerate() {
            let own = distance(row, &rows[next]);
            if own < off[i] {
                (off[i], nearest[i]) = (own, chosen.len() as u32);
            }
        }
        chosen.push(next);
    }
    (chosen, nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide(points: &[[f32; 2]], edges: &[(usize, usize, u32)]) -> Guide {
        let mut out = vec![Vec::new(); points.len()];
        edges.iter().for_each(|&(from, to, steps)| out[from].push((to as u32, steps)));
        Guide {
            latents: points.iter().map(|p| p.to_vec()).collect(),
            states: points.iter().map(|p| p.iter().map(|v| f64::from(*v)).collect()).collect(),
            edges: out,
            neighbours: 1,
        }
    }

    #[test]
    fn the_way_with_the_fewest_steps_is_taken() {
        // A wall between 0 and 3; the way leads by 1 and 2, or by 4 in more steps.
        let points = [[0.0, 0.0], [0.0, 5.0], [1.0, 5.0], [1.0, 0.0], [0.0, -9.0]];
        let edges = [(0, 1, 5), (1, 2, 5), (2, 3, 5), (0, 4, 9), (4, 3, 9), (3, 2, 5)];
        let guide = guide(&points, &edges);
        let next = |from: [f32; 2], to: [f32; 2]| guide.next(&from, &to).map(|place| place.state.to_vec());
        assert_eq!(next([0.1, 0.1], [1.0, 0.2]), Some(vec![0.0, 5.0]));
        // Within one edge the goal itself is next, and without a way as well.
        assert_eq!(next([1.0, 5.2], [1.0, 0.2]), None);
        assert_eq!(next([1.0, 0.0], [0.0, -9.0]), None);
        assert_eq!(next([0.0, 0.0], [0.0, 0.1]), None);
    }

    #[test]
    fn places_are_spread_and_rows_belong_to_the_nearest() {
        let rows: Vec<Vec<f32>> = [0.0, 0.1, 9.0, 4.0, 9.1, 4.2].iter().map(|v| vec![*v]).collect();
        let (chosen, nearest) = spread(&rows, 3);
        assert_eq!(chosen, [0, 4, 5]);
        assert_eq!(nearest, [0, 0, 1, 2, 1, 2]);
        // Equal rows are one place, however many are asked for.
        assert_eq!(spread(&[vec![1.0], vec![1.0]], 5).0, [0]);
    }
}
