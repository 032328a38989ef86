//! Guides from episodes.

use std::collections::BTreeMap;

use vljepa_worlds::World;
use vljepa_worlds::trajectories::Trajectories;

use super::graph::Edge;
use super::places::{Guide, GuideOptions};
use crate::error::{Error, Result};
use crate::plan::agent::{Agent, distance};

/// Pictures that are drawn before they are encoded.
const DRAWN_AT_ONCE: usize = 256;

impl Guide {
    /// Places that are spread over the states of `trajectories` as the model sees them: each new one is the farthest from those that
    /// are there, by latents. An edge leads from the place nearest to a state to the place nearest to a state of the same episode
    /// within reach behind it; what it takes is the lower quartile of the steps that episodes took.
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
        for part in states.chunks(DRAWN_AT_ONCE) {
            let pictures = part.iter().map(|state| agent.picture(world, state)).collect::<Result<Vec<_>>>()?;
            latents.extend(agent.latents(&pictures)?);
        }
        let (chosen, nearest) = spread(&latents, options.places);
        let edges = edges(&rows, &nearest, options);
        let latents = chosen.iter().map(|&i| latents[i].clone()).collect();
        let states = chosen.iter().map(|&i| states[i].clone()).collect();
        Ok(Self::of(latents, states, edges, options))
    }
}

/// The edges between the `nearest` places of rows (episode, step), in order.
fn edges(rows: &[(usize, usize)], nearest: &[u32], options: GuideOptions) -> Vec<Edge> {
    let mut seen: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
    for (i, &(episode, step)) in rows.iter().enumerate() {
        for (j, &(other, later)) in rows.iter().enumerate().skip(i + 1) {
            if other != episode || later - step > options.reach {
                break;
            }
            if nearest[i] != nearest[j] {
                seen.entry((nearest[i], nearest[j])).or_default().push((later - step) as u32);
            }
        }
    }
    let often = seen.into_iter().filter(|(_, steps)| steps.len() >= options.support.max(1));
    let quartile = |mut steps: Vec<u32>| {
        steps.sort_unstable();
        steps[(steps.len() - 1) / 4]
    };
    often.map(|((from, to), steps)| Edge { from, to, steps: quartile(steps) }).collect()
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

    #[test]
    fn places_are_spread_and_rows_belong_to_the_nearest() {
        let rows: Vec<Vec<f32>> = [0.0, 0.1, 9.0, 4.0, 9.1, 4.2].iter().map(|v| vec![*v]).collect();
        let (chosen, nearest) = spread(&rows, 3);
        assert_eq!(chosen, [0, 4, 5]);
        assert_eq!(nearest, [0, 0, 1, 2, 1, 2]);
        // Equal rows are one place, however many are asked for.
        assert_eq!(spread(&[vec![1.0], vec![1.0]], 5).0, [0]);
    }

    #[test]
    fn an_edge_is_what_several_episodes_did_within_reach() {
        // Episodes 0 to 2 go from place 0 to 1 in 5, 5 and 10 steps; one alone goes to 2; 15 steps are beyond reach.
        let rows = [(0, 0), (0, 5), (1, 0), (1, 5), (2, 0), (2, 5), (2, 10), (3, 0), (3, 15)];
        let nearest = [0, 1, 0, 1, 0, 0, 1, 0, 2];
        let options = GuideOptions { reach: 10, support: 2, ..GuideOptions::default() };
        assert_eq!(edges(&rows, &nearest, options), [Edge { from: 0, to: 1, steps: 5 }]);
        let once = GuideOptions { reach: 15, support: 1, ..options };
        let (first, second) = (Edge { from: 0, to: 1, steps: 5 }, Edge { from: 0, to: 2, steps: 15 });
        assert_eq!(edges(&rows, &nearest, once), [first, second]);
    }
}
