//! Trajectories, and the worlds that their states and options are given to.

use std::path::Path;

use vljepa_worlds::trajectories::{Collect, Trajectories, collect};
use vljepa_worlds::{WORLDS, world_by_name, world_with_options};

use crate::error::{Result, other};
use crate::mutate::Shape;
use crate::target::{Case, Target};

pub const TRAJECTORIES: Target = Target {
    name: "trajectories",
    about: "a file of trajectories, and its states in the world of its metadata",
    shape: Shape::Header,
    megabytes: 64,
    seeds: || {
        let set = |name: &&str| {
            let world = world_by_name(name).map_err(other)?;
            let options = Collect { max_steps: 6, ..Collect::new(2, 1) };
            collect(&*world, &options).and_then(|set| set.to_bytes()).map_err(other)
        };
        WORLDS.iter().map(set).collect()
    },
    make: |_| -> Result<Case> {
        let path = Path::new("input");
        Ok(Box::new(move |input| {
            let Ok(set) = Trajectories::from_bytes(input, path) else { return };
            let _ = (set.windows(3, 2).map(|windows| windows.len()), set.action_stats().is_ok());
            let Ok(mut world) = world_with_options(&set.world, &set.options) else { return };
            let _ = set.check_world(&*world);
            let mut rgb = vec![0; 3 * 16 * 16];
            for (number, episode) in set.episodes.iter().enumerate() {
                let _ = (world.set_goal(&episode.goal), world.render_goal(16, &mut rgb));
                for step in 0..=set.steps(number) {
                    let Some(state) = set.state(number, step) else { continue };
                    let _ = (world.set_state(state), world.draw(state, 16, &mut rgb));
                    if let Some(action) = set.actions(number, step, 1) {
                        let _ = world.step(action);
                    }
                }
            }
        }))
    },
};
