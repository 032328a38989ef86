//! Plans in the world itself: what planners and protocol do together where imagination is exact.

use vljepa_worlds::planners::{Cem, Icem, Planner, Space};
use vljepa_worlds::protocol::{draws, run};
use vljepa_worlds::trajectories::{ActionStats, Collect, collect};
use vljepa_worlds::{Random, Result, World, WorldError, world_by_name};

const BLOCK: usize = 5;
const HORIZON: usize = 5;

/// How far from the goal each plan of normalised actions ends.
fn distances(world: &dyn World, stats: &ActionStats, plans: &[f32], samples: usize) -> Result<Vec<f32>> {
    let goal = world.goal();
    plans
        .chunks_exact(plans.len() / samples)
        .map(|plan| {
            let mut actions = plan.to_vec();
            stats.restore(&mut actions);
            let mut world = world.fork();
            for action in actions.chunks_exact(world.action_size()) {
                world.step(action)?;
            }
            let squares = world.state().iter().zip(&goal).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            Ok(squares as f32)
        })
        .collect()
}

#[test]
fn plans_in_the_world_itself_reach_the_goals_of_the_protocol() {
    let mut world = world_by_name("two-room").unwrap();
    let set = collect(&*world, &Collect::new(200, 1)).unwrap();
    let stats = set.action_stats().unwrap();
    let starts = draws(&set, 25, 30, 42).unwrap();
    let cem = Planner::Cem(Cem { iterations: 10, ..Cem::default() });
    let icem = Planner::Icem(Icem { iterations: 10, samples: 100, elites: 10, ..Icem::default() });
    let bounded = Space::of_actions(HORIZON, BLOCK, &stats.bounds(world.action_range()));
    // As published: no bounds, the whole plan is done. And with bounds, a warm start and a new plan after each block.
    for (planner, space, blocks) in [(cem, Space::new(HORIZON, 2 * BLOCK), HORIZON), (icem, bounded, 1)] {
        let mut reached = 0;
        for (number, draw) in starts.iter().enumerate() {
            let (mut queue, mut kept) = (Vec::new(), None);
            let ran = run(&mut *world, draw, 50, |world| {
                if queue.is_empty() {
                    let mut cost =
                        |plans: &[f32], samples: usize, _: usize, _: usize| distances(world, &stats, plans, samples);
                    let random = Random::new(7, number as u64);
                    let plan = planner.plan(&space, kept.as_ref(), &mut cost, random).unwrap();
                    let mut actions = plan.actions[..blocks * 2 * BLOCK].to_vec();
                    stats.restore(&mut actions);
                    queue = actions.chunks_exact(2).rev().map(<[f32]>::to_vec).collect();
                    kept = Some(plan.after(blocks));
                }
                Ok::<_, WorldError>(queue.pop().unwrap())
            });
            reached += usize::from(ran.unwrap().reached_after.is_some());
        }
        assert!(reached >= 29, "{planner:?}: {reached} of 30");
    }
}
