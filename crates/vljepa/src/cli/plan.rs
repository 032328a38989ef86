//! `plan`: from a start to a goal in an environment, and `eval two-room`: how often that succeeds.

use std::path::{Path, PathBuf};

use serde_json::json;
use vljepa::embed::files::check_writable;
use vljepa::plan::energy::{self, Landscape};
use vljepa::plan::{
    self, Agent, EvaluateOptions, Guide, GuideOptions, LatentOptions, LatentReport, Opened, Outcome, PlanOptions,
    PlanReport, Task, Toward, picture,
};
use vljepa_data::atomic::write_atomically;
use vljepa_data::encode_png;
use vljepa_worlds::planners::{Cem, Icem, Mppi, Planner};
use vljepa_worlds::protocol::Draw;
use vljepa_worlds::{World, world_by_name};

use super::common::{Common, at_least_one};
use super::failure::{Failure, Result};
use super::output::{self, Output};

/// Episodes whose states say how wide a map of energy is.
const BOUNDED_BY: usize = 50;
/// Most steps toward a goal anywhere, and toward one that an episode saw 25 steps later.
const FAR: usize = 200;
const NEAR: usize = 50;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The environment
    #[arg(long, value_name = "NAME", default_value = "two-room")]
    pub env: String,
    /// Where to go, as the environment's state: in two-room X,Y in pixels of 224; absent: the goal of an episode of `--seed`
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', allow_negative_numbers = true)]
    pub goal: Vec<f64>,
    /// Where to start; absent: where an episode of `--seed` begins
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', allow_negative_numbers = true)]
    pub start: Vec<f64>,
    /// Also write the episode as an animated WebP, what was imagined beside it
    #[arg(long, value_name = "F.webp")]
    pub out: Option<PathBuf>,
    /// Also draw how far each place is from the goal, by latents, with the way that was taken
    #[arg(long, value_name = "F.png")]
    pub energy: Option<PathBuf>,
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
    /// Look at latents of episodes of the first seed, not at plans: how far they foretell, what a linear map tells of states, what surprises
    #[arg(long, conflicts_with_all = ["offset", "anywhere", "n", "guide", "published", "toward", "samples", "iterations", "execute", "budget"])]
    pub latents: bool,
    #[command(flatten)]
    pub planning: PlanningArgs,
}

/// How is planned.
#[derive(Debug, clap::Args)]
pub struct PlanningArgs {
    /// Folder of a world model, as `vljepa train` writes it; absent: the built-in one of two-room
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Most steps of an episode; absent: 50 where `--offset` is measured or with `--published`, else 200
    #[arg(long, value_name = "STEPS", value_parser = at_least_one)]
    pub budget: Option<usize>,
    /// Plan as the LeWM paper does where a flag does not say otherwise: 300 plans, 10 iterations, all blocks carried out, the last latent
    /// alone compared with the goal, no places on the way
    #[arg(long)]
    pub published: bool,
    /// The planner
    #[arg(long, value_name = "KIND", default_value = "cem")]
    pub planner: PlannerArg,
    /// Plans that are compared in each iteration; a tenth of them is kept [default: 64]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub samples: Option<usize>,
    /// Iterations of a plan [default: 4]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub iterations: Option<usize>,
    /// Action blocks of a plan
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub horizon: usize,
    /// Blocks that are carried out before the next plan [default: 3, or all where there are fewer]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub execute: Option<usize>,
    /// What of a plan is compared with the goal [default: nearest]
    #[arg(long, value_name = "WHICH")]
    pub toward: Option<TowardArg>,
    /// Begin each plan with what is left of the one before
    #[arg(long)]
    pub warm_start: bool,
    /// Places on the way to goals beyond a plan's reach: `own`, those in the model's folder, `none`, or a number of episodes to take
    /// them from [default: own]
    #[arg(long, value_name = "own|none|EPISODES")]
    pub guide: Option<GuideArg>,
}

/// The values of `--toward`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum TowardArg {
    /// Its last latent
    Last,
    /// The mean over all of its latents
    Mean,
    /// The latent that is nearest to the goal
    Nearest,
}

impl From<TowardArg> for Toward {
    fn from(arg: TowardArg) -> Self {
        match arg {
            TowardArg::Last => Self::Last,
            TowardArg::Mean => Self::Mean,
            TowardArg::Nearest => Self::Nearest,
        }
    }
}

/// The values of `--guide`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuideArg {
    Own,
    None,
    Episodes(usize),
}

impl std::str::FromStr for GuideArg {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match (text, text.parse()) {
            ("own", _) => Ok(Self::Own),
            ("none", _) => Ok(Self::None),
            (_, Ok(episodes)) if episodes > 0 => Ok(Self::Episodes(episodes)),
            _ => Err("`own`, `none` or a number of episodes is possible".to_owned()),
        }
    }
}

/// The values of `--planner`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum PlannerArg {
    Cem,
    Icem,
    Mppi,
}

impl PlanningArgs {
    /// `budget` is for the case that none is given.
    fn options(&self, budget: usize, seed: u64) -> PlanOptions {
        let base = if self.published { PlanOptions::default() } else { PlanOptions::small() };
        let samples = self.samples.unwrap_or(base.planner.samples());
        let iterations = self.iterations.unwrap_or(base.planner.iterations());
        let elites = samples.div_ceil(10);
        let planner = match self.planner {
            PlannerArg::Cem => Planner::Cem(Cem { samples, elites, iterations, ..Cem::default() }),
            PlannerArg::Icem => {
                let icem = Icem::default();
                Planner::Icem(Icem { samples, elites, iterations, keep: icem.keep.min(elites), ..icem })
            }
            PlannerArg::Mppi => Planner::Mppi(Mppi { samples, elites, iterations, ..Mppi::default() }),
        };
        let execute = if self.published { self.horizon } else { base.execute.min(self.horizon) };
        PlanOptions {
            planner,
            horizon: self.horizon,
            execute: self.execute.unwrap_or(execute),
            warm_start: self.warm_start,
            toward: self.toward.map_or(base.toward, Toward::from),
            budget: self.budget.unwrap_or(if self.published { base.budget } else { budget }),
            seed,
        }
    }

    /// The model in a world, and the guide where one is used.
    fn open(&self, world: &dyn World, common: &Common, out: &Output) -> Result<Opened> {
        let device = vljepa::open_device(&common.device)?;
        let dir = self.model.as_deref();
        let opened = match self.guide.unwrap_or(if self.published { GuideArg::None } else { GuideArg::Own }) {
            GuideArg::Own => Opened::new(&device, dir, world)?,
            other => {
                let (agent, origin) = Opened::model(&device, dir, world)?;
                let guide = match other {
                    GuideArg::Episodes(episodes) => Some(guide_of(&agent, world, episodes, GuideOptions::default())?),
                    _ => None,
                };
                Opened { agent, guide, origin }
            }
        };
        if self.guide == Some(GuideArg::Own) && opened.guide.is_none() {
            let what =
                format!("--guide own: {} has no guide; make one with `vljepa worlds guide --model DIR`", opened.origin);
            return Err(Failure::message(what));
        }
        out.note(&format!("adapter: {}", vljepa::info::adapter_name(&device)));
        if let Some(guide) = &opened.guide {
            out.note(&format!("{} places to go by, {} ways between them", guide.places(), guide.edges()));
        }
        Ok(opened)
    }
}

/// A guide through `world` of so many episodes that nothing was trained on.
pub(super) fn guide_of(agent: &Agent, world: &dyn World, episodes: usize, options: GuideOptions) -> Result<Guide> {
    let seen = plan::held_out(world, episodes, u64::from(u32::MAX))?;
    Ok(Guide::new(agent, world, &seen, options)?)
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
    args.out.iter().chain(&args.energy).try_for_each(|path| check_writable(path))?;
    if args.out.is_some() && args.out == args.energy {
        return Err(Failure::message("--out and --energy name one file; give each its own"));
    }
    let mut world = world_by_name(&args.env)?;
    world.reset(&mut vljepa_worlds::Random::new(common.seed, 0));
    let (start, goal) = (state("--start", &args.start, &world.state())?, state("--goal", &args.goal, &world.goal())?);
    world.set_state(&start)?;
    world.set_goal(&goal)?;
    let options = args.planning.options(FAR, common.seed);
    options.check()?;
    let Opened { agent, guide, origin } = args.planning.open(world.as_ref(), common, out)?;
    let draw = Draw { start, goal, from: None };
    let mut found = plan::run(&agent, world.as_ref(), &[draw], &options, guide.as_ref(), &mut |_| ())?;
    let (seconds, plans) = (found.seconds, found.plans);
    let Some(episode) = found.episodes.pop() else { return Ok(()) };
    if let Some(path) = &args.out {
        write_atomically(path, &picture::animation(&agent, world.as_ref(), &episode, guide.as_ref())?)?;
    }
    if let Some(path) = &args.energy {
        let seen = plan::held_out(world.as_ref(), BOUNDED_BY, 0)?;
        let rows = seen.episodes.iter().flat_map(|episode| episode.states.chunks_exact(seen.state_size));
        let goal = world.goal();
        let map = Landscape::new(&agent, world.as_ref(), &episode.states[0], &goal, energy::bounds(rows))?;
        write_atomically(path, &encode_png(&map.picture(&episode.states, &goal))?)?;
    }
    if out.json {
        return out.document(&json!({
            "env": world.name(), "model": origin, "options": options,
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
    if args.latents {
        return look(args, world.as_ref(), common, out);
    }
    let (task, budget) = if args.anywhere { (Task::Anywhere, FAR) } else { (Task::Offset(args.offset), NEAR) };
    let plan = args.planning.options(budget, 0);
    plan.check()?;
    let Opened { agent, guide, .. } = args.planning.open(world.as_ref(), common, out)?;
    let options = EvaluateOptions { n: args.n, seeds: args.seeds.clone(), task, plan };
    let bar = out.progress("episodes", args.n * args.seeds.len());
    let report =
        plan::evaluate(&agent, world.as_ref(), &options, guide.as_ref(), &mut |over| bar.set_position(over as u64))?;
    bar.finish_and_clear();
    if out.json {
        return out.document(&report);
    }
    out.text(&figures(&report))
}

/// Episodes whose latents are looked at.
const LOOKED_AT: usize = 200;

fn look(args: &EvalArgs, world: &dyn World, common: &Common, out: &Output) -> Result {
    let device = vljepa::open_device(&common.device)?;
    let (agent, _) = Opened::model(&device, args.planning.model.as_deref(), world)?;
    out.note(&format!("adapter: {}", vljepa::info::adapter_name(&device)));
    let seed = args.seeds.first().copied().unwrap_or_default();
    let episodes = plan::held_out(world, LOOKED_AT, seed)?;
    let options = LatentOptions { horizon: args.planning.horizon, seed, ..LatentOptions::default() };
    let report = plan::latents(&agent, world, &episodes, options)?;
    if out.json {
        return out.document(&report);
    }
    out.text(&looked(&report))
}

fn looked(report: &LatentReport) -> String {
    let mut rows = vec![["blocks ahead", "the model", "as it was", "a line"].map(str::to_owned).to_vec()];
    for at in &report.roll_out {
        let [model, copy, linear] = [at.model, at.copy_last, at.linear].map(|v| format!("{v:.4}"));
        rows.push(vec![at.blocks.to_string(), model, copy, linear]);
    }
    let mut text = output::columns(&rows);
    for probe in &report.probe {
        text += &format!(
            "{}: a linear map is off by {:.2} (always the mean: {:.2}), correlation {:.4}\n",
            probe.state, probe.rmse, probe.floor, probe.pearson
        );
    }
    text + &format!(
        "straightness {:.3} (of states {:.3}); area under the curve of surprise: teleported {:.4}, recoloured {:.4}\n",
        report.straightness, report.state_straightness, report.surprise.teleport, report.surprise.recolour
    )
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
