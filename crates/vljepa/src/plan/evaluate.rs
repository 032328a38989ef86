//! How often plans reach their goals, by the shared protocol (stable-worldmodel, `scripts/plan/eval_wm.py`) and a harder one, beside
//! what reaches them without a model.

use serde::Serialize;
use vljepa_train::probe::wilson;
use vljepa_worlds::World;
use vljepa_worlds::protocol::{Draw, draws, floors, fresh_draws};
use vljepa_worlds::trajectories::{Collect, Trajectories, collect};

use super::agent::Agent;
use super::episode::{PlanOptions, run};
use super::guide::Guide;
use crate::error::Result;

/// Which starts and goals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A row of an episode that was not trained on, and the row so many steps later.
    Offset(usize),
    /// Starts and goals as the world's episodes begin, wherever they are.
    Anywhere,
}

/// How an evaluation is made.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// Starts and goals of each seed.
    pub n: usize,
    /// One evaluation for each: other episodes, other draws, other plans.
    pub seeds: Vec<u64>,
    /// Which starts and goals.
    pub task: Task,
    /// How is planned; its seed is one of `seeds`.
    pub plan: PlanOptions,
}

/// How often goals were reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanReport {
    /// The world.
    pub suite: String,
    /// Which starts and goals.
    pub task: Task,
    /// Most steps.
    pub budget: usize,
    /// Starts and goals, of all seeds.
    pub n: usize,
    /// Share that reached its goal.
    pub success: f64,
    /// Wilson's interval of it, 95 %.
    pub ci: [f64; 2],
    /// Share of random actions.
    pub random: f64,
    /// Share of no action.
    pub noop: f64,
    /// Share of starts inside of the goal.
    pub start_inside: f64,
    /// Share of the world's scripted policy.
    pub oracle: f64,
    /// Share of the starts outside of the goal that reached it; absent where there are none.
    pub success_outside: Option<f64>,
    /// Mean milliseconds of one plan, where plans of many episodes are made together.
    pub plan_ms: f64,
    /// Whether places of earlier episodes lay on the way.
    pub guided: bool,
    /// The share of each seed.
    pub seeds: Vec<SeedReport>,
}

/// One seed of a [`PlanReport`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// Share that reached its goal.
    pub success: f64,
}

/// Seeds of episodes for evaluation are taken from here on, so that none is that of a training set.
const HELD_OUT: u64 = 1 << 40;

/// Episodes of the world's data policy that no training run with a small seed has seen.
///
/// # Errors
/// What the world reports.
pub fn held_out(world: &dyn World, episodes: usize, seed: u64) -> Result<Trajectories> {
    Ok(collect(world, &Collect::new(episodes, HELD_OUT + seed))?)
}

/// Starts and goals of a seed.
///
/// # Errors
/// Too few long episodes for the offset, what the world reports.
pub fn drawn(world: &dyn World, task: Task, n: usize, seed: u64) -> Result<Vec<Draw>> {
    match task {
        // As many episodes as starts, with some to spare: short ones have none.
        Task::Offset(offset) => Ok(draws(&held_out(world, (4 * n).max(200), seed)?, offset, n, seed)?),
        Task::Anywhere => Ok(fresh_draws(world, n, HELD_OUT + seed)),
    }
}

/// Measures a model. `observer` gets the number of episodes that are over, of all seeds.
///
/// # Errors
/// Options that do not fit, what the world and the device report.
pub fn evaluate(
    agent: &Agent,
    world: &dyn World,
    options: &EvaluateOptions,
    guide: Option<&Guide>,
    observer: &mut dyn FnMut(usize),
) -> Result<PlanReport> {
    let (mut reached, mut outside, mut outside_reached) = (0usize, 0usize, 0usize);
    let mut sums = [0usize; 4];
    let (mut seconds, mut plans) = (0.0, 0);
    let mut seeds = Vec::with_capacity(options.seeds.len());
    for (i, &seed) in options.seeds.iter().enumerate() {
        let draws = drawn(world, options.task, options.n, seed)?;
        let plan = PlanOptions { seed, ..options.plan.clone() };
        let outcomes = run(agent, world, &draws, &plan, guide, &mut |over| observer(i * options.n + over))?;
        let floors = floors(world, &draws, plan.budget, seed)?;
        for (sum, own) in sums.iter_mut().zip([floors.random, floors.noop, floors.start_inside, floors.oracle]) {
            *sum += own;
        }
        for episode in outcomes.episodes.iter().filter(|episode| !episode.start_inside) {
            outside += 1;
            outside_reached += usize::from(episode.reached_after.is_some());
        }
        reached += outcomes.reached();
        seconds += outcomes.seconds;
        plans += outcomes.plans;
        seeds.push(SeedReport { seed, success: outcomes.reached() as f64 / draws.len().max(1) as f64 });
    }
    let n = options.n * options.seeds.len();
    let share = |count: usize| count as f64 / n.max(1) as f64;
    Ok(PlanReport {
        suite: world.name().to_owned(),
        task: options.task,
        budget: options.plan.budget,
        n,
        success: share(reached),
        ci: wilson(reached, n),
        random: share(sums[0]),
        noop: share(sums[1]),
        start_inside: share(sums[2]),
        oracle: share(sums[3]),
        success_outside: (outside > 0).then(|| outside_reached as f64 / outside as f64),
        plan_ms: 1e3 * seconds / plans.max(1) as f64,
        guided: guide.is_some(),
        seeds,
    })
}
