//! `plan`: from a start to a goal in an environment, and `eval two-room`: how often that succeeds.

use std::path::{Path, PathBuf};

use serde_json::json;
use vljepa::embed::files::check_writable;
use vljepa::embed::folder::LewmFolder;
use vljepa::plan::{
    self, Agent, EvaluateOptions, Guide, GuideOptions, Outcome, PlanOptions, PlanReport, Task, Toward, picture,
};
use vljepa_data::atomic::write_atomically;
use vljepa_worlds::planners::{Cem, Icem, Mppi, Planner};
use vljepa_worlds::protocol::Draw;
use vljepa_worlds::{World, world_by_name};

use super::common::{Common, at_least_one};
use super::failure::{Failure, Result};
use super::output::{self, Output};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The environment
    #[arg(long, value_name = "NAME", default_value = "two-room")]
    pub env: String,
    /// Where to go, as the environment's state: in two-room X,Y in pixels of 224
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', allow_negative_numbers = true)]
    pub goal: Vec<f64>,
    /// Where to start; absent: where an episode of `--seed` begins
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', allow_negative_numbers = true)]
    pub start: Vec<f64>,
    /// Also write the episode as an animated WebP, what was imagined beside it
    #[arg(long, value_name = "F.webp")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub planning: PlanningArgs,
}

#[derive(Debug, clap::Args)]
pub struct EvalArgs {
    /// Starts and goals of each seed
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = at_least_one)]
    pub n: usize,
    /// Seeds, each with other episodes and draws
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', default_values_t = [1, 2, 3])]
    pub seeds: Vec<u64>,
    /// The goal is what an episode saw so many steps after the start
    #[arg(long, value_name = "STEPS", default_value_t = 25, value_parser = at_least_one)]
    pub offset: usize,
    /// Starts and goals anywhere in different rooms, in the place of `--offset`
    #[arg(long, conflicts_with = "offset")]
    pub anywhere: bool,
    #[command(flatten)]
    pub planning: PlanningArgs,
}

/// How is planned.
#[derive(Debug, clap::Args)]
pub struct PlanningArgs {
    /// Folder of a world model, as `vljepa train` writes it
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Most steps of an episode
    #[arg(long, value_name = "STEPS", default_value_t = 50, value_parser = at_least_one)]
    pub budget: usize,
    /// The planner
    #[arg(long, value_name = "KIND", default_value = "cem")]
    pub planner: PlannerArg,
    /// Plans that are compared in each iteration
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub samples: Option<usize>,
    /// Iterations of a plan
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub iterations: Option<usize>,
    /// Action blocks of a plan
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub horizon: usize,
    /// Blocks that are carried out before the next plan; absent: all
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub execute: Option<usize>,
    /// Compare the whole plan with the goal, not its end alone
    #[arg(long)]
    pub mean: bool,
    /// Begin each plan with what is left of the one before
    #[arg(long)]
    pub warm_start: bool,
    /// Plan by way of places that so many earlier episodes saw, for goals beyond a plan's reach
    #[arg(long, value_name = "EPISODES", value_parser = at_least_one)]
    pub guide: Option<usize>,
}

/// The values of `--planner`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum PlannerArg {
    Cem,
    Icem,
    Mppi,
}

impl PlanningArgs {
    fn options(&self, seed: u64) -> PlanOptions {
        let set = |slot: &mut usize, value: Option<usize>| *slot = value.unwrap_or(*slot);
        let (samples, iterations) = (self.samples, self.iterations.or(Some(10)));
        // Fewer plans than the default keeps: a tenth of them.
        let elites = |own: usize, samples: usize| if own > samples { samples.div_ceil(10) } else { own };
        let planner = match self.planner {
            PlannerArg::Cem => {
                let mut cem = Cem::default();
                set(&mut cem.samples, samples);
                set(&mut cem.iterations, iterations);
                cem.elites = elites(cem.elites, cem.samples);
                Planner::Cem(cem)
            }
            PlannerArg::Icem => {
                let mut icem = Icem::default();
                set(&mut icem.samples, samples);
                set(&mut icem.iterations, iterations);
                icem.elites = elites(icem.elites, icem.samples);
                Planner::Icem(icem)
            }
            PlannerArg::Mppi => {
                let mut mppi = Mppi::default();
                set(&mut mppi.samples, samples);
                set(&mut mppi.iterations, iterations);
                mppi.elites = elites(mppi.elites, mppi.samples);
                Planner::Mppi(mppi)
            }
        };
        PlanOptions {
            planner,
            horizon: self.horizon,
            execute: self.execute.unwrap_or(self.horizon),
            warm_start: self.warm_start,
            toward: if self.mean { Toward::Mean } else { Toward::Last },
            budget: self.budget,
            seed,
        }
    }

    /// The model in a world, and the guide where one is asked for.
    fn open(&self, world: &dyn World, common: &Common, out: &Output) -> Result<(Agent, Option<Guide>)> {
        let folder = LewmFolder::open(&self.model)?;
        let device = vljepa::open_device(&common.device)?;
        out.note(&format!("adapter: {}", vljepa::info::adapter_name(&device)));
        let agent = Agent::new(&device, folder.load(&device)?, world)?;
        let guide = match self.guide {
            Some(episodes) => {
                let seen = plan::held_out(world, episodes, u64::from(u32::MAX))?;
                let guide = Guide::new(&agent, world, &seen, GuideOptions::default())?;
                out.note(&format!("{} places of {episodes} episodes to go by", guide.places()));
                Some(guide)
            }
            None => None,
        };
        Ok((agent, guide))
    }
}

/// A whole state from the numbers that a person gives: those that are left out are those of `rest`.
pub(super) fn state(flag: &str, given: &[f64], rest: &[f64]) -> Result<Vec<f64>> {
    if given.len() > rest.len() {
        let what = format!("{flag} has {} numbers, a state has {}; leave some out", given.len(), rest.len());
        return Err(Failure::message(what));
    }
    Ok(given.iter().copied().chain(rest[given.len()..].iter().copied()).collect())
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    if let Some(path) = &args.out {
        check_writable(path)?;
    }
    let mut world = world_by_name(&args.env)?;
    world.reset(&mut vljepa_worlds::Random::new(common.seed, 0));
    let (start, goal) = (state("--start", &args.start, &world.state())?, state("--goal", &args.goal, &world.goal())?);
    world.set_state(&start)?;
    world.set_goal(&goal)?;
    let (agent, guide) = args.planning.open(world.as_ref(), common, out)?;
    let options = args.planning.options(common.seed);
    let draw = Draw { start, goal, from: None };
    let mut found = plan::run(&agent, world.as_ref(), &[draw], &options, guide.as_ref(), &mut |_| ())?;
    let (seconds, plans) = (found.seconds, found.plans);
    let Some(episode) = found.episodes.pop() else { return Ok(()) };
    if let Some(path) = &args.out {
        write_atomically(path, &picture::animation(&agent, world.as_ref(), &episode, guide.as_ref())?)?;
    }
    if out.json {
        return out.document(&json!({
            "env": world.name(), "model": args.planning.model.display().to_string(), "options": options,
            "success": episode.reached_after.is_some(), "steps": episode.states.len() - 1,
            "states": episode.states, "goal": world.goal(),
            "plans": episode.rounds.iter().map(|round| json!({
                "step": round.step, "cost": round.cost, "by_iteration": round.by_iteration, "distance": round.distance,
                "subgoal": round.subgoal,
            })).collect::<Vec<_>>(),
            "plan_ms": 1e3 * seconds / plans.max(1) as f64,
        }));
    }
    out.text(&told(&episode, world.as_ref(), args.out.as_deref(), 1e3 * seconds / plans.max(1) as f64))
}

fn told(episode: &Outcome, world: &dyn World, written: Option<&Path>, plan_ms: f64) -> String {
    let numbers = |state: &[f64]| state.iter().map(|v| format!("{v:.1}")).collect::<Vec<_>>().join(", ");
    let mut rows = vec![vec!["step".to_owned(), "state".into(), "distance".into(), "plan's cost".into()]];
    for round in &episode.rounds {
        let at = episode.states.get(round.step).map(|state| numbers(state)).unwrap_or_default();
        let toward = round.subgoal.as_ref().map(|place| format!(" by {}", numbers(place))).unwrap_or_default();
        rows.push(vec![
            round.step.to_string(),
            format!("{at}{toward}"),
            format!("{:.2}", round.distance),
            format!("{:.2}", round.cost),
        ]);
    }
    let last = episode.states.last().map(|state| numbers(state)).unwrap_or_default();
    let steps = episode.states.len() - 1;
    let end = match episode.reached_after {
        Some(steps) => format!("reached {} after {steps} steps", numbers(&world.goal())),
        None => format!("did not reach {} in {steps} steps; ended at {last}", numbers(&world.goal())),
    };
    let file = written.map(|path| format!("wrote {}\n", path.display())).unwrap_or_default();
    format!("{}{end}; {plan_ms:.0} ms a plan\n{file}", output::columns(&rows))
}

/// Measures plans in the world `name`.
pub fn evaluate(name: &str, args: &EvalArgs, common: &Common, out: &Output) -> Result {
    let world = match (name, args.anywhere) {
        ("two-room", true) => vljepa_worlds::world_with_options(name, &json!({"cross_room": true}))?,
        _ => world_by_name(name)?,
    };
    let (agent, guide) = args.planning.open(world.as_ref(), common, out)?;
    let task = if args.anywhere { Task::Anywhere } else { Task::Offset(args.offset) };
    let options = EvaluateOptions { n: args.n, seeds: args.seeds.clone(), task, plan: args.planning.options(0) };
    let bar = out.progress("episodes", args.n * args.seeds.len());
    let report =
        plan::evaluate(&agent, world.as_ref(), &options, guide.as_ref(), &mut |over| bar.set_position(over as u64))?;
    bar.finish_and_clear();
    if out.json {
        return out.document(&report);
    }
    out.text(&figures(&report))
}

fn figures(report: &PlanReport) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let PlanReport { n, success, ci: [low, high], random, noop, start_inside, oracle, plan_ms, .. } = report;
    let outside = report.success_outside.map(percent).unwrap_or_else(|| "–".into());
    let rows = [
        ("reached", format!("{} of {n} (95 %: {} to {})", percent(*success), percent(*low), percent(*high))),
        ("of starts outside of the goal", outside),
        ("random actions", percent(*random)),
        ("no action", percent(*noop)),
        ("starts inside of the goal", percent(*start_inside)),
        ("scripted policy", percent(*oracle)),
        ("a plan", format!("{plan_ms:.0} ms")),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(what, value)| vec![what.to_owned(), value]).collect();
    output::columns(&rows)
}
