//! What a plan sees: the distance of each state's latent from the goal's, as a map over the first two numbers of the state.

use rayon::prelude::*;
use vljepa_data::Rgba8Image;
use vljepa_worlds::World;

use super::agent::{Agent, distance};
use crate::error::{Error, Result};

/// Sides of the map, cells.
const CELLS: usize = 48;
/// Pixels of a cell.
const CELL: usize = 8;
/// Half of the side of a dot on a way, pixels.
const DOT: i64 = 2;
/// Half of the side of the goal's mark, pixels.
const MARK: i64 = 5;
/// Colours from the least distance to the greatest, which differ in lightness too.
const RAMP: [[f64; 3]; 5] =
    [[252.0, 253.0, 191.0], [251.0, 136.0, 97.0], [183.0, 55.0, 121.0], [81.0, 18.0, 124.0], [12.0, 8.0, 38.0]];
/// Where the world has no such state.
const NOWHERE: [u8; 4] = [255, 255, 255, 255];
const WAY: [u8; 4] = [0, 160, 120, 255];
const GOAL: [u8; 4] = [0, 90, 255, 255];

/// Distances from a goal over a plane of states.
#[derive(Clone, Debug, PartialEq)]
pub struct Landscape {
    /// Least and greatest of the first two numbers of the state.
    pub bounds: [(f64, f64); 2],
    /// (cells, cells), rows by the second number: squared distance of the latent; `None` where the world has no such state.
    pub values: Vec<Option<f32>>,
    /// Cells of a side.
    pub cells: usize,
}

impl Landscape {
    /// The distances of all states that differ from `state` in their first two numbers, within `bounds`, from `goal`.
    ///
    /// # Errors
    /// States of one number, a goal that the world refuses, what the device reports.
    pub fn new(agent: &Agent, world: &dyn World, state: &[f64], goal: &[f64], bounds: [(f64, f64); 2]) -> Result<Self> {
        if state.len() < 2 {
            return Err(Error::invalid(format!("{} has states of one number; a map needs two", world.name())));
        }
        let goal = agent.latents(&[agent.goal_picture(world, goal)?])?.concat();
        let at = |cell: usize, (low, high): (f64, f64)| low + (high - low) * (cell as f64 + 0.5) / CELLS as f64;
        let state_of = |i: usize| {
            let mut state = state.to_vec();
            (state[0], state[1]) = (at(i % CELLS, bounds[0]), at(i / CELLS, bounds[1]));
            state
        };
        let pictures: Vec<Option<Vec<f32>>> = (0..CELLS * CELLS)
            .into_par_iter()
            .map(|i| {
                let state = state_of(i);
                let possible = world.fork().set_state(&state).is_ok();
                possible.then(|| agent.picture(world, &state)).transpose()
            })
            .collect::<Result<_>>()?;
        let shown: Vec<Vec<f32>> = pictures.iter().flatten().cloned().collect();
        let mut latents = agent.latents(&shown)?.into_iter();
        let of =
            |picture: &Option<Vec<f32>>| picture.as_ref().and_then(|_| latents.next()).map(|l| distance(&l, &goal));
        Ok(Self { bounds, values: pictures.iter().map(of).collect(), cells: CELLS })
    }

    /// The map as a picture, light where the goal is near, the goal as a square and `way` as dots.
    pub fn picture(&self, way: &[Vec<f64>], goal: &[f64]) -> Rgba8Image {
        let side = self.cells * CELL;
        // By the root: what is near is told apart.
        let most = self.values.iter().flatten().copied().fold(0.0f32, f32::max).sqrt().max(f32::MIN_POSITIVE);
        let mut data = vec![0; 4 * side * side];
        for (i, pixel) in data.chunks_exact_mut(4).enumerate() {
            let cell = (i / side / CELL) * self.cells + i % side / CELL;
            pixel.copy_from_slice(&self.values[cell].map_or(NOWHERE, |v| colour(f64::from(v.sqrt() / most))));
        }
        let mut dot = |state: &[f64], half: i64, colour: [u8; 4]| {
            let pixel = |k: usize| {
                let (low, high) = self.bounds[k];
                ((state[k] - low) / (high - low) * side as f64) as i64
            };
            let (x, y) = (pixel(0), pixel(1));
            for row in (y - half).max(0)..=(y + half).min(side as i64 - 1) {
                for column in (x - half).max(0)..=(x + half).min(side as i64 - 1) {
                    data[4 * (row as usize * side + column as usize)..][..4].copy_from_slice(&colour);
                }
            }
        };
        way.iter().filter(|state| state.len() >= 2).for_each(|state| dot(state, DOT, WAY));
        if goal.len() >= 2 {
            dot(goal, MARK, GOAL);
        }
        Rgba8Image { width: side as u32, height: side as u32, data }
    }
}

/// The colour of a share of the greatest distance.
fn colour(share: f64) -> [u8; 4] {
    let place = share.clamp(0.0, 1.0) * (RAMP.len() - 1) as f64;
    let low = (place as usize).min(RAMP.len() - 2);
    let part = place - low as f64;
    let mix = |c: usize| (RAMP[low][c] * (1.0 - part) + RAMP[low + 1][c] * part).round() as u8;
    [mix(0), mix(1), mix(2), 255]
}

/// The bounds of the first two numbers over states.
pub fn bounds<'a>(states: impl Iterator<Item = &'a [f64]>) -> [(f64, f64); 2] {
    let none = [(f64::INFINITY, f64::NEG_INFINITY); 2];
    states.fold(none, |bounds, state| {
        let wider = |k: usize| state.get(k).map_or(bounds[k], |v| (bounds[k].0.min(*v), bounds[k].1.max(*v)));
        [wider(0), wider(1)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_light_at_the_goal_and_shows_the_way() {
        let mut values: Vec<Option<f32>> = (0..4).map(|i| Some(i as f32)).collect();
        values[2] = None;
        let map = Landscape { bounds: [(0.0, 2.0), (10.0, 12.0)], values, cells: 2 };
        let picture = map.picture(&[vec![1.5, 10.5]], &[0.5, 10.5]);
        let at = |x: usize, y: usize| {
            let i = 4 * (y * picture.width as usize + x);
            [0, 1, 2, 3].map(|c| picture.data[i + c])
        };
        assert_eq!((picture.width, picture.height), (16, 16));
        assert_eq!(at(4, 4), GOAL);
        assert_eq!(at(12, 4), WAY);
        assert_eq!(at(2, 14), NOWHERE);
        assert_eq!(at(14, 14), [12, 8, 38, 255]);
    }

    #[test]
    fn bounds_are_the_least_and_the_greatest() {
        let states = [[1.0, 5.0, 9.0], [-2.0, 7.0, 100.0]];
        assert_eq!(bounds(states.iter().map(<[f64; 3]>::as_slice)), [(-2.0, 1.0), (5.0, 7.0)]);
    }
}
