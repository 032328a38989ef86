//! `worlds`: episodes of environments played, drawn and recorded, without a model.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use vljepa::embed::files::check_writable;
use vljepa::plan::{GUIDE, GuideOptions, Opened, picture};
use vljepa_data::atomic::write_atomically;
use vljepa_data::{Rgba8Image, encode_png};
use vljepa_worlds::trajectories::{Collect, collect};
use vljepa_worlds::{Policy, WORLDS, World, world_by_name, world_with_options};

use super::common::{Common, at_least_one};
use super::failure::{Failure, Result};
use super::output::{self, Output};
use super::plan::{guide_of, state};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The environments: what their states and actions are
    List,
    /// Play episodes and say how many reach their goal
    Play(PlayArgs),
    /// Draw a state
    Render(RenderArgs),
    /// Record episodes as safetensors files: states and actions, from which pictures are drawn
    Collect(CollectArgs),
    /// Put a guide into the folder of a world model: places on the way to far goals, from episodes
    Guide(GuideArgs),
}

#[derive(Debug, clap::Args)]
pub struct WorldArgs {
    /// The environment
    #[arg(long, value_name = "NAME", default_value = "two-room")]
    pub env: String,
    /// Its options as JSON; those that are left out have their defaults
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub options: String,
}

#[derive(Debug, clap::Args)]
pub struct EpisodeArgs {
    /// Who acts
    #[arg(long, value_name = "POLICY", default_value = "oracle")]
    pub policy: PolicyArg,
    /// Episodes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub episodes: usize,
    /// Most steps of an episode
    #[arg(long, value_name = "STEPS", default_value_t = 100, value_parser = at_least_one)]
    pub steps: usize,
}

#[derive(Debug, clap::Args)]
pub struct PlayArgs {
    #[command(flatten)]
    pub world: WorldArgs,
    #[command(flatten)]
    pub episode: EpisodeArgs,
    /// Also write the first episode as an animated WebP, its goal beside it
    #[arg(long, value_name = "F.webp")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct RenderArgs {
    #[command(flatten)]
    pub world: WorldArgs,
    /// The state; numbers that are left out, and all of them, are those in which an episode of `--seed` begins
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', allow_negative_numbers = true)]
    pub state: Vec<f64>,
    /// Side of the picture in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224, value_parser = clap::value_parser!(u16).range(8..=4096))]
    pub side: u16,
    /// The PNG file to write
    #[arg(long, value_name = "F.png")]
    pub out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct CollectArgs {
    #[command(flatten)]
    pub world: WorldArgs,
    #[command(flatten)]
    pub episode: EpisodeArgs,
    /// Episodes of a file
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one)]
    pub shard: usize,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct GuideArgs {
    /// The environment
    #[arg(long, value_name = "NAME", default_value = "two-room")]
    pub env: String,
    /// Folder of a world model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Episodes to take places and ways from
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least_one)]
    pub episodes: usize,
    /// Most places
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = at_least_one)]
    pub places: usize,
}

/// The values of `--policy`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum PolicyArg {
    /// The scripted policy with the noise of the data that models are trained on
    Data,
    /// The scripted policy
    Oracle,
    /// Actions drawn evenly from their range
    Random,
    /// No action
    Noop,
}

impl From<PolicyArg> for Policy {
    fn from(arg: PolicyArg) -> Self {
        match arg {
            PolicyArg::Data => Self::Data,
            PolicyArg::Oracle => Self::Oracle,
            PolicyArg::Random => Self::Random,
            PolicyArg::Noop => Self::Noop,
        }
    }
}

impl WorldArgs {
    fn open(&self) -> Result<Box<dyn World>> {
        let options = serde_json::from_str(&self.options).map_err(|error| {
            Failure::message(format!("--options: not JSON: {error}; write it as {{\"key\": value}}"))
        })?;
        Ok(world_with_options(&self.env, &options)?)
    }
}

impl EpisodeArgs {
    fn options(&self, stop_at_goal: bool, seed: u64) -> Collect {
        Collect { policy: self.policy.into(), episodes: self.episodes, max_steps: self.steps, stop_at_goal, seed }
    }
}

pub fn run(args: &Args, common: &Common, out: &Output) -> Result {
    match &args.verb {
        Verb::List => list(out),
        Verb::Play(args) => play(args, common, out),
        Verb::Render(args) => render(args, common, out),
        Verb::Collect(args) => record(args, common, out),
        Verb::Guide(args) => guide(args, common, out),
    }
}

fn list(out: &Output) -> Result {
    let worlds = WORLDS.iter().map(|name| world_by_name(name)).collect::<std::result::Result<Vec<_>, _>>()?;
    if out.json {
        let about = |world: &dyn World| json!({"name": world.name(), "options": world.options(), "state": world.state_names(), "action_range": world.action_range()});
        return out.document(&json!({"worlds": worlds.iter().map(|world| about(world.as_ref())).collect::<Vec<_>>()}));
    }
    let row = |world: &dyn World| {
        let range: Vec<String> = world.action_range().iter().map(|(low, high)| format!("{low} to {high}")).collect();
        vec![
            world.name().to_owned(),
            format!("state: {}", world.state_names().join(", ")),
            format!("action: {}", range.join(", ")),
        ]
    };
    out.text(&output::columns(&worlds.iter().map(|world| row(world.as_ref())).collect::<Vec<_>>()))
}

fn play(args: &PlayArgs, common: &Common, out: &Output) -> Result {
    if let Some(path) = &args.out {
        check_writable(path)?;
    }
    let mut world = args.world.open()?;
    let played = collect(world.as_ref(), &args.episode.options(true, common.seed))?;
    let mut steps = Vec::with_capacity(played.episodes.len());
    for (i, episode) in played.episodes.iter().enumerate() {
        let last = played.state(i, played.steps(i)).unwrap_or_default().to_vec();
        world.set_goal(&episode.goal)?;
        world.set_state(&last)?;
        steps.push((played.steps(i), world.reached()));
    }
    if let (Some(path), Some(first)) = (&args.out, played.episodes.first()) {
        world.set_goal(&first.goal)?;
        let states: Vec<Vec<f64>> = first.states.chunks_exact(played.state_size).map(<[f64]>::to_vec).collect();
        write_atomically(path, &picture::played(world.as_ref(), &states)?)?;
    }
    let reached = steps.iter().filter(|(_, reached)| *reached).count();
    let mean = steps.iter().map(|(steps, _)| *steps as f64).sum::<f64>() / steps.len().max(1) as f64;
    if out.json {
        return out.document(&json!({
            "env": world.name(), "policy": Policy::from(args.episode.policy), "episodes": steps.len(), "reached": reached, "mean_steps": mean,
        }));
    }
    let file = args.out.as_ref().map(|path| format!("; wrote {}", path.display())).unwrap_or_default();
    out.text(&format!("{reached} of {} episodes reached their goal, {mean:.1} steps each{file}\n", steps.len()))
}

fn render(args: &RenderArgs, common: &Common, out: &Output) -> Result {
    check_writable(&args.out)?;
    let mut world = args.world.open()?;
    world.reset(&mut vljepa_worlds::Random::new(common.seed, 0));
    let state = state("--state", &args.state, &world.state())?;
    let side = usize::from(args.side);
    let mut rgb = vec![0; 3 * side * side];
    world.draw(&state, side, &mut rgb)?;
    let data = rgb.chunks_exact(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect();
    let picture = Rgba8Image { width: side as u32, height: side as u32, data };
    write_atomically(&args.out, &encode_png(&picture)?)?;
    if out.json {
        return out.document(&json!({"env": world.name(), "state": state, "out": args.out.display().to_string()}));
    }
    out.text(&format!("wrote {}\n", args.out.display()))
}

fn record(args: &CollectArgs, common: &Common, out: &Output) -> Result {
    let world = args.world.open()?;
    let played = collect(world.as_ref(), &args.episode.options(true, common.seed))?;
    let files = played.write_shards(&args.out, args.shard)?;
    let (episodes, steps) = (played.episodes.len(), played.total_steps());
    if out.json {
        let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        return out.document(&json!({"env": world.name(), "episodes": episodes, "steps": steps, "files": files}));
    }
    out.text(&format!(
        "wrote {episodes} episodes of {steps} steps into {} files of {}\n",
        files.len(),
        args.out.display()
    ))
}

fn guide(args: &GuideArgs, common: &Common, out: &Output) -> Result {
    let world = world_by_name(&args.env)?;
    check_writable(&args.model.join(GUIDE))?;
    let device = vljepa::open_device(&common.device)?;
    let agent = Opened::model(&device, Some(&args.model), world.as_ref())?.0;
    out.note(&format!("adapter: {}", vljepa::info::adapter_name(&device)));
    let options = GuideOptions { places: args.places, ..GuideOptions::default() };
    let guide = guide_of(&agent, world.as_ref(), args.episodes, options)?;
    guide.write(&args.model, world.name())?;
    let (places, ways, path) = (guide.places(), guide.edges(), args.model.join(GUIDE));
    if out.json {
        return out.document(&json!({
            "env": world.name(), "places": places, "ways": ways, "episodes": args.episodes, "out": path.display().to_string(),
        }));
    }
    out.text(&format!(
        "wrote {}: {places} places, {ways} ways between them, of {} episodes\n",
        path.display(),
        args.episodes
    ))
}
